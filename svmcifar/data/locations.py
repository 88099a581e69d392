"""Where the files of a data set lie: in a folder or an archive, in one of the usual places."""

import hashlib
import lzma
import os
import tarfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO

from svmcifar.data.dataset import DatasetDescription
from svmcifar.errors import DataError

SYNTHETIC_SUMS = "SYNTHETIC.md5"  # its presence beside the data files makes a set synthetic

_ARCHIVE_SUFFIXES = (".tar.gz", ".tgz", ".tar.xz", ".tar.bz2", ".tar")
_CHUNK_BYTES = 2**20
_KEEP_LIMIT_BYTES = 64 * 2**20
_TORCHVISION_ROOTS = ("data", "data/cifar100", ".", "~/data", "~/data/cifar100", "~/datasets")
_CLIP_ROOT = "~/.cache"

ARCHIVE_ERRORS = (tarfile.TarError, zlib.error, lzma.LZMAError, EOFError)
"""What reading a damaged archive may raise, beside OSError."""


class FolderSource:
    """A folder that holds the files of a data set."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, name: str) -> bytes:
        """Read one file whole."""
        try:
            return (self.path / name).read_bytes()
        except OSError as error:
            raise self._unreadable(name, error) from error

    def md5(self, name: str) -> str:
        """Return the md5 of one file without holding it."""
        try:
            return file_md5(self.path / name)
        except OSError as error:
            raise self._unreadable(name, error) from error

    def synthetic_sums(self) -> bytes | None:
        """Read the sums that mark a synthetic data set; None where there are none."""
        return self.read(SYNTHETIC_SUMS) if (self.path / SYNTHETIC_SUMS).is_file() else None

    def _unreadable(self, name: str, error: OSError) -> DataError:
        return DataError(
            f"{self.path / name}: a data file must be readable, got '{error.strerror}'; "
            "fix the file or get the data set again with `svmcifar download`"
        )


class ArchiveSource:
    """A tar archive of such a folder, read in memory and never extracted.

    An archive has to be decompressed from its start, so one pass sums every
    member and keeps those below 64 MiB until they are asked for.  The 155 MB
    of CIFAR-100's `train` are kept only on the pass that asks for them.
    """

    def __init__(self, path: Path, description: DatasetDescription) -> None:
        self.path = path
        self._description = description
        self._md5s: dict[str, str] = {}
        self._kept: dict[str, bytes] = {}

    def read(self, name: str) -> bytes:
        """Read one member whole; later reads of the same member need another pass."""
        if name not in self._kept:
            self._scan(wanted=name)
        if name not in self._kept:
            raise self._missing(name)
        return self._kept.pop(name)

    def md5(self, name: str) -> str:
        """Return the md5 of one member without holding it."""
        if not self._md5s:
            self._scan()
        if name not in self._md5s:
            raise self._missing(name)
        return self._md5s[name]

    def synthetic_sums(self) -> bytes | None:
        """Read the sums that mark a synthetic data set; None where there are none."""
        if not self._md5s:
            self._scan()
        return self.read(SYNTHETIC_SUMS) if SYNTHETIC_SUMS in self._md5s else None

    def _scan(self, wanted: str | None = None) -> None:
        try:
            with tarfile.open(self.path, "r:*") as archive:
                for member in archive:
                    name = data_member_name(member, self._description)
                    stream = archive.extractfile(member) if name else None
                    if name is None or stream is None:
                        continue
                    is_new_and_small = name not in self._md5s and member.size <= _KEEP_LIMIT_BYTES
                    if name == wanted or is_new_and_small:
                        self._kept[name] = stream.read()
                        self._md5s[name] = bytes_md5(self._kept[name])
                    else:
                        self._md5s[name] = stream_md5(stream)
        except (*ARCHIVE_ERRORS, OSError) as error:
            raise unreadable_archive(self.path, self._description, error) from error

    def _missing(self, name: str) -> DataError:
        return DataError(
            f"{self.path}: the archive must hold {self._description.folder_name}/{name}, got none; "
            "get the official archive with `svmcifar download`"
        )


def source_at(place: Path, description: DatasetDescription) -> FolderSource | ArchiveSource | None:
    """Look for a data set.

    Parameters
    ----------
    place : Path
        The folder of its files, a folder that holds this folder or the archive, or a file,
        which is taken for the archive.
    description : DatasetDescription

    Returns
    -------
    FolderSource, ArchiveSource or None
    """
    path = Path(os.path.expanduser(place))
    inner = path / description.folder_name
    for folder in (path, inner):
        if all((folder / name).is_file() for name in description.files):
            return FolderSource(folder)
    for archive in (path, *(Path(f"{inner}{suffix}") for suffix in _ARCHIVE_SUFFIXES)):
        if archive.is_file():
            return ArchiveSource(archive, description)
    return None


def usual_places(description: DatasetDescription) -> list[Path]:
    """Return where this package, torchvision's users and Keras put a data set.

    Parameters
    ----------
    description : DatasetDescription

    Returns
    -------
    list of Path
        In the order of the search, as a person would write them: relative to
        the current folder, or from "~".
    """
    name = description.folder_name
    keras = Path(os.environ.get("KERAS_HOME") or "~/.keras", "datasets")
    return [
        Path("data", name),
        *(Path(root) for root in (*_TORCHVISION_ROOTS, _CLIP_ROOT)),
        keras / f"{name}-target",  # Keras 3
        keras,  # Keras 2
    ]


def data_member_name(member: tarfile.TarInfo, description: DatasetDescription) -> str | None:
    """Return which data file a member of an archive is.

    Parameters
    ----------
    member : tarfile.TarInfo
    description : DatasetDescription

    Returns
    -------
    str or None
        A key of `description.files`, or "SYNTHETIC.md5"; None for anything else, links and
        files in other folders among it.
    """
    path = PurePosixPath(member.name)
    is_known = path.name in (*description.files, SYNTHETIC_SUMS)
    is_in_place = path.parts[:-1] in ((description.folder_name,), ())
    return path.name if is_known and is_in_place and member.isfile() else None


def unreadable_archive(
    path: Path, description: DatasetDescription, error: BaseException
) -> DataError:
    """Return the error for an archive that raised another when it was read."""
    reason = " ".join(str(error).split())[:100]
    return DataError(
        f"{path}: must be a folder with {', '.join(description.files)} or a whole tar archive of "
        f"one, got a file that does not read as one ({reason}); get it again with "
        "`svmcifar download`"
    )


def bytes_md5(content: bytes) -> str:
    """Return the md5, for integrity and not for security, as 32 hexadecimal digits."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def file_md5(path: Path) -> str:
    """Return the md5 of a file without holding it."""
    with path.open("rb") as file:
        return stream_md5(file)


def stream_md5(stream: IO[bytes]) -> str:
    """Return the md5 of what is left of a stream."""
    md5 = hashlib.md5(usedforsecurity=False)
    while chunk := stream.read(_CHUNK_BYTES):
        md5.update(chunk)
    return md5.hexdigest()
