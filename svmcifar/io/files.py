"""Files and folders that are written whole or not at all."""

import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from svmcifar.errors import OutputError


def check_output(path: str | Path, overwrite: bool, keep: Iterable[str | Path] = ()) -> None:
    """Raise OutputError if a file exists or cannot be written, before any work is spent on it.

    `overwrite` allows the replacement of a file, but never of a folder, nor of the files `keep`:
    inputs and other outputs of the same command.
    """
    if Path(path).resolve() in {Path(other).resolve() for other in keep}:
        raise OutputError(
            f"{path}: an output must not be a file that the command reads or writes otherwise; "
            f"name another file"
        )
    if Path(path).is_dir():
        raise OutputError(f"{path}: an output must be a file, and this is a folder; name a file")
    if not overwrite and os.path.lexists(path):
        raise OutputError(f"{path}: the file exists already; pass --overwrite or name another file")
    folder = next(parent for parent in Path(path).absolute().parents if os.path.lexists(parent))
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise OutputError(
            f"{path}: an output must be writable, and {folder} is no folder that can be written "
            f"to; name another file or fix the folder"
        )


def check_folder(path: Path, overwrite: bool) -> None:
    """Raise OutputError if `path` is a file, or is a folder and `overwrite` is False."""
    if os.path.lexists(path) and not path.is_dir():
        raise OutputError(f"{path}: the output must be a folder, and this is a file; name another")
    if path.is_dir() and not overwrite:
        raise OutputError(
            f"{path}: the folder exists already; pass --overwrite to replace the report's files "
            "in it, or name another folder"
        )


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path that becomes `path` when the block succeeds.

    Nothing exists at the temporary path yet.  It lies in the same folder, which is created if
    missing, and has the same suffix, on which some writers depend.  An existing file is replaced:
    call `check_output` first.  If the block fails, the temporary file is removed and `path` stays
    as it was.  The block should do nothing but write: its OSErrors become OutputErrors.

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
    temporary = target.with_name(f".{target.stem}-{secrets.token_hex(4)}{target.suffix}")
    with output_errors(path), _removed_finally(temporary):
        temporary.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, target)


@contextmanager
def staged_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """Yield an empty folder whose files become those of `path` when the block succeeds.

    It lies on the same file system: a new folder appears by one renaming.  In an existing one,
    files of the same names are replaced one by one and all others stay, unless `replace`: then
    the whole folder is replaced.  Call `check_folder` first.  If the block fails, `path` stays as
    it was.  OSErrors of the block become OutputErrors.
    """
    hidden = f".{path.resolve().name}-{secrets.token_hex(4)}"
    is_inside = path.is_dir() and not replace
    staging = path / hidden if is_inside else path.with_name(hidden)
    with output_errors(path), _removed_finally(staging):
        staging.mkdir(parents=True)
        yield staging
        if is_inside:
            _move_files(staging, path)
        else:
            _swap(staging, path)


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
def _removed_finally(temporary: Path) -> Iterator[None]:
    try:
        yield
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)


def _move_files(source: Path, target: Path) -> None:
    """Move all files to the same relative paths in another folder."""
    files = [path.relative_to(source) for path in source.rglob("*") if path.is_file()]
    for file in files:  # check all before the first is replaced
        if (target / file).is_dir():
            raise IsADirectoryError(None, f"{file} is a folder there")
    for file in files:
        (target / file).parent.mkdir(parents=True, exist_ok=True)
        os.replace(source / file, target / file)


def _swap(fresh: Path, target: Path) -> None:
    """Rename a finished folder; a folder in its place is kept until that is done."""
    if not target.exists():
        fresh.rename(target)
        return
    before = fresh.with_name(f"{fresh.name}-before")
    target.rename(before)
    try:
        fresh.rename(target)
    except BaseException:
        before.rename(target)
        raise
    shutil.rmtree(before)
