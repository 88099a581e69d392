"""Hidden folders for what is being written; those whose writers were killed are removed.

A writer holds a lock on a file in its folder, which the system gives up when the writer ends, in
whatever way.  So a folder whose lock is free belongs to nobody, on any machine that shares it.
Where a file system has no locks, folders stay.
"""

import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    from fcntl import LOCK_EX, LOCK_NB, flock
except ImportError:  # Windows does not remove a file that is open
    flock = None  # type: ignore[assignment]

_NAME = re.compile(r"\.svmcifar-[0-9a-f]{8}")
_LOCK = "lock"


@contextmanager
def unfinished_folder(place: Path) -> Iterator[Path]:
    """Yield a new hidden folder within `place`, and remove it in the end with all that is in it.

    Folders that killed writers have left in `place` are removed first.
    """
    remove_abandoned(place)
    folder, lock = _make_locked(place)
    try:
        yield folder
    finally:
        os.close(lock)
        shutil.rmtree(folder, ignore_errors=True)


def remove_abandoned(place: Path) -> None:
    """Remove the folders of `unfinished_folder` in `place` whose writers are gone."""
    with suppress(OSError):  # a folder that may be written to and not read
        for entry in os.scandir(place):
            if _NAME.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
                _remove_abandoned(Path(entry))


def _remove_abandoned(folder: Path) -> None:
    """Remove a folder if its lock is free, or if its writer got no further than to make it."""
    with suppress(OSError):
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if _take(lock):
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(lock)


def _make_locked(place: Path) -> tuple[Path, int]:
    """Make a folder and take its lock, before another process takes it for abandoned."""
    while True:
        folder = place / f".svmcifar-{secrets.token_hex(4)}"
        folder.mkdir()
        try:
            lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        except FileNotFoundError:  # removed just now
            continue
        except OSError:
            folder.rmdir()
            raise
        is_ours = True
        with suppress(OSError):  # a file system without locks
            is_ours = _take(lock)
        if is_ours and folder.exists():
            return folder, lock
        os.close(lock)


def _take(lock: int) -> bool:
    """Take the lock of a file; return False if another has it, raise OSError if there is none."""
    if flock is not None:
        try:
            flock(lock, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            return False
    return True
