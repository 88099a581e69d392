"""Download the official archive: resumed where it stopped, checked, and moved into place whole."""

import http.client
import re
import shutil
import sys
import tarfile
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import IO
from urllib.error import HTTPError

from tqdm import tqdm

from svmcifar.data.cifar100 import CIFAR_100
from svmcifar.data.dataset import DatasetDescription
from svmcifar.data.locations import (
    ARCHIVE_ERRORS,
    data_member_name,
    file_md5,
    unreadable_archive,
)
from svmcifar.errors import DataError, OutputError

_CHUNK_BYTES = 2**18
_RANGE_NOT_SATISFIABLE = 416


def download_dataset(
    folder: str | Path,
    *,
    description: DatasetDescription = CIFAR_100,
    progress: bool = True,
    timeout_s: float = 60.0,
) -> Path:
    """Download the data set into ``folder/cifar-100-python``.

    A good copy is left alone, a good archive in `folder` is used, and an
    interrupted transfer goes on where it stopped.  Whatever else stands at
    ``cifar-100-python`` (a damaged, altered or synthetic data set) is moved
    aside, never deleted.

    Parameters
    ----------
    folder : str or Path
        The parent of ``cifar-100-python``; created where it is missing.
    description : DatasetDescription, optional
        CIFAR-100 by default.
    progress : bool, default=True
        Whether to show a progress bar and say on standard error what is done.
    timeout_s : float, default=60
        How long the server may stay silent, in seconds.

    Returns
    -------
    Path
        The folder that holds `train`, `test` and `meta`.

    Raises
    ------
    DataError
        If the transfer fails or stops early (what came is kept, and the next
        call goes on from there), or the archive is not the one wanted.
    OutputError
        If `folder` cannot be written.
    """
    folder = Path(folder)
    target = folder / description.folder_name
    archive = folder / description.archive_name
    part = folder / f"{description.archive_name}.part"
    url, archive_md5, file_md5s = (
        description.archive_url,
        description.archive_md5,
        description.md5s,
    )

    def say(message: str) -> None:
        if progress:
            print(message, file=sys.stderr)

    try:
        if all(_has_md5(target / name, file_md5s[name]) for name in file_md5s):
            say(f"{target}: the data set is there already and its md5s are right")
            return target
        folder.mkdir(parents=True, exist_ok=True)
        if _has_md5(archive, archive_md5):
            say(f"{archive}: using this archive, whose md5 is right")
        else:
            _fetch(url, part, progress=progress, timeout_s=timeout_s)
            if not _has_md5(part, archive_md5):
                found = file_md5(part)
                part.unlink()
                raise DataError(
                    f"{url}: the archive's md5 must be {archive_md5}, got {found}; "
                    "what came was deleted: run `svmcifar download` again"
                )
            archive = part
        if aside := _unpack(archive, target, description):
            say(f"{target}: another data set stood there and is now {aside}")
        part.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            f"{folder}: the folder must take the data set, got '{error.strerror or error}'; "
            "make room or name another folder with --data"
        ) from error
    return target


def _has_md5(path: Path, md5: str) -> bool:
    return path.is_file() and file_md5(path) == md5


def _fetch(url: str, part: Path, *, progress: bool, timeout_s: float) -> None:
    """Bring `part` up to the whole file at `url`, from its end where the server can."""
    n_present = part.stat().st_size if part.exists() else 0
    headers = {"Range": f"bytes={n_present}-"} if n_present else {}
    try:
        request = urllib.request.Request(url, headers=headers)
        response = urllib.request.urlopen(request, timeout=timeout_s)
    except HTTPError as error:
        error.close()
        if error.code != _RANGE_NOT_SATISFIABLE or not n_present:
            raise _network_error(url, f"HTTP {error.code} {error.reason}") from error
        if error.headers.get("Content-Range") != f"bytes */{n_present}":
            part.unlink()  # longer than the file it should be part of
            _fetch(url, part, progress=progress, timeout_s=timeout_s)
        return
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _network_error(url, str(getattr(error, "reason", error))) from error

    with response:
        is_resumed = response.status == http.client.PARTIAL_CONTENT
        n_done = n_present if is_resumed else 0
        length = response.headers.get("Content-Length")
        n_total = n_done + int(length) if length else None
        bar = tqdm(
            total=n_total,
            initial=n_done,
            desc=part.stem,
            unit="B",
            unit_scale=True,
            disable=not progress,
        )
        with bar, part.open("ab" if is_resumed else "wb") as file:
            for chunk in _chunks(response, url):
                file.write(chunk)
                n_done += len(chunk)
                bar.update(len(chunk))
    if n_total is not None and n_done < n_total:
        raise _network_error(url, f"{n_done} of {n_total} bytes")


def _chunks(response: IO[bytes], url: str) -> Iterator[bytes]:
    """Read the response, so that an error of the network is known from one of the disk."""
    while True:
        try:
            chunk = response.read(_CHUNK_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise _network_error(url, str(error)) from error
        if not chunk:
            return
        yield chunk


def _network_error(url: str, found: str) -> DataError:
    return DataError(
        f"{url}: the whole archive must arrive, got {' '.join(found.split())}; run "
        "`svmcifar download` again to go on from there, name a copy with --data, or make a "
        "stand-in with `svmcifar download --synthetic`"
    )


def _unpack(archive: Path, target: Path, description: DatasetDescription) -> Path | None:
    """Unpack the three data files to `target`; tell where what stood there was moved."""
    with tempfile.TemporaryDirectory(
        dir=target.parent, prefix=f".{description.folder_name}-"
    ) as scratch:
        file_md5s = description.md5s
        fresh = Path(scratch, description.folder_name)
        fresh.mkdir()
        try:
            with tarfile.open(archive, "r:*") as members:
                for member in members:
                    name = data_member_name(member, description)
                    stream = members.extractfile(member) if name in file_md5s else None
                    if name and stream:
                        with (fresh / name).open("wb") as file:
                            shutil.copyfileobj(stream, file)
        except ARCHIVE_ERRORS as error:
            raise unreadable_archive(archive, description, error) from error
        if odd := [name for name in file_md5s if not _has_md5(fresh / name, file_md5s[name])]:
            raise DataError(
                f"{archive}: the archive's '{odd[0]}' must have the md5 {file_md5s[odd[0]]}, "
                "got another or none; name a sound archive's URL"
            )
        aside = _move_aside(target)
        fresh.rename(target)
    return aside


def _move_aside(path: Path) -> Path | None:
    """Give way to a new folder; tell where the old one went, or None where there was none."""
    if not path.exists():
        return None
    taken = [
        int(match[1])
        for other in path.parent.glob(f"{path.name}.old-*")
        if (match := re.search(r"\.old-(\d+)$", other.name))
    ]
    aside = path.with_name(f"{path.name}.old-{max(taken, default=0) + 1}")
    path.rename(aside)
    return aside
