"""Writing files whole or not at all."""

import os

import pytest

from svmcifar.errors import OutputError
from svmcifar.io.files import atomic_path, check_output


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


@pytest.mark.parametrize("name", ["file/out.csv", "file/deeper/out.csv"])
def test_check_output_refuses_a_folder_that_cannot_be(tmp_path, name):
    (tmp_path / "file").touch()
    expected = rf"must be writable, and {tmp_path / 'file'} is no folder"
    with pytest.raises(OutputError, match=expected):
        check_output(tmp_path / name, overwrite=True)


def test_check_output_refuses_a_folder_that_is_read_only(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    with pytest.raises(OutputError, match="no folder that can be written to"):
        check_output(tmp_path / "new" / "out.csv", overwrite=False)


def test_check_output_lets_new_folders_be_made(tmp_path):
    check_output(tmp_path / "some" / "new" / "out.csv", overwrite=False)
    assert not (tmp_path / "some").exists()
