"""The files of the feature cache: written whole, read with suspicion, the oldest removed first."""

import errno
import os
import re
import shutil
import time
import warnings
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from svmcifar.compute.memory import format_bytes
from svmcifar.errors import OutputError, SvmCifarError
from svmcifar.features.cache_settings import FOLDER_VARIABLE, LIMIT_VARIABLE
from svmcifar.io.files import atomic_path

# Nothing else in the folder is touched.  A name that begins with a dot is that of a file which is
# being written, or was when its writer died (see `svmcifar.io.files.atomic_path`).
_NAME = re.compile(
    r"(?P<dot>\.)?(?P<kind>pipeline|features)-[0-9a-f]{32}-[0-9a-f]{32}(?(dot)-[0-9a-f]{8})\.zip"
)
# After this a file that was never finished makes room as others do.
_UNFINISHED_S = 3600.0
# Bounds what an archive has besides its content.
_OVERHEAD_BYTES = 4096

# What reading a damaged file raises.
_DAMAGE = (
    zipfile.BadZipFile, zlib.error, LookupError, ValueError, TypeError, AttributeError, EOFError,
    ArithmeticError, RuntimeError, SvmCifarError,
)  # fmt: skip

Content = TypeVar("Content")


@dataclass(frozen=True)
class CacheEntry:
    """A file of the cache.

    Attributes
    ----------
    path : Path
    kind : {"pipeline", "features", "unfinished"}
        Unfinished ones are being written, or their writer died.
    n_bytes : int
    used : float
        When it was last read or written, in seconds since 1970.
    """

    path: Path
    kind: str
    n_bytes: int
    used: float


class CacheFolder:
    """Entries in a folder, which may hold other files too.

    Several processes may work with the same folder: an entry appears whole, and one that
    vanishes has not been there.

    Parameters
    ----------
    path : Path
        Made when the first entry is written.
    limit_bytes : int
        What all entries may take together.
    """

    def __init__(self, path: Path, limit_bytes: int) -> None:
        self.path = path
        self.limit_bytes = limit_bytes
        self._refuses = False

    def entries(self) -> list[CacheEntry]:
        """List the entries.

        Returns
        -------
        list of CacheEntry
            Least recently used first; empty if there is no folder or it cannot be read.
        """
        found = []
        with suppress(OSError), os.scandir(self.path) as files:
            for file in files:
                match = _NAME.fullmatch(file.name)
                with suppress(OSError):  # it may vanish meanwhile
                    if match and file.is_file(follow_symlinks=False):
                        kind = "unfinished" if match["dot"] else match["kind"]
                        status = file.stat(follow_symlinks=False)
                        path = self.path / file.name
                        found.append(CacheEntry(path, kind, status.st_size, status.st_mtime))
        return sorted(found, key=lambda entry: (entry.used, entry.path))

    def has_any(self, prefix: str) -> bool:
        """Tell whether the name of an entry begins with a prefix."""
        return any(entry.path.name.startswith(prefix) for entry in self.entries())

    def read(self, name: str, load: Callable[[zipfile.ZipFile], Content]) -> Content | None:
        """Read an entry.

        Parameters
        ----------
        name : str
            Of its file.
        load : callable
            Takes what it needs from the open archive.

        Returns
        -------
        object or None
            What `load` gives.  None if there is no such entry, or, with a warning, if it cannot
            be read or is damaged: then it is removed.
        """
        path = self.path / name
        try:
            with zipfile.ZipFile(path) as archive:
                content = load(archive)
        except FileNotFoundError:
            return None
        except (OSError, MemoryError) as error:  # it may be whole, and readable another time
            warnings.warn(
                f"{path}: an entry of the feature cache must be readable and fit the memory, got "
                f"'{_one_line(error)}'; it is not used, and features are computed again",
                stacklevel=2,
            )
            return None
        except _DAMAGE as error:
            with suppress(OSError):
                path.unlink()
            warnings.warn(
                f"{path}: an entry of the feature cache must be whole and written by svmcifar, "
                f"got '{_one_line(error)}'; it is not used, and features are computed again",
                stacklevel=2,
            )
            return None
        with suppress(OSError):  # another user's, perhaps
            os.utime(path)
        return content

    def write(self, name: str, n_bytes: int, save: Callable[[zipfile.ZipFile], None]) -> bool:
        """Write an entry, and remove the least recently used ones that it has no room beside.

        Where that cannot be done nothing is stored, with one warning, and nothing else is tried.

        Parameters
        ----------
        name : str
            Of its file.
        n_bytes : int
            Size of what `save` writes.
        save : callable
            Writes the content into the open archive, without compressing it.

        Returns
        -------
        bool
            Whether it was stored.
        """
        n_bytes += _OVERHEAD_BYTES
        if self._refuses:
            return False
        if n_bytes > self.limit_bytes:
            warnings.warn(
                f"{self.path}: an entry of the feature cache must fit its limit of "
                f"{format_bytes(self.limit_bytes)}, got {format_bytes(n_bytes)}; it is not "
                f"stored; raise the limit with ${LIMIT_VARIABLE}",
                stacklevel=2,
            )
            return False
        if not self._make_room(n_bytes):
            return False
        try:
            with atomic_path(self.path / name) as temporary:
                _require_space(temporary.parent, n_bytes)
                with zipfile.ZipFile(temporary, "w") as archive:
                    save(archive)
        except OutputError as error:
            self._refuses = True
            warnings.warn(
                f"{self.path}: the folder of the feature cache must be writable and have room, "
                f"got '{_one_line(error.__cause__ or error)}'; nothing is stored; name another "
                f"folder with ${FOLDER_VARIABLE}",
                stacklevel=2,
            )
            return False
        return True

    def _make_room(self, n_bytes: int) -> bool:
        """Remove what was not used for longest until so much more is within the limit."""
        entries = self.entries()
        total = sum(entry.n_bytes for entry in entries) + n_bytes
        removable = [entry for entry in entries if not _is_being_written(entry)]
        if total - sum(entry.n_bytes for entry in removable) > self.limit_bytes:
            return False
        for entry in removable:
            if total <= self.limit_bytes:
                break
            with suppress(OSError):  # another process was quicker, or reads it (on Windows)
                entry.path.unlink()
                total -= entry.n_bytes
        return total <= self.limit_bytes

    def clear(self) -> list[CacheEntry]:
        """Remove every entry, and no other file.

        Returns
        -------
        list of CacheEntry
            Those that were removed.

        Raises
        ------
        OutputError
            If the operating system refuses to remove one.
        """
        entries = self.entries()
        for entry in entries:
            try:
                entry.path.unlink(missing_ok=True)
            except OSError as error:
                raise OutputError(
                    f"{entry.path}: the entry must be removable, got '{_one_line(error)}'; "
                    f"mend the folder or remove the file yourself"
                ) from error
        return entries


def _is_being_written(entry: CacheEntry) -> bool:
    return entry.kind == "unfinished" and time.time() - entry.used < _UNFINISHED_S


def _require_space(folder: Path, n_bytes: int) -> None:
    """Leave as much again free as an entry takes: the model is still to be written."""
    if shutil.disk_usage(folder).free < 2 * n_bytes:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _one_line(error: BaseException) -> str:
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(reason.split())
