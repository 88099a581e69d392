"""Writing output files whole or not at all."""

import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from svmcifar.errors import OutputError


def check_output(path: str | Path, overwrite: bool, keep: Iterable[str | Path] = ()) -> None:
    """Refuse an output that exists already or cannot be, before any work is spent on it.

    Parameters
    ----------
    path : str or Path
        The file to be written.
    overwrite : bool
        Whether an existing file may be replaced.  A folder never may.
    keep : iterable of str or Path
        Inputs, and outputs of the same command, that may not be replaced.

    Raises
    ------
    OutputError
        If `path` is a folder, is one of `keep`, exists and `overwrite` is
        False, or would be in a folder that cannot be written to.
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
            f"to; name another file or mend the folder"
        )


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a temporary path that becomes `path` when the block succeeds.

    The temporary file lies in the same folder, which is created where it is
    missing, and ends in the same suffix, since some writers go by it.  If the
    block fails, the temporary file is removed and `path` stays as it was.
    The block should do nothing but write: its OSErrors become OutputErrors.

    Parameters
    ----------
    path : str or Path
        The file to be written.  An existing file is replaced: ask
        `check_output` first.

    Yields
    ------
    Path
        The temporary path.  Nothing exists there yet.

    Raises
    ------
    OutputError
        If the operating system refuses the folder, the file or the renaming.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with atomic_path(folder / "runs" / "note.txt") as temporary:
    ...     _ = temporary.write_text("done")
    >>> (folder / "runs" / "note.txt").read_text()
    'done'
    """
    target = Path(path)
    temporary = target.with_name(f".{target.stem}-{secrets.token_hex(4)}{target.suffix}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, target)
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(
            f"{path}: an output must be writable, got '{reason}'; "
            "name another file or mend the folder"
        ) from error
    finally:
        with suppress(OSError):  # gone already, or never made
            temporary.unlink()
