"""Find and read the files of a data set: in a folder or an archive, in one of the usual places."""

import bz2
import gzip
import hashlib
import lzma
import os
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path, PurePosixPath
from typing import IO, Any

from svmcifar.compute.progress import stage
from svmcifar.data.dataset import ArchiveDescription
from svmcifar.errors import DataError
from svmcifar.io.reading import open_file, read_file
from svmcifar.io.stored_zip import ZIP_ERRORS

SYNTHETIC_SUMS = "SYNTHETIC.md5"  # beside the data files, it marks a data set as synthetic

_ARCHIVE_SUFFIXES = (".tar.gz", ".tgz", ".tar.xz", ".tar.bz2", ".tar", ".zip")
# How zip archives begin, whole or truncated, and pickles.
_ZIP, _PICKLE = b"PK\x03\x04", b"\x80"
# Of files that other data sets are kept in.
_OTHER_SUFFIXES = (".npz", ".parquet")
_CHUNK_BYTES = 2**20
_NO_END = "File is not a zip file"  # zipfile's words for one that only begins as one
_KEEP_LIMIT_BYTES = 64 * 2**20
# Of a file of a data set, and of an archive that is decompressed from its start: twice what CIFAR's
# images take as integers of 64 bits.
_MOST_BYTES = 4 * 2**30
_MOST_AT_ONCE = 16 * 2**20
_TOO_LARGE = "it unpacks to more than a data set has"
# How compressed archives begin.
_COMPRESSED: dict[bytes, Callable[[Any], Any]] = {
    b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open,
}  # fmt: skip
_LONGEST_START = 6
_TORCHVISION_ROOTS = ("data", "data/{0}", ".", "~/data", "~/data/{0}", "~/datasets")
_CLIP_ROOT = "~/.cache"

ARCHIVE_ERRORS = (tarfile.TarError, *ZIP_ERRORS)
"""What reading a damaged archive raises, apart from OSError."""


class FolderSource:
    """A folder that holds the files of a data set."""

    def __init__(self, path: Path, description: ArchiveDescription) -> None:
        self.path = path
        self._description = description

    def read(self, name: str) -> bytes:
        """Read one file whole."""
        try:
            return read_file(self.path / name, _MOST_BYTES)
        except OSError as error:
            raise self._unreadable(name, error) from error

    def md5(self, name: str) -> str:
        """Return the md5 of one file, read in pieces."""
        try:
            with open_file(self.path / name, _MOST_BYTES) as file:
                return _stream_md5(file)
        except OSError as error:
            raise self._unreadable(name, error) from error

    def synthetic_sums(self) -> bytes | None:
        """Read the md5s that mark a synthetic data set; None if there are none."""
        return self.read(SYNTHETIC_SUMS) if (self.path / SYNTHETIC_SUMS).is_file() else None

    def _unreadable(self, name: str, error: OSError) -> DataError:
        return DataError(
            f"{self.path / name}: a data file must be readable, got '{error.strerror}'; "
            f"fix the file or get the data set again with `{self._description.download_command}`"
        )


class ArchiveSource:
    """A tar archive of such a folder, read in memory and never extracted.

    An archive is decompressed from its start, so one pass computes the md5 of every member and
    keeps those up to 64 MiB until they are read.  The 155 MB of CIFAR-100's `train` are kept
    only by a pass made to read them.
    """

    def __init__(self, path: Path, description: ArchiveDescription) -> None:
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
            with (
                stage("reading the archive"),
                _open_tar(self.path) as archive,
            ):
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
            raise _unreadable_archive(self.path, self._description, error) from error

    def _missing(self, name: str) -> DataError:
        return _missing_member(self.path, self._description, name)


class ZipSource:
    """A zip archive of such a folder, whose members are read one by one and never extracted."""

    def __init__(self, path: Path, description: ArchiveDescription) -> None:
        self.path = path
        self._description = description

    def read(self, name: str) -> bytes:
        """Read one member whole."""
        with stage("reading the archive"), self._opened(name) as member:
            if member is None:
                raise _missing_member(self.path, self._description, name)
            return member.read()

    def md5(self, name: str) -> str:
        """Return the md5 of one member, read in pieces."""
        with stage("reading the archive"), self._opened(name) as member:
            if member is None:
                raise _missing_member(self.path, self._description, name)
            return _stream_md5(member)

    def synthetic_sums(self) -> bytes | None:
        """Read the md5s that mark a synthetic data set; None if there are none."""
        with self._opened(SYNTHETIC_SUMS) as member:
            return None if member is None else member.read()

    @contextmanager
    def _opened(self, name: str) -> Iterator[IO[bytes] | None]:
        """Open the member that is a data file, if there is one."""
        try:
            with open_file(self.path) as file, zipfile.ZipFile(file) as archive:
                for member in archive.infolist():
                    if _data_name(member.filename, self._description) == name:
                        if member.file_size > _MOST_BYTES:
                            raise zipfile.BadZipFile(_TOO_LARGE)
                        with archive.open(member) as stream:
                            yield stream
                        return
                yield None
        except (*ARCHIVE_ERRORS, OSError) as error:
            reason = "it is truncated" if str(error) == _NO_END else error
            raise _unreadable_archive(self.path, self._description, reason) from error


class _Unpacked:
    """A decompressed tar archive of which no more is read than a data set can have.

    What comes before a member's data is read at once, whatever length it claims.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.tell = stream.tell

    def read(self, n_bytes: int) -> bytes:
        self._check(n_bytes, _MOST_AT_ONCE)
        return self._stream.read(n_bytes)

    def seek(self, position: int) -> int:
        self._check(position, _MOST_BYTES)
        return self._stream.seek(position)

    def _check(self, number: int, most: int) -> None:
        if not 0 <= number <= most:
            raise tarfile.ReadError(_TOO_LARGE)


@contextmanager
def _open_tar(path: Path) -> Iterator[tarfile.TarFile]:
    """Open a tar archive, compressed or not."""
    with open_file(path) as file:
        start = file.read(_LONGEST_START)
        file.seek(0)
        openers = (of for begin, of in _COMPRESSED.items() if start.startswith(begin))
        decompress = next(openers, None)
        if decompress is None and not tarfile.is_tarfile(file):
            raise tarfile.ReadError("it is no archive")
        file.seek(0)
        with decompress(file) if decompress else nullcontext(file) as stream:
            unpacked: Any = _Unpacked(stream)
            with tarfile.open(fileobj=unpacked, mode="r:") as archive:
                yield archive


def _unreadable_archive(path: Path, description: ArchiveDescription, reason: object) -> DataError:
    return DataError(
        f"{path}: must be a folder with {', '.join(description.files)} or a whole tar or zip "
        f"archive of one, got a file that does not read as one "
        f"({' '.join(str(reason).split())[:100]}); get it again with "
        f"`{description.download_command}`"
    )


def _missing_member(path: Path, description: ArchiveDescription, name: str) -> DataError:
    return DataError(
        f"{path}: the archive must hold {description.folder_name}/{name}, got none; "
        f"get the official archive with `{description.download_command}`"
    )


Source = FolderSource | ArchiveSource | ZipSource


def source_at(place: Path, description: ArchiveDescription) -> Source | None:
    """Find a data set at `place`: the folder of its files, its archive, or the parent of either.

    One of the files stands for their folder; any other file is taken for the archive, unless it
    evidently is something else.  None if there is nothing.
    """
    path = Path(os.path.expanduser(place))
    inner = path / description.folder_name
    for folder in (path, inner):
        if all((folder / name).is_file() for name in description.files):
            return FolderSource(folder, description)
    stems = dict.fromkeys((description.archive_name.split(".")[0], description.folder_name))
    named = (path / f"{stem}{suffix}" for stem in stems for suffix in _ARCHIVE_SUFFIXES)
    for archive in (path, *named):
        if archive.is_file() and not _is_of_another(archive, description):
            if archive.name in description.files:
                return FolderSource(archive.parent, description)
            is_zip = _first_bytes(archive) == _ZIP
            return (ZipSource if is_zip else ArchiveSource)(archive, description)
    return None


def _is_of_another(path: Path, description: ArchiveDescription) -> bool:
    """Return whether a file is a table, arrays, or a file or an archive of another data set.

    A zip archive lists its members; of a tar archive the first file tells, since reading on takes
    as long as decompressing it.
    """
    if path.suffix.lower() in _OTHER_SUFFIXES:
        return True
    if path.name in description.files:
        return False
    start = _first_bytes(path)
    with suppress(*ARCHIVE_ERRORS, OSError):
        if start.startswith(_PICKLE):
            return True
        if start == _ZIP:
            with open_file(path) as file, zipfile.ZipFile(file) as archive:
                found = {_data_name(name, description) for name in archive.namelist()}
            return found.isdisjoint(description.files)
        with _open_tar(path) as archive:
            for member in archive:
                parts = PurePosixPath(member.name).parts
                if member.isfile() and parts and not parts[0].startswith("."):
                    return len(parts) > 1 and parts[0] != description.folder_name
    return False


def _first_bytes(path: Path) -> bytes:
    """Return how a file begins; empty if it cannot be read."""
    try:
        with open_file(path) as file:
            return file.read(len(_ZIP))
    except OSError:
        return b""


def usual_places(description: ArchiveDescription) -> list[Path]:
    """Return where this package, torchvision's users and Keras put a data set.

    The paths are in the order of the search, relative to the current folder or from "~".
    """
    name = description.folder_name
    keras = Path(os.environ.get("KERAS_HOME") or "~/.keras", "datasets")
    return [
        Path("data", name),
        *(Path(root.format(description.word)) for root in (*_TORCHVISION_ROOTS, _CLIP_ROOT)),
        keras / f"{name}-target",  # Keras 3
        keras,  # Keras 2
    ]


def data_member_name(member: tarfile.TarInfo, description: ArchiveDescription) -> str | None:
    """Return the data file that a member of an archive is: a key of `files`, or "SYNTHETIC.md5".

    None for anything else, such as links and files in other folders.
    """
    return _data_name(member.name, description) if member.isfile() else None


def _data_name(member: str, description: ArchiveDescription) -> str | None:
    """Return the data file that a member of this name is; None for any other."""
    path = PurePosixPath(member)
    is_known = path.name in (*description.files, SYNTHETIC_SUMS)
    is_in_place = path.parts[:-1] in ((description.folder_name,), ())
    return path.name if is_known and is_in_place else None


def bytes_md5(content: bytes) -> str:
    """Return the md5, for integrity and not for security, in hexadecimal."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def file_md5(path: Path) -> str:
    """Return the md5 of a file, read in pieces."""
    with open_file(path) as file:
        return _stream_md5(file)


def _stream_md5(stream: IO[bytes]) -> str:
    md5 = hashlib.md5(usedforsecurity=False)
    while chunk := stream.read(_CHUNK_BYTES):
        md5.update(chunk)
    return md5.hexdigest()
