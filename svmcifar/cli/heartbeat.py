"""Keeps the line of progress alive while the command itself cannot; run as a script.

Some of SciPy's routines hold the interpreter's lock for many seconds, so that no thread of the
command can draw.  This process hears of each drawing, and draws when it has heard nothing for a
second.
"""

import json
import queue
import signal
import sys
from threading import Thread
from time import monotonic

_SILENCE_S = 1.0


def main() -> None:
    """Read lines of JSON: text, its seconds so far, and the width of the terminal.

    A line without text is answered by an empty one: nothing is drawn from then on.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends when the command does
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    Thread(target=_read, args=[lines], daemon=True).start()
    text, seconds, width, heard = "", 0.0, 0, 0.0
    while True:
        try:
            line = lines.get(timeout=_SILENCE_S)
        except queue.Empty:
            if text:
                _draw(text, seconds + monotonic() - heard, width)
            continue
        if not line:
            return
        text, seconds, width = json.loads(line)
        heard = monotonic()
        if not text:
            print(flush=True)


def _read(lines: "queue.SimpleQueue[str]") -> None:
    """Hand over each line of standard input, and an empty text at its end."""
    for line in sys.stdin:
        lines.put(line)
    lines.put("")


def _draw(text: str, seconds: float, width: int) -> None:
    minutes, rest = divmod(int(seconds), 60)
    elapsed = f" [{minutes:02}:{rest:02}]"
    shown = text[: max(0, width - len(elapsed))] + elapsed
    sys.stderr.write(f"\r{shown.ljust(width)}")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
