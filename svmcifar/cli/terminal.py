"""Standard output and error, to which no text that others chose can send control characters."""

import io
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any, TextIO

from svmcifar.errors import OutputError
from svmcifar.text import one_line, visible


class VisibleStream:
    """A text stream that makes text visible and escapes characters that its encoding lacks."""

    buffer = None  # click would write to it where the encoding is ASCII

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.before_write: Callable[[], None] | None = None  # removes a progress bar, if any

    def write(self, text: str) -> int:
        """Write visible text; a carriage return may begin it, as progress bars do."""
        if self.before_write:
            self.before_write()
        start = text.startswith("\r")
        shown = text[:start] + visible(text[start:])
        encoding = self.stream.encoding or "utf-8"
        with _stream_errors():
            self.stream.write(shown.encode(encoding, "backslashreplace").decode(encoding))
        return len(text)

    def flush(self) -> None:
        """Write what is waiting."""
        with _stream_errors():
            self.stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def shell_word(text: str) -> str:
    """Quote a word of a command that is printed, so that it can be pasted into a shell."""
    if one_line(text) == text:
        return shlex.quote(text)
    escaped = one_line(text.replace("\\", r"\\").replace("'", r"\'"))
    return f"$'{escaped}'"  # bash, zsh and ksh undo these escapes


@contextmanager
def visible_streams() -> Iterator[None]:
    """Let everything that the block prints be visible text."""
    before = sys.stdout, sys.stderr
    streams = [VisibleStream(stream) if stream else stream for stream in before]
    sys.stdout, sys.stderr = streams
    try:
        yield
    finally:
        if [sys.stdout, sys.stderr] == streams:  # click replaces them if a pipe is closed
            sys.stdout, sys.stderr = before


@contextmanager
def data_output(stream: TextIO) -> Iterator[IO[str]]:
    """Yield standard output for data: to anything but a terminal they go as to a file, in UTF-8."""
    if not isinstance(stream, VisibleStream) or stream.isatty():
        yield stream
        return
    data = io.TextIOWrapper(
        stream.stream.buffer, encoding="utf-8", errors="surrogateescape", newline=""
    )
    try:
        with _stream_errors():
            yield data
            data.flush()
    finally:
        data.detach()


@contextmanager
def _stream_errors() -> Iterator[None]:
    """Turn the OSErrors of a block into OutputErrors, but for that of a closed pipe."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(
            f"standard output: it must be writable, got '{error.strerror}'; write to another place"
        ) from error
