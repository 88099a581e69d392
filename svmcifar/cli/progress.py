"""Progress of a command, on standard error: a bar on a terminal, a line a stage elsewhere."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from pathlib import Path
from threading import Event, RLock, Thread
from time import monotonic
from typing import IO, TYPE_CHECKING, Any, cast

import click

from svmcifar.cli.terminal import VisibleStream
from svmcifar.compute.progress import Stage, stages_under_way
from svmcifar.text import one_line

if TYPE_CHECKING:
    from subprocess import Popen

    from tqdm import tqdm

# What is drawn changes each second at least, since it shows the time in seconds.
_TICK_S = 0.5
# Stages of fewer seconds have no line in a log.
_LEAST_LOGGED_S = 2.0
_UNCOUNTED = "{desc} [{elapsed}]"


def with_progress(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--quiet``; without it, show the progress of the command."""

    @click.option("--quiet", is_flag=True, help="Do not show progress.")
    @wraps(command)
    def shown(*arguments: Any, quiet: bool, **values: Any) -> Any:
        with _shown_progress(quiet):
            return command(*arguments, **values)

    return shown


@contextmanager
def _shown_progress(quiet: bool) -> Iterator[None]:
    """Show the stages under way in the block, unless the user or $TQDM_DISABLE forbids it."""
    if quiet or os.environ.get("TQDM_DISABLE", "0") not in ("", "0") or sys.stderr is None:
        yield
        return
    display: _Display = _Bar() if sys.stderr.isatty() else _Log()
    with display.running():
        yield


class _Display:
    """Looks at the stages under way every `_TICK_S`, in a thread."""

    def __init__(self) -> None:
        self._lock = RLock()
        self._ended = Event()
        # Names are made visible, and characters that the terminal lacks escaped.
        stream = sys.stderr
        raw = stream.stream if isinstance(stream, VisibleStream) else stream
        self.stream = VisibleStream(raw)

    @contextmanager
    def running(self) -> Iterator[None]:
        streams = [s for s in (sys.stdout, sys.stderr) if isinstance(s, VisibleStream)]
        for stream in streams:
            stream.before_write = self._make_room
        thread = Thread(target=self._run, name="progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()
            self._make_room()
            self.end()
            for stream in streams:
                stream.before_write = None

    def _run(self) -> None:
        while not self._ended.wait(_TICK_S):
            with self._lock:
                self.show(stages_under_way())

    def _make_room(self) -> None:
        with self._lock:
            self.clear()

    def show(self, stages: list[Stage]) -> None:
        """Show the stages under way, the innermost last."""

    def clear(self) -> None:
        """Remove what is drawn: a line is about to be written."""

    def end(self) -> None:
        """End what was begun."""


class _Bar(_Display):
    """Draws one line: the names of the stages under way, and what is done of a counted one."""

    def __init__(self) -> None:
        super().__init__()
        self._whole = Stage("working", None, "")
        self._drawn: tuple[Stage, int | None] | None = None
        self._bar: tqdm[Any] | None = None
        self._heartbeat: Popen[str] | None = None

    def show(self, stages: list[Stage]) -> None:
        from shutil import get_terminal_size

        from tqdm import tqdm

        counted = [stage for stage in stages if stage.total is not None]
        # What an outer stage counts goes forward once, what an inner one counts again and again.
        shown = (counted or stages[-1:] or [self._whole])[0]
        if self._bar is None or self._drawn != (shown, shown.total):
            self.clear()
            self._drawn = shown, shown.total
            self._bar = tqdm(
                total=shown.total,
                unit=shown.unit if shown.unit == "B" else f" {shown.unit}",
                unit_scale=shown.unit == "B",
                leave=False,
                file=self.stream,
                nrows=2,  # else tqdm asks the terminal, and draws nothing if that does not know
                delay=1e-9,  # nothing is drawn before its time is set
                bar_format=_UNCOUNTED if shown.total is None else None,
            )
            self._bar.start_t -= monotonic() - shown.started
        text, columns = _joined(stages or [shown]), get_terminal_size().columns - 1
        self._bar.ncols = columns
        self._bar.n = shown.done
        self._bar.set_description_str(text, refresh=False)
        self._bar.refresh()
        self._tell([text, monotonic() - shown.started, columns])

    def clear(self) -> None:
        if self._bar is not None:
            self._tell(["", 0, 0], is_answered=True)
            self._bar.close()
            self._bar = None

    def end(self) -> None:
        if self._heartbeat:
            self._heartbeat.communicate()

    def _tell(self, state: list[Any], is_answered: bool = False) -> None:
        """Tell the process that draws where no thread of this one can (see `heartbeat`)."""
        if self._heartbeat is None:
            from subprocess import PIPE, Popen

            command = [sys.executable, "-I", "-S", str(Path(__file__).with_name("heartbeat.py"))]
            self._heartbeat = Popen(
                command, stdin=PIPE, stdout=PIPE, stderr=self.stream.fileno(), text=True, bufsize=1
            )
        to, answers = cast(IO[str], self._heartbeat.stdin), cast(IO[str], self._heartbeat.stdout)
        with suppress(OSError):  # somebody has ended it
            to.write(f"{json.dumps(state)}\n")
            if is_answered:
                answers.readline()


class _Log(_Display):
    """Writes a line for each stage that takes long, when it has."""

    def __init__(self) -> None:
        super().__init__()
        self._said: set[str] = set()

    def show(self, stages: list[Stage]) -> None:
        late = [s for s in stages if monotonic() - s.started >= _LEAST_LOGGED_S]
        text = _joined(late)
        if late and text not in self._said:
            self._said.add(text)
            self.stream.write(f"{text} ...\n")
            self.stream.flush()


def _joined(stages: list[Stage]) -> str:
    names = dict.fromkeys(one_line(stage.name) for stage in stages)
    return ": ".join(names)
