"""Where a data set lies: folders, archives, and the usual places of both."""

import hashlib
import lzma
import os
import tarfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO

from svmcifar.errors import DataError

FILE_NAMES = ("train", "test", "meta")
FOLDER_NAME = "cifar-100-python"
ARCHIVE_NAME = f"{FOLDER_NAME}.tar.gz"
SYNTHETIC_SUMS = "SYNTHETIC.md5"  # its presence beside the three files makes a set synthetic
ENVIRONMENT_VARIABLE = "SVMCIFAR_DATA"

_ARCHIVE_SUFFIXES = (".tar.gz", ".tgz", ".tar.xz", ".tar.bz2", ".tar")
_CHUNK_BYTES = 2**20
_KEEP_LIMIT_BYTES = 64 * 2**20
_TORCHVISION_ROOTS = ("data", "data/cifar100", ".", "~/data", "~/data/cifar100", "~/datasets")
_CLIP_ROOT = "~/.cache"
_KERAS_FOLDERS = (f"{FOLDER_NAME}-target", ".")  # Keras 3 and Keras 2, under its 'datasets'

ARCHIVE_ERRORS = (tarfile.TarError, zlib.error, lzma.LZMAError, EOFError)
"""What reading a damaged archive may raise, beside OSError."""


class FolderSource:
    """A folder that holds `train`, `test` and `meta`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, name: str) -> bytes:
        """Read one file whole."""
        try:
            return (self.path / name).read_bytes()
        except OSError as error:
            raise self._unreadable(name, error) from error

    def md5(self, name: str) -> str:
        """Sum one file without holding it."""
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
            "mend the file or get the data set again with `svmcifar download`"
        )


class ArchiveSource:
    """A tar archive of such a folder, read in memory and never extracted.

    An archive has to be decompressed from its start, so one pass sums every
    member and keeps those below 64 MiB until they are asked for.  The 155 MB
    of `train` are kept only on the pass that asks for them.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
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
        """Sum one member without holding it."""
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
                    name = data_member_name(member)
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
            raise unreadable_archive(self.path, error) from error

    def _missing(self, name: str) -> DataError:
        return DataError(
            f"{self.path}: the archive must hold {FOLDER_NAME}/{name}, got none; "
            "get the official archive with `svmcifar download`"
        )


def find_source(data: str | Path | None) -> FolderSource | ArchiveSource:
    """Find the data set.

    Parameters
    ----------
    data : str, Path or None
        A folder or archive, as `svmcifar.data.cifar.open_dataset` takes it.

    Returns
    -------
    FolderSource or ArchiveSource

    Raises
    ------
    DataError
        If there is none.
    """
    if data is not None:
        return _named_source(Path(data), "")
    if variable := os.environ.get(ENVIRONMENT_VARIABLE):
        return _named_source(Path(variable), f" (from ${ENVIRONMENT_VARIABLE})")
    places = usual_places()
    for place in places:
        if source := _source_at(place):
            return source
    raise DataError(
        "CIFAR-100: the data set must be named or lie in a usual place, got none in "
        f"${ENVIRONMENT_VARIABLE} (not set), {', '.join(map(str, places))}; get it with "
        "`svmcifar download`, name a copy with --data, or make a stand-in with "
        "`svmcifar download --synthetic`"
    )


def usual_places() -> list[Path]:
    """List where this package, torchvision's users and Keras put the data set.

    Returns
    -------
    list of Path
        In the order of the search, as a person would write them: relative to
        the current folder, or from "~".
    """
    keras = Path(os.environ.get("KERAS_HOME") or "~/.keras", "datasets")
    return [
        Path("data", FOLDER_NAME),
        *(Path(root) for root in (*_TORCHVISION_ROOTS, _CLIP_ROOT)),
        *(keras / folder for folder in _KERAS_FOLDERS),
    ]


def data_member_name(member: tarfile.TarInfo) -> str | None:
    """Tell which data file a member of an archive is.

    Parameters
    ----------
    member : tarfile.TarInfo

    Returns
    -------
    str or None
        "train", "test", "meta" or "SYNTHETIC.md5"; None for anything else,
        links and files in other folders among it.
    """
    path = PurePosixPath(member.name)
    known = path.name in (*FILE_NAMES, SYNTHETIC_SUMS) and path.parts[:-1] in ((FOLDER_NAME,), ())
    return path.name if known and member.isfile() else None


def unreadable_archive(path: Path, error: BaseException) -> DataError:
    """Build the error for an archive that cannot be read.

    Parameters
    ----------
    path : Path
    error : BaseException
        What reading it raised.

    Returns
    -------
    DataError
    """
    reason = " ".join(str(error).split())[:100]
    return DataError(
        f"{path}: must be a folder with {', '.join(FILE_NAMES)} or a whole tar archive of one, "
        f"got a file that does not read as one ({reason}); get it again with `svmcifar download`"
    )


def bytes_md5(content: bytes) -> str:
    """Sum bytes, for integrity and not for security.

    Parameters
    ----------
    content : bytes

    Returns
    -------
    str
        32 hexadecimal digits.
    """
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def file_md5(path: Path) -> str:
    """Sum a file without holding it.

    Parameters
    ----------
    path : Path

    Returns
    -------
    str
        32 hexadecimal digits.
    """
    with path.open("rb") as file:
        return stream_md5(file)


def stream_md5(stream: IO[bytes]) -> str:
    """Sum what is left of a stream.

    Parameters
    ----------
    stream : binary file

    Returns
    -------
    str
        32 hexadecimal digits.
    """
    md5 = hashlib.md5(usedforsecurity=False)
    while chunk := stream.read(_CHUNK_BYTES):
        md5.update(chunk)
    return md5.hexdigest()


def _source_at(place: Path) -> FolderSource | ArchiveSource | None:
    path = Path(os.path.expanduser(place))
    for folder in (path, path / FOLDER_NAME):
        if all((folder / name).is_file() for name in FILE_NAMES):
            return FolderSource(folder)
    for archive in (path, *(path / (FOLDER_NAME + suffix) for suffix in _ARCHIVE_SUFFIXES)):
        if archive.is_file():
            return ArchiveSource(archive)
    return None


def _named_source(path: Path, origin: str) -> FolderSource | ArchiveSource:
    if source := _source_at(path):
        return source
    found = "a folder without them" if os.path.isdir(os.path.expanduser(path)) else "nothing there"
    raise DataError(
        f"{path}{origin}: must be a folder that holds {', '.join(FILE_NAMES)}, or "
        f"{FOLDER_NAME}/, or {ARCHIVE_NAME}, or be that archive, got {found}; "
        "name another place or run `svmcifar download`"
    )
