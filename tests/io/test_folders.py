"""Writing folders whole or not at all."""

import os

import pytest

from svmcifar.errors import OutputError
from svmcifar.io.files import atomic_path
from svmcifar.io.folders import check_folder, put_in_place, staged_folder


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
        assert folder.parent.parent == out.parent
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


@pytest.mark.parametrize("exists", [False, True])
@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_failure_leaves_everything_as_it_was(tmp_path, exists, error):
    out = tmp_path / "report"
    if exists:
        write(out, a="old")

    def write_half():
        with staged_folder(out) as folder:
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


def test_errors_name_the_folder_that_was_asked_for(tmp_path):
    out = tmp_path / "made" / "report"
    refusal = pytest.raises(OutputError, match=f"^{out / 'figures' / 'a.png'}: an output must be")
    with refusal, staged_folder(out) as folder, atomic_path(folder / "figures" / "a.png"):
        raise OSError(28, "No space left on device")
    assert os.listdir(tmp_path) == []


def test_no_file_is_replaced_in_a_folder_if_one_cannot_be(tmp_path, monkeypatch):
    out = tmp_path / "report"
    write(out, a="old", figures__b="old")
    monkeypatch.setattr(os, "access", lambda path, mode: path != out / "figures")
    refusal = pytest.raises(OutputError, match=r"report: .* got 'figures cannot be written to'")
    with refusal, staged_folder(out) as folder:
        write(folder, a="new", more__c="new", figures__b="new")
    assert content(out) == {"a": "old", "figures/b": "old"}
    assert sorted(os.listdir(out)) == ["a", "figures"]


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
    with pytest.raises(OutputError, match=r"new: an output must be writable, and .*file is no fol"):
        check_folder(tmp_path / "file" / "new", overwrite=False)
    (tmp_path / "link").symlink_to(tmp_path)
    check_folder(tmp_path / "link", overwrite=True)


@pytest.mark.parametrize("name", ["old", "new", "made/new"])
def test_check_folder_refuses_a_folder_that_is_read_only(tmp_path, monkeypatch, name):
    (tmp_path / "old").mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    with pytest.raises(OutputError, match=rf"{name}: .* no folder that can be written to"):
        check_folder(tmp_path / name, overwrite=True)


# A folder in the place of another


def is_new(folder):
    return folder.is_dir() and content(folder) == {"a": "new"}


@pytest.mark.parametrize("old", [None, "folder", "file", "empty folder"])
def test_put_in_place(tmp_path, old):
    out, fresh = tmp_path / "out", tmp_path / "fresh"
    write(fresh, a="new")
    if old == "folder":
        write(out, b="old")
    elif old == "file":
        out.write_text("old")
    elif old:
        out.mkdir()
    aside = put_in_place(fresh, out, is_new)
    assert is_new(out)
    if old in ("folder", "file"):
        assert aside == tmp_path / "out.old-1"
        assert sorted(os.listdir(tmp_path)) == ["out", "out.old-1"]
    else:
        assert aside is None
        assert os.listdir(tmp_path) == ["out"]


def test_nothing_is_moved_if_another_process_was_faster(tmp_path):
    out, fresh = tmp_path / "out", tmp_path / "fresh"
    write(fresh, a="new")
    write(out, a="new")
    node = out.stat().st_ino
    assert put_in_place(fresh, out, is_new) is None
    assert out.stat().st_ino == node
    assert sorted(os.listdir(tmp_path)) == ["fresh", "out"]


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("n_looks", [1, 2])
def test_another_process_is_faster_at_any_moment(tmp_path, old, n_looks):
    """It finishes while this one looks at what lies there, for the first or the second time."""
    out, fresh, other = (tmp_path / name for name in ("out", "fresh", "other"))
    write(fresh, a="new")
    write(other, a="new")
    if old:
        write(out, b="old")
    looks = []

    def is_good(folder):
        was_new = is_new(folder)
        looks.append(folder)
        if len(looks) == n_looks and other.exists():
            put_in_place(other, out, is_new)
        return was_new

    aside = put_in_place(fresh, out, is_good)
    assert is_new(out)
    assert aside is None or content(aside) == {"b": "old"}
    left = {path for path in tmp_path.iterdir() if "old" in path.name}
    assert [content(path) for path in left] == ([{"b": "old"}] if old else [])


def test_a_rename_that_is_refused_is_an_error(tmp_path):
    (tmp_path / "fresh").mkdir()
    with pytest.raises(FileNotFoundError):
        put_in_place(tmp_path / "fresh", tmp_path / "none" / "out", is_new)
