"""Folders that are written whole or not at all."""

import errno
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from svmcifar.errors import OutputError, SvmCifarError
from svmcifar.io.files import check_writable, output_errors, parents_made
from svmcifar.io.unfinished import unfinished_folder

# What the system says where a folder is renamed to a path that is taken.
_TAKEN = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)


def check_folder(path: Path, overwrite: bool) -> None:
    """Raise OutputError if a folder exists and `overwrite` is False, or cannot be written."""
    if os.path.lexists(path) and not path.is_dir():
        raise OutputError(f"{path}: the output must be a folder, and this is a file; name another")
    if path.is_dir() and not overwrite:
        raise OutputError(
            f"{path}: the folder exists already; pass --overwrite to replace the report's files "
            "in it, or name another folder"
        )
    check_writable(path, path.absolute(), "folder")


@contextmanager
def scratch_folder(path: Path, place: Path) -> Iterator[Path]:
    """Yield an empty folder in an `unfinished_folder` of `place`, to be renamed by the block.

    `place` is made if it is missing, and removed again if it stays empty.  OSErrors of the block
    become OutputErrors, and all errors that the user can fix name `path` instead of it.
    """
    scratch = path
    try:
        inside = place / path.name
        with output_errors(path), parents_made(inside), unfinished_folder(place) as folder:
            scratch = folder / path.resolve().name
            scratch.mkdir()
            yield scratch
    except SvmCifarError as error:
        raise type(error)(str(error).replace(str(scratch), str(path))) from error


@contextmanager
def staged_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder whose files become those of `path` when the block succeeds.

    It lies on the same file system: a new folder appears by one renaming.  In an existing one,
    files of the same names are replaced one by one and all others stay.  Call `check_folder`
    first.  If the block fails, `path` stays as it was.  Errors are those of `scratch_folder`.
    """
    is_inside = path.is_dir()
    with scratch_folder(path, path if is_inside else path.parent) as staging:
        yield staging
        if is_inside:
            _move_files(staging, path)
        else:
            staging.rename(path)


def put_in_place(fresh: Path, path: Path, is_good: Callable[[Path], bool]) -> Path | None:
    """Rename a finished folder to `path`, unless a good one is there: another process was faster.

    Anything else in its place is renamed to the next free ``.old-N``, which is returned.  It comes
    back if the new folder cannot take its place.
    """
    aside = None
    try:
        while not is_good(path) and not _renamed(fresh, path):
            with suppress(FileNotFoundError):  # another process has moved it
                moved = _free_name(path)
                if not _renamed(path, moved):
                    continue
                if not is_good(moved):
                    aside = moved
                elif not _renamed(moved, path):  # it was finished just now
                    shutil.rmtree(moved)
    except BaseException:
        if aside and not path.exists():
            aside.rename(path)
        raise
    return aside


def _renamed(source: Path, target: Path) -> bool:
    """Rename a folder; return False if the target is taken."""
    try:
        source.rename(target)
    except OSError as error:
        if error.errno not in _TAKEN:
            raise
        return False
    return True


def _free_name(path: Path) -> Path:
    """Return the next free ``.old-N`` beside a path."""
    taken = [
        int(match[1])
        for other in path.parent.glob(f"{path.name}.old-*")
        if (match := re.search(r"\.old-(\d+)$", other.name))
    ]
    return path.with_name(f"{path.name}.old-{max(taken, default=0) + 1}")


def _move_files(source: Path, target: Path) -> None:
    """Move all files to the same relative paths in another folder; none if one cannot be moved."""
    files = [path.relative_to(source) for path in source.rglob("*") if path.is_file()]
    with ExitStack() as made:
        for file in files:  # check all before the first is replaced
            if (target / file).is_dir():
                raise IsADirectoryError(None, f"{file} is a folder there")
            made.enter_context(parents_made(target / file))
            if not os.access((target / file).parent, os.W_OK):
                raise PermissionError(None, f"{file.parent} cannot be written to")
        for file in files:
            os.replace(source / file, target / file)
