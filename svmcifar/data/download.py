"""Download the official archive: checked, unpacked, and moved into place whole."""

import sys
from pathlib import Path

from svmcifar.compute.progress import Stage, stage
from svmcifar.data.cifar100 import CIFAR_100
from svmcifar.data.dataset import ArchiveDescription
from svmcifar.data.locations import ArchiveSource, bytes_md5, file_md5
from svmcifar.errors import DataError
from svmcifar.io.files import output_errors
from svmcifar.io.folders import put_in_place, scratch_folder

_CHUNK_BYTES = 2**18


def download_dataset(
    folder: str | Path,
    *,
    description: ArchiveDescription = CIFAR_100,
    progress: bool = True,
    timeout_s: float = 60.0,
) -> Path:
    """Download a data set into its own folder, such as ``folder/cifar-100-python``.

    A good copy is left alone, and a good archive in `folder` is used.  Any other data set in
    that place (damaged, altered or synthetic) is moved aside, never deleted.  Where another process
    downloads into the same folder and is faster, its files are used.  With `progress`,
    messages go to standard error.  Return the folder that holds the files.

    Raise DataError if the transfer fails, stops early or stalls for `timeout_s` seconds, or if
    the archive has another md5, and OutputError if `folder` cannot be written.
    """
    archive = Path(folder) / description.archive_name
    target = Path(folder) / description.folder_name

    def report(message: str) -> None:
        if progress:
            print(message, file=sys.stderr)

    def is_good(place: Path) -> bool:
        return all(_has_md5(place / name, md5) for name, md5 in description.md5s.items())

    with output_errors(folder):
        if is_good(target):
            report(f"{target}: the data set is there already and its md5s are right")
            return target
        with scratch_folder(target, target.parent) as staging:
            if _has_md5(archive, description.archive_md5):
                report(f"{archive}: using this archive, whose md5 is right")
            else:
                archive = staging / description.archive_name
                _fetch(description, archive, timeout_s)
            _unpack(archive, staging, description)
            if archive.parent == staging:
                archive.unlink()
            if aside := put_in_place(staging, target, is_good):
                report(f"{target}: another data set stood there and is now {aside}")
    return target


def _has_md5(path: Path, md5: str) -> bool:
    try:
        return file_md5(path) == md5
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return False


def _fetch(description: ArchiveDescription, archive: Path, timeout_s: float) -> None:
    """Download the archive and check its md5."""
    import pooch

    pooch.get_logger().setLevel("WARNING")
    url = description.archive_url
    try:
        with stage("downloading", unit="B") as transfer:
            pooch.retrieve(
                url,
                known_hash=f"md5:{description.archive_md5}",
                path=archive.parent,
                fname=archive.name,
                downloader=pooch.HTTPDownloader(
                    progressbar=_Transfer(transfer), chunk_size=_CHUNK_BYTES, timeout=timeout_s
                ),
            )
    except (OSError, ValueError) as error:
        if getattr(error, "errno", None):  # of the disk: those of the network have no number
            raise
        raise DataError(
            f"{url}: the whole archive must arrive, got '{' '.join(str(error).split())}'; run "
            f"`{description.download_command}` again, name a copy with --data, or make a stand-in "
            "with `svmcifar download --synthetic`"
        ) from error


class _Transfer:
    """What pooch takes for a progress bar: it counts the bytes of a stage."""

    def __init__(self, transfer: Stage) -> None:
        self._transfer = transfer
        self.update = transfer.advance

    @property
    def total(self) -> int | None:
        """Number of bytes in all, which pooch sets."""
        return self._transfer.total

    @total.setter
    def total(self, n_bytes: int) -> None:
        self._transfer.total = n_bytes or None

    def reset(self) -> None:
        """Start again, as pooch does before it says that all has arrived."""
        self._transfer.done = 0

    def close(self) -> None:
        """Leave the stage to whoever began it."""


def _unpack(archive: Path, folder: Path, description: ArchiveDescription) -> None:
    """Write only the data files of an archive to a folder; raise DataError on a wrong md5."""
    source = ArchiveSource(archive, description)
    for name, md5 in description.md5s.items():
        content = source.read(name)
        if bytes_md5(content) != md5:
            raise DataError(
                f"{archive}: the archive's '{name}' must have the md5 {md5}, "
                f"got {bytes_md5(content)}; get it again with `{description.download_command}`"
            )
        (folder / name).write_bytes(content)
