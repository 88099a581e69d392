"""Writing files whole or not at all."""

import os

import pytest

from svmcifar.errors import OutputError
from svmcifar.files import atomic_path, check_output


def test_check_output(tmp_path):
    path = tmp_path / "out.csv"
    check_output(path, overwrite=False)
    path.touch()
    check_output(path, overwrite=True)
    with pytest.raises(OutputError, match=r"out\.csv: .*exists.*--overwrite"):
        check_output(path, overwrite=False)
    with pytest.raises(OutputError, match="folder"):
        check_output(tmp_path, overwrite=True)


def test_atomic_path_creates_folders_and_keeps_the_suffix(tmp_path):
    path = tmp_path / "a" / "b" / "out.png"
    with atomic_path(path) as temporary:
        assert temporary.parent == path.parent
        assert temporary.suffix == ".png"
        temporary.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert os.listdir(path.parent) == ["out.png"]


def test_atomic_path_leaves_everything_as_it_was_on_failure(tmp_path):
    path = tmp_path / "out.csv"
    path.write_text("old")

    def write_half():
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        write_half()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["out.csv"]


@pytest.mark.parametrize("name", ["file/out.csv", "folder"])
def test_atomic_path_reports_what_the_system_refuses(tmp_path, name):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()

    def write():
        with atomic_path(tmp_path / name) as temporary:
            temporary.write_text("new")

    with pytest.raises(OutputError, match="writable") as caught:
        write()
    assert "\n" not in str(caught.value)
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]
