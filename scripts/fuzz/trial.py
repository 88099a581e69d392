"""One input for one reader: what may come of it, and what is a finding.

A reader may read a file, or say in one clear line why not, as the command line shows it.
Everything else is a finding: another exception, more than `MOST_SECONDS` of the processor, more
than `MOST_BYTES` of memory, and what the reader takes although it is wrong (which the reader's
`read` raises as `AssertionError`).
"""

import signal
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

from svmcifar.errors import SvmCifarError

MOST_SECONDS = 5.0
MOST_BYTES = 2**30


@dataclass(frozen=True)
class Reader:
    """What reads one kind of file."""

    file: str  # name that the file gets
    seeds: Callable[[Path], list[bytes]]  # small files that are read, made in an empty folder
    read: Callable[[Path], object]
    mutate: Callable[[bytes, Random], bytes]


class _TooLong(BaseException):
    """No broad handler of exceptions may take it."""


def fault_of(reader: Reader, content: bytes, folder: Path) -> str | None:
    """Let a reader read some content; return what is wrong with that, None if nothing is."""
    path = folder / reader.file
    path.write_bytes(content)
    _forget_peak()
    before = _memory(b"VmRSS:")
    try:
        fault = _fault_in(reader, path)
    except _TooLong as error:
        fault = f"more than {MOST_SECONDS:g} s, in {_place_of(error)}"
    if (grown := _memory(b"VmHWM:") - before) > MOST_BYTES:
        return f"{grown / 2**20:.0f} MiB of memory; {fault or 'then it was read or refused'}"
    return fault


def _fault_in(reader: Reader, path: Path) -> str | None:
    signal.signal(signal.SIGPROF, _stop)
    signal.setitimer(signal.ITIMER_PROF, MOST_SECONDS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reader.read(path)
    except (SvmCifarError, MemoryError):  # the command line makes one line of each
        pass
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:200]!r} in {_place_of(error)}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return None


def _stop(_: int, __: FrameType | None) -> Any:
    raise _TooLong


def _place_of(error: BaseException) -> str:
    """Return the innermost lines that an exception came through, of svmcifar's and of all."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "svmcifar/" in frame.filename] or frames
    return " < ".join(
        dict.fromkeys(f"{Path(one.filename).name}:{one.lineno}" for one in (frames[-1], ours[-1]))
    )


def _memory(field: bytes) -> int:
    """Return a size in bytes that Linux tells of this process; 0 elsewhere."""
    try:
        with open("/proc/self/status", "rb", buffering=0) as file:
            return 1024 * int(file.read(4096).partition(field)[2].split()[0])
    except OSError:
        return 0


def _forget_peak() -> None:
    """Let the peak of the memory (VmHWM) begin anew."""
    with suppress(OSError), open("/proc/self/clear_refs", "wb", buffering=0) as file:
        file.write(b"5")


def require(condition: Any, what: str) -> None:
    """Raise AssertionError unless what a reader took is as it must be."""
    if not condition:
        raise AssertionError(f"{what}: wrong, and accepted")
