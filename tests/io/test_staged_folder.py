import os

import pytest

from svmcifar.errors import OutputError
from svmcifar.io.staged_folder import check_folder, staged_folder


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


def test_system_errors_are_one_line(tmp_path):
    (tmp_path / "file").write_text("x")
    refusal = pytest.raises(OutputError, match=r"out: the output folder must be writable, got 'N")
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
