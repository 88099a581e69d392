"""Writing files whole or not at all."""

import os

import pytest

from svmcifar.errors import OutputError
from svmcifar.io.files import atomic_path, check_output, written_together


def test_check_output(tmp_path):
    path = tmp_path / "out.csv"
    check_output(path, overwrite=False)
    path.touch()
    check_output(path, overwrite=True)
    with pytest.raises(OutputError, match=r"out\.csv: .*exists.*--overwrite"):
        check_output(path, overwrite=False)
    with pytest.raises(OutputError, match="folder"):
        check_output(tmp_path, overwrite=True)


def test_atomic_path_creates_folders_and_keeps_the_name(tmp_path):
    path = tmp_path / "a" / "b" / "out.png"
    with atomic_path(path) as temporary:
        assert temporary.parent.parent == path.parent
        assert temporary.name == "out.png"
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


def test_check_output_refuses_a_device():
    with pytest.raises(OutputError, match=r"/dev/null: .*a device; name a file"):
        check_output("/dev/null", overwrite=True)


def test_check_output_lets_new_folders_be_made(tmp_path):
    check_output(tmp_path / "some" / "new" / "out.csv", overwrite=False)
    assert not (tmp_path / "some").exists()


@pytest.mark.parametrize("error", [RuntimeError, OSError, KeyboardInterrupt])
def test_folders_that_were_made_are_removed_again(tmp_path, error):
    (tmp_path / "old").mkdir()

    def write_half(path):
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise error

    for path in (tmp_path / "a" / "b" / "out.csv", tmp_path / "old" / "c" / "out.csv"):
        with pytest.raises((error, OutputError)):
            write_half(path)
    assert os.listdir(tmp_path) == ["old"]
    assert os.listdir(tmp_path / "old") == []


# Several files


def content(folder):
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


def write_all(*paths, last="new"):
    """Write files together; `last` stands in the last of them, or is the error it raises."""
    with written_together():
        for path in paths:
            with atomic_path(path) as temporary:
                if path == paths[-1] and last != "new":
                    temporary.write_text("half")
                    raise last
                temporary.write_text("new")
            assert not path.is_file() or path.read_text() == "old"


def test_files_appear_together(tmp_path):
    paths = [tmp_path / "a", tmp_path / "made" / "b", tmp_path / "made" / "c"]
    paths[0].write_text("old")
    write_all(*paths)
    assert content(tmp_path) == {"a": "new", "made/b": "new", "made/c": "new"}


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_no_file_appears_if_one_cannot_be_written(tmp_path, error):
    paths = [tmp_path / "a", tmp_path / "made" / "b", tmp_path / "c"]
    paths[0].write_text("old")
    with pytest.raises((OutputError, KeyboardInterrupt)) as caught:
        write_all(*paths, last=error)
    assert content(tmp_path) == {"a": "old"}
    assert os.listdir(tmp_path) == ["a"]
    if isinstance(error, OSError):
        assert str(caught.value).startswith(f"{paths[2]}: an output must be writable, got 'No sp")


def test_no_file_appears_if_one_cannot_be_renamed(tmp_path):
    paths = [tmp_path / "a", tmp_path / "b"]
    paths[1].mkdir()
    with pytest.raises(OutputError, match=rf"^{paths[1]}: an output must be .* got 'it is a fol"):
        write_all(*paths)
    assert os.listdir(tmp_path) == ["b"]


def test_together_within_together_is_one(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    with written_together():
        write_all(a)
        write_all(b)
        assert not a.exists()
    assert content(tmp_path) == {"a": "new", "b": "new"}
    with atomic_path(a) as temporary:  # and it is over
        temporary.write_text("newer")
    assert a.read_text() == "newer"
