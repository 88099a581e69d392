"""The folder of the feature cache: its place, its limit and its entries.

Nothing heavy is imported, so that `svmcifar cache` starts at once.
"""

import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from svmcifar.compute.memory import parse_bytes
from svmcifar.errors import InputError, OutputError

FOLDER_VARIABLE, LIMIT_VARIABLE = "SVMCIFAR_CACHE", "SVMCIFAR_CACHE_LIMIT"
_DEFAULT_LIMIT = "10GiB"
# The entries lie in a folder of their own: KIND/KEY/output.pkl.
_STORE = "entries"
# Entries of older releases, beside that folder.
_FORMER_ENTRIES = f"*-{'[0-9a-f]' * 32}-{'[0-9a-f]' * 32}.zip"


class CacheSettings(NamedTuple):
    """The folder, and the limit of all entries together; 0 turns the cache off."""

    folder: Path
    limit_bytes: int


class CacheEntry(NamedTuple):
    """An entry of the cache, in a folder of its own."""

    kind: str  # "pipeline" or "features"
    path: Path
    n_bytes: int
    used: float  # last read or written, in seconds since 1970


def read_cache_settings() -> CacheSettings:
    """Read the settings from the environment.

    ``SVMCIFAR_CACHE`` names the folder, ``SVMCIFAR_CACHE_LIMIT`` the limit (as
    `svmcifar.compute.memory.parse_bytes` reads it, or 0); by default the platform's folder for
    caches and 10 GiB.  Raise InputError if a variable is invalid or no home folder is known.
    """
    return CacheSettings(_folder(), _limit_bytes())


def list_entries(folder: Path) -> list[CacheEntry]:
    """List the entries in a cache folder, the least recently used first."""
    entries = []
    for path in (folder / _STORE).glob("*/*/"):
        with suppress(OSError):  # another process may remove it meanwhile
            files = [file.stat() for file in path.rglob("*") if file.is_file()]
            used = max((status.st_atime for status in files), default=0.0)
            n_bytes = sum(status.st_size for status in files)
            entries.append(CacheEntry(path.parent.name, path, n_bytes, used))
    return sorted(entries, key=lambda entry: entry.used)


def clear_entries(folder: Path) -> list[CacheEntry]:
    """Remove every entry, those of older releases too, and no other file; return the former.

    Raise OutputError if the operating system refuses to remove one.
    """
    entries = list_entries(folder)
    try:
        for path in (folder / _STORE).glob("*/"):
            shutil.rmtree(path)
        for path in folder.glob(_FORMER_ENTRIES):
            path.unlink()
    except OSError as error:
        raise OutputError(
            f"{error.filename}: an entry of the feature cache must be removable, got "
            f"'{error.strerror}'; fix the folder or remove it yourself"
        ) from error
    return entries


def make_store(folder: Path) -> Path:
    """Make the folder of the entries if it does not exist, and return it.

    Raise OutputError if it cannot be made, belongs to another user, or others can write to it.
    """
    for path in (folder, folder / _STORE):
        _make_private(path)
    return folder / _STORE


def _make_private(path: Path) -> None:
    """Make a folder if it does not exist; raise OutputError if it is not this user's own."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = path.stat()
    except OSError as error:
        reason = str(error.strerror)
    else:
        reason = _why_not_private(status, 0o022)
    if reason:
        raise OutputError(
            f"{path}: the folder of the feature cache must be yours, and only you may write to "
            f"it, got '{reason}'; fix it or name another with ${FOLDER_VARIABLE}"
        )


def require_own_entry(path: Path) -> None:
    """Raise OutputError if another user has put an entry into the cache, or could write to it."""
    for part in (path / "output.pkl", path, *path.parents[:3]):
        # A group may write to entries by the umask, but cannot reach them in the private folder.
        forbidden = 0o022 if part in path.parents[1:] else 0o002
        if reason := _why_not_private(part.stat(), forbidden):
            raise OutputError(f"{part}: {reason}")


def _why_not_private(status: os.stat_result, forbidden: int) -> str:
    """Say why a file is not this user's own; "" if it is."""
    if not hasattr(os, "getuid"):  # on Windows, where homes are private
        return ""
    if status.st_uid != os.getuid():
        return "it belongs to another user"
    mode = status.st_mode & 0o777
    return f"others can write to it (mode {mode:o})" if mode & forbidden else ""


def _folder() -> Path:
    named = os.environ.get(FOLDER_VARIABLE)
    try:
        return Path(named).expanduser() if named else _platform_folder() / "svmcifar"
    except RuntimeError as error:  # from expanduser
        raise InputError(
            f"The feature cache must have a folder, and no home folder is known. "
            f"Got ${FOLDER_VARIABLE}={named or ''}. Name a folder with it, or set "
            f"{LIMIT_VARIABLE}=0 to do without."
        ) from error


def _platform_folder() -> Path:
    """Return the platform's folder for caches."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or "~/AppData/Local").expanduser()
    if sys.platform == "darwin":
        return Path("~/Library/Caches").expanduser()
    named = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # The specification has relative paths ignored.
    return named if named.is_absolute() else Path("~/.cache").expanduser()


def _limit_bytes() -> int:
    text = os.environ.get(LIMIT_VARIABLE) or _DEFAULT_LIMIT
    try:
        return 0 if text.strip() == "0" else parse_bytes(text)
    except InputError as error:
        raise InputError(
            f"${LIMIT_VARIABLE} must be 0, a number of bytes, or such as '3GB' or '512MiB'. "
            f"Got {text!r} instead."
        ) from error
