"""A folder of outputs that appears whole, and never takes foreign files away."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from svmcifar.errors import OutputError


def check_folder(path: Path, overwrite: bool) -> None:
    """Refuse an output folder before any work is spent on it.

    Parameters
    ----------
    path : Path
    overwrite : bool
        Whether files in an existing folder may be replaced.

    Raises
    ------
    OutputError
        If the path is a file, or a folder and `overwrite` is False.
    """
    if os.path.lexists(path) and not path.is_dir():
        raise OutputError(f"{path}: the output must be a folder, and this is a file; name another")
    if path.is_dir() and not overwrite:
        raise OutputError(
            f"{path}: the folder exists already; pass --overwrite to replace the report's files "
            "in it, or name another folder"
        )


@contextmanager
def staged_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder whose files become those of `path` when the block succeeds.

    A new folder is put in place by one renaming.  In an existing one the files
    of the same names are replaced, one by one, and all others stay as they are.
    If the block fails, `path` stays as it was.  OSErrors of the block become
    OutputErrors.

    Parameters
    ----------
    path : Path
        Ask `check_folder` first.

    Yields
    ------
    Path
        The temporary folder, on the same file system.

    Raises
    ------
    OutputError
        If the operating system refuses a folder or a file.
    """
    exists = path.is_dir()
    hidden = f".{path.resolve().name}-{secrets.token_hex(4)}"
    staging = path / hidden if exists else path.with_name(hidden)
    try:
        staging.mkdir(parents=True)
        yield staging
        if exists:
            _move_files(staging, path)
        else:
            os.replace(staging, path)
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(
            f"{path}: the output folder must be writable, got '{reason}'; name another folder or "
            "mend this one"
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _move_files(source: Path, target: Path) -> None:
    """Move all files to the same places below another folder."""
    files = [path.relative_to(source) for path in source.rglob("*") if path.is_file()]
    for file in files:  # look at all before the first is replaced
        if (target / file).is_dir():
            raise IsADirectoryError(None, f"{file} is a folder there")
    for file in files:
        (target / file).parent.mkdir(parents=True, exist_ok=True)
        os.replace(source / file, target / file)
