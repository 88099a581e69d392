"""Find and read the files of a data set: in a folder or an archive, in one of the usual places."""

import hashlib
import lzma
import os
import tarfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO

from svmcifar.compute.progress import stage
from svmcifar.data.dataset import DatasetDescription
from svmcifar.errors import DataError

SYNTHETIC_SUMS = "SYNTHETIC.md5"  # beside the data files, it marks a data set as synthetic

_ARCHIVE_SUFFIXES = (".tar.gz", ".tgz", ".tar.xz", ".tar.bz2", ".tar")
_CHUNK_BYTES = 2**20
_KEEP_LIMIT_BYTES = 64 * 2**20
_TORCHVISION_ROOTS = ("data", "data/cifar100", ".", "~/data", "~/data/cifar100", "~/datasets")
_CLIP_ROOT = "~/.cache"

ARCHIVE_ERRORS = (tarfile.TarError, zlib.error, lzma.LZMAError, EOFError)
"""What reading a damaged archive raises, apart from OSError."""


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
        """Return the md5 of one file, read in pieces."""
        try:
            return file_md5(self.path / name)
        except OSError as error:
            raise self._unreadable(name, error) from error

    def synthetic_sums(self) -> bytes | None:
        """Read the md5s that mark a synthetic data set; None if there are none."""
        return self.read(SYNTHETIC_SUMS) if (self.path / SYNTHETIC_SUMS).is_file() else None

    def _unreadable(self, name: str, error: OSError) -> DataError:
        return DataError(
            f"{self.path / name}: a data file must be readable, got '{error.strerror}'; "
            "fix the file or get the data set again with `svmcifar download`"
        )


class ArchiveSource:
    """A tar archive of such a folder, read in memory and never extracted.

    An archive is decompressed from its start, so one pass computes the md5 of every member and
    keeps those up to 64 MiB until they are read.  The 155 MB of CIFAR-100's `train` are kept
    only by a pass made to read them.
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
        """Return the md5 of one member, read in pieces."""
        if not self._md5s:
            self._scan()
        if name not in self._md5s:
            raise self._missing(name)
        return self._md5s[name]

    def synthetic_sums(self) -> bytes | None:
        """Read the md5s that mark a synthetic data set; None if there are none."""
        if not self._md5s:
            self._scan()
        return self.read(SYNTHETIC_SUMS) if SYNTHETIC_SUMS in self._md5s else None

    def _scan(self, wanted: str | None = None) -> None:
        try:
            with stage("reading the archive"), tarfile.open(self.path, "r:*") as archive:
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
                        self._md5s[name] = _stream_md5(stream)
        except (*ARCHIVE_ERRORS, OSError) as error:
            reason = " ".join(str(error).split())[:100]
            raise DataError(
                f"{self.path}: must be a folder with {', '.join(self._description.files)} or a "
                f"whole tar archive of one, got a file that does not read as one ({reason}); "
                "get it again with `svmcifar download`"
            ) from error

    def _missing(self, name: str) -> DataError:
        return DataError(
            f"{self.path}: the archive must hold {self._description.folder_name}/{name}, got none; "
            "get the official archive with `svmcifar download`"
        )


def source_at(place: Path, description: DatasetDescription) -> FolderSource | ArchiveSource | None:
    """Find a data set at `place`: the folder of its files, its archive, or the parent of either.

    Any file is taken for the archive; None if there is nothing.
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

    The paths are in the order of the search, relative to the current folder or from "~".
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
    """Return the data file that a member of an archive is: a key of `files`, or "SYNTHETIC.md5".

    None for anything else, such as links and files in other folders.
    """
    path = PurePosixPath(member.name)
    is_known = path.name in (*description.files, SYNTHETIC_SUMS)
    is_in_place = path.parts[:-1] in ((description.folder_name,), ())
    return path.name if is_known and is_in_place and member.isfile() else None


def bytes_md5(content: bytes) -> str:
    """Return the md5, for integrity and not for security, in hexadecimal."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def file_md5(path: Path) -> str:
    """Return the md5 of a file, read in pieces."""
    with path.open("rb") as file:
        return _stream_md5(file)


def _stream_md5(stream: IO[bytes]) -> str:
    md5 = hashlib.md5(usedforsecurity=False)
    while chunk := stream.read(_CHUNK_BYTES):
        md5.update(chunk)
    return md5.hexdigest()
