"""Writing files and folders whole or not at all."""

import os

import pytest

from svmcifar.errors import OutputError
from svmcifar.io.files import atomic_path, check_folder, check_output, staged_folder


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


# Folders


def write(folder, **files):
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)


def content(folder):
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_new_folder_appears_whole(tmp_path):
    out = tmp_path / "runs" / "report"
    with staged_folder(out) as folder:
        write(folder, a="1", figures__b="2")
        assert not out.exists()
        assert folder.parent == out.parent
    assert content(out) == {"a": "1", "figures/b": "2"}
    assert os.listdir(out.parent) == ["report"]


def test_existing_folder_keeps_foreign_files(tmp_path):
    out = tmp_path / "report"
    write(out, a="old", mine="precious", figures__b="old", figures__mine="precious")
    with staged_folder(out) as folder:
        write(folder, a="new", figures__b="new", more__c="new")
        assert (out / "a").read_text() == "old"
    assert content(out) == {
        "a": "new", "mine": "precious", "figures/b": "new", "figures/mine": "precious",
        "more/c": "new",
    }  # fmt: skip
    assert sorted(os.listdir(out)) == ["a", "figures", "mine", "more"]
    assert os.listdir(tmp_path) == ["report"]


def test_existing_folder_is_replaced(tmp_path):
    out = tmp_path / "report"
    write(out, a="old", old="old")
    with staged_folder(out, replace=True) as folder:
        write(folder, a="new")
        assert content(out) == {"a": "old", "old": "old"}
        assert folder.parent == tmp_path
    assert content(out) == {"a": "new"}
    assert os.listdir(tmp_path) == ["report"]


@pytest.mark.parametrize("exists", [False, True])
@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_failure_leaves_everything_as_it_was(tmp_path, exists, replace, error):
    out = tmp_path / "report"
    if exists:
        write(out, a="old")

    def write_half():
        with staged_folder(out, replace=replace) as folder:
            write(folder, a="new")
            raise error

    with pytest.raises(error):
        write_half()
    assert content(tmp_path) == ({"report/a": "old"} if exists else {})
    assert os.listdir(tmp_path) == (["report"] if exists else [])


def test_nothing_is_replaced_if_a_folder_is_in_the_way(tmp_path):
    out = tmp_path / "report"
    write(out, a="old", b="old", z__mine="precious")
    refusal = pytest.raises(OutputError, match=r"report: .* got 'z is a folder there'")
    with refusal, staged_folder(out) as folder:
        write(folder, a="new", b="new", z="new")
    assert content(out) == {"a": "old", "b": "old", "z/mine": "precious"}


def test_system_errors_are_one_line(tmp_path):
    (tmp_path / "file").write_text("x")
    refusal = pytest.raises(OutputError, match=r"out: an output must be writable, got 'N")
    with refusal, staged_folder(tmp_path / "file" / "out"):
        pytest.fail("there is no folder to write to")


def test_check_folder(tmp_path):
    check_folder(tmp_path / "new", overwrite=False)
    check_folder(tmp_path, overwrite=True)
    with pytest.raises(OutputError, match="the folder exists already; pass --overwrite"):
        check_folder(tmp_path, overwrite=False)
    (tmp_path / "file").write_text("x")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for name in ("file", "dangling"):
        for overwrite in (False, True):
            with pytest.raises(OutputError, match=rf"{name}: the output must be a folder"):
                check_folder(tmp_path / name, overwrite)
    (tmp_path / "link").symlink_to(tmp_path)
    check_folder(tmp_path / "link", overwrite=True)
