"""Commands in a terminal of their own: what they draw there, and when."""

import os
import pty
import re
from time import monotonic


def run_in_terminal(*command, **environment):
    """Run a command in a pseudo-terminal.

    Return its exit code, all that it wrote, and each change of the screen as its time in seconds
    since the last one and the text.
    """
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvpe(command[0], command, os.environ | environment)
    changes, shown, last = [], "", monotonic()
    while True:
        try:
            text = os.read(terminal, 2**16).decode()
        except OSError:  # its end on Linux
            break
        if not text:
            break
        now = monotonic()
        if text != shown:
            changes.append((now - last, text))
            shown, last = text, now
    os.close(terminal)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code, "".join(text for _, text in changes), changes


def screen(output):
    """Return the lines that a terminal shows at the end: what carriage returns left of each."""
    lines = []
    for line in re.split("\r?\n", output):
        cells = ""
        for part in line.split("\r"):
            cells = part + cells[len(part) :]
        lines.append(cells.rstrip())
    return lines
