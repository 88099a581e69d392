"""Files that are written whole or not at all."""

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

from svmcifar.errors import OutputError
from svmcifar.io.unfinished import unfinished_folder

# Of model files and checkpoints, which are zip archives.
_YEARS = (1980, 2107)


def check_output(path: str | Path, overwrite: bool, keep: Iterable[str | Path] = ()) -> None:
    """Raise OutputError if a file exists or cannot be written, before any work is spent on it.

    `overwrite` allows the replacement of a file, but never of a folder or a device, nor of the
    files `keep`: inputs and other outputs of the same command.
    """
    if Path(path).resolve() in {Path(other).resolve() for other in keep}:
        raise OutputError(
            f"{path}: an output must not be a file that the command reads or writes otherwise; "
            f"name another file"
        )
    if Path(path).exists() and not Path(path).is_file():
        what = "folder" if Path(path).is_dir() else "device"
        raise OutputError(f"{path}: an output must be a file, and this is a {what}; name a file")
    if not overwrite and os.path.lexists(path):
        raise OutputError(f"{path}: the file exists already; pass --overwrite or name another file")
    check_writable(path, Path(path).absolute().parent, "file")
    first, last = _YEARS
    if not first <= (year := time.localtime(time.time()).tm_year) <= last:
        raise OutputError(
            f"{path}: the clock must be in {first} to {last}, the years that zip archives have, "
            f"got {year}; set it"
        )


def check_writable(path: str | Path, folder: Path, what: str) -> None:
    """Raise OutputError if a folder, or the nearest above it that exists, cannot be written to."""
    nearest = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        raise OutputError(
            f"{path}: an output must be writable, and {nearest} is no folder that can be written "
            f"to; name another {what} or fix the folder"
        )


class _Group:
    """Files that are finished but not yet renamed, and what to remove in the end."""

    def __init__(self) -> None:
        self.finished: list[tuple[Path, Path]] = []  # temporary path, path
        self.leftovers = ExitStack()

    def rename(self) -> None:
        for _, path in self.finished:  # check all before the first is replaced
            with output_errors(path):
                if path.is_dir():
                    raise IsADirectoryError(None, "it is a folder")
        for temporary, path in self.finished:
            with output_errors(path):
                os.replace(temporary, path)


_group: ContextVar[_Group | None] = ContextVar("_group", default=None)


@contextmanager
def written_together() -> Iterator[_Group]:
    """Let all files that the block writes by `atomic_path` appear when it succeeds, or none.

    They are written beside their paths in the block and renamed at its end.  A block within
    another is part of it.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     a, b = Path(folder, "a.txt"), Path(folder, "b.txt")
    ...     with written_together():
    ...         for path in (a, b):
    ...             with atomic_path(path) as temporary:
    ...                 _ = temporary.write_text("done")
    ...         before = a.exists(), b.exists()
    ...     before, (a.exists(), b.exists())
    ((False, False), (True, True))
    """
    outer = _group.get()
    if outer is not None:
        yield outer
        return
    group = _Group()
    token = _group.set(group)
    try:
        with group.leftovers:
            yield group
            group.rename()
    finally:
        _group.reset(token)


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path that becomes `path` when the block succeeds.

    Nothing exists at the temporary path yet.  It has the same name, and lies in an
    `unfinished_folder` beside `path`, whose own folder is created if missing.  An existing file is
    replaced: call `check_output` first.  If the block fails, the temporary file and folders that
    were created are removed, and `path` stays as it was.  The block should do nothing but write:
    its OSErrors become OutputErrors.  Within `written_together`, the file appears at the end of
    that.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "runs" / "note.txt"
    ...     with atomic_path(path) as temporary:
    ...         _ = temporary.write_text("done")
    ...     path.read_text()
    'done'
    """
    target = Path(path)
    with written_together() as group:
        with output_errors(path):
            group.leftovers.enter_context(parents_made(target))
            folder = group.leftovers.enter_context(unfinished_folder(target.parent))
            temporary = folder / target.name
            yield temporary
        group.finished.append((temporary, target))


@contextmanager
def output_errors(path: str | Path) -> Iterator[None]:
    """Turn the OSErrors of a block that writes `path` into OutputErrors."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{path}: an output must be writable, got '{error.strerror or error}'; "
            "name another or fix the folder"
        ) from error


@contextmanager
def parents_made(path: Path) -> Iterator[None]:
    """Make the folders above a path, and remove those that are empty in the end."""
    missing = [folder for folder in path.absolute().parents if not folder.exists()]
    try:
        if missing:
            path.parent.mkdir(parents=True, exist_ok=True)
        yield
    finally:
        for folder in missing:
            with suppress(OSError):
                folder.rmdir()
