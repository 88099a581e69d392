"""Files that others made are opened by one gate."""

import errno
import os
import zipfile

import pytest

from svmcifar.io import reading
from svmcifar.io.reading import open_file, read_file
from svmcifar.io.stored_zip import open_zip


def refusal(act, *arguments):
    with pytest.raises(OSError) as caught:  # noqa: PT011 (the tests look at it)
        act(*arguments)
    return caught.value


@pytest.mark.parametrize("act", [open_file, read_file])
def test_regular_files_alone_are_opened(tmp_path, act):
    os.mkfifo(tmp_path / "pipe")
    before = os.listdir("/proc/self/fd")
    assert refusal(act, tmp_path / "pipe").strerror == "it is a pipe or a device"
    assert refusal(act, "/dev/zero").strerror == "it is a pipe or a device"
    assert refusal(act, tmp_path).errno == errno.EISDIR
    assert refusal(act, tmp_path / "none").errno == errno.ENOENT
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_no_more_is_read_than_there_can_be(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert read_file(path) == read_file(path, 5) == b"12345"
    error = refusal(read_file, path, 4)
    assert error.strerror == "it has 5 bytes where at most 4 can be read"
    with path.open("r+b") as file:
        file.truncate(2**40)  # of which the disk holds five bytes
    assert "it has 1,099,511,627,776 bytes" in refusal(read_file, path).strerror
    monkeypatch.setattr(reading, "available_bytes", lambda: 3)
    path.write_bytes(b"12345")
    assert "at most 3 can" in refusal(read_file, path).strerror


def zipped(path, names, **options):
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, bytes(1000), **options)
    return path


def refused_zip(path):
    with path.open("rb") as file, pytest.raises(zipfile.BadZipFile) as caught:
        open_zip(file)
    return str(caught.value)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_zip_archives_are_as_we_write_them(tmp_path):
    path = zipped(tmp_path / "zip", ["a", "b"])
    with path.open("rb") as file, open_zip(file) as archive:
        assert archive.namelist() == ["a", "b"]
    assert refused_zip(zipped(path, ["a", "b", "a"])) == "a name comes twice"
    packed = zipped(path, ["a"], compress_type=zipfile.ZIP_DEFLATED)
    assert refused_zip(packed) == "it unpacks to more than it is large"


def test_members_of_a_zip_archive_lie_apart(tmp_path):
    """Two names for the same bytes would unpack to more than the archive is large."""
    path = zipped(tmp_path / "zip", ["a", "b"])
    content = path.read_bytes()
    second = content.index(b"PK\x03\x04", 1)
    directory = content.index(b"PK\x01\x02")
    of_second = content.index(b"PK\x01\x02", directory + 1)
    end = content.index(b"PK\x05\x06")
    offset = second.to_bytes(4, "little")  # of the directory, once the second member is cut out
    path.write_bytes(
        content[:second]
        + content[directory : of_second + 42] + bytes(4) + content[of_second + 46 : end]
        + content[end : end + 16] + offset + content[end + 20 :]
    )  # fmt: skip
    assert refused_zip(path) == "it unpacks to more than it is large"
