"""Download the official archive: checked, unpacked, and moved into place whole."""

import sys
from contextlib import suppress
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from time import monotonic

from svmcifar.compute.progress import Stage, stage
from svmcifar.data.cifar100 import CIFAR_100
from svmcifar.data.dataset import ArchiveDescription
from svmcifar.data.locations import ArchiveSource, bytes_md5, file_md5
from svmcifar.errors import DataError
from svmcifar.io.files import output_errors
from svmcifar.io.folders import put_in_place, scratch_folder
from svmcifar.text import one_line

_CHUNK_BYTES = 2**18
# A server that sends less, on an average over the timeout, has stalled.
_LEAST_PER_S = 1000
# Timeouts within which the first byte of the archive is to come, after all redirects.
_ANSWER_TIMEOUTS = 10


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

    Raise DataError if the transfer fails, stops early, stalls for `timeout_s` seconds or has no
    end, or if the archive has another md5, and OutputError if `folder` cannot be written.
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
    """Download the archive, no more than its size, and check its md5."""
    from requests import RequestException
    from urllib3.exceptions import HTTPError

    url = description.archive_url
    try:
        with stage("downloading", description.archive_bytes, "B") as transfer:
            _transfer(description, archive, timeout_s, transfer)
        if (md5 := file_md5(archive)) != description.archive_md5:
            raise ValueError(f"its md5 is {md5} and not {description.archive_md5}")
    except (RequestException, HTTPError, ValueError, OSError) as error:
        if getattr(error, "errno", None):  # of the disk: those of the network have no number
            raise
        raise DataError(
            f"{url}: the whole archive must arrive, got '{one_line(' '.join(str(error).split()))}';"
            f" run `{description.download_command}` again, name a copy with --data, or make a "
            "stand-in with `svmcifar download --synthetic`"
        ) from error


def _transfer(
    description: ArchiveDescription, archive: Path, timeout_s: float, transfer: Stage
) -> None:
    """Write what the server sends, as it is; raise if it is too much, too little or too slow."""
    n_bytes = description.archive_bytes
    received: Queue[bytes | BaseException] = Queue(maxsize=4)
    # Another thread waits for the server: a server that sends a byte of its headers now and then
    # would hold this one for ever.
    of_server = (description.archive_url, timeout_s, received)
    Thread(target=_receive, args=of_server, daemon=True).start()
    allowed_s = _ANSWER_TIMEOUTS * timeout_s
    since, before = monotonic(), 0
    with archive.open("wb") as file:
        while True:
            with suppress(Empty):
                content = received.get(timeout=max(0.0, since + allowed_s - monotonic()))
                if isinstance(content, BaseException):
                    raise content
                if not content:
                    break
                file.write(content)
                transfer.advance(len(content))
            if transfer.done > n_bytes:
                raise ValueError(f"more than the {n_bytes} bytes that it has")
            if transfer.done:
                allowed_s = timeout_s
            if (seconds := monotonic() - since) > allowed_s:
                if transfer.done - before < _LEAST_PER_S * seconds:
                    raise TimeoutError(f"less than {_LEAST_PER_S} bytes a second")
                since, before = monotonic(), transfer.done
    if transfer.done < n_bytes:
        raise ValueError(f"{transfer.done} of {n_bytes} bytes")


def _receive(url: str, timeout_s: float, received: "Queue[bytes | BaseException]") -> None:
    """Hand on what a server sends, then nothing (b""), or the error that ended it."""
    import requests

    # Nothing is decompressed: some servers say of a .tar.gz that it is, as if it were their doing.
    headers = {"Accept-Encoding": "identity"}
    try:
        with requests.get(url, headers=headers, stream=True, timeout=timeout_s) as response:
            response.raise_for_status()
            while content := response.raw.read1(_CHUNK_BYTES, decode_content=False):
                received.put(content)
        received.put(b"")
    except Exception as error:
        received.put(error)


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
