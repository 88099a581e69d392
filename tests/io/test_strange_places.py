"""Places that refuse to be written, file systems without locks, several writers, wrong clocks."""

import errno
import multiprocessing
import os
import shutil
import time
from pathlib import Path

import pytest

from svmcifar.errors import OutputError
from svmcifar.io import unfinished
from svmcifar.io.files import atomic_path
from svmcifar.io.folders import staged_folder
from svmcifar.model.persistence import load_model, save_model

REFUSALS = ["ENOSPC", "EDQUOT", "EROFS", "EACCES", "EPERM", "EIO", "ENAMETOOLONG", "ESTALE"]


def write_file(place):
    with atomic_path(place / "a.txt") as path:
        path.write_text("new")


def write_folder(place):
    with staged_folder(place / "report") as folder:
        (folder / "a.txt").write_text("new")


def contents(place):
    return {str(p.relative_to(place)): p.read_text() for p in place.rglob("*") if p.is_file()}


def refuse(number):
    def refused(*_, **__):
        raise OSError(number, os.strerror(number))

    return refused


# What the writers call, in the order in which they do.
MOMENTS = {
    "folder": (Path, "mkdir"),
    "lock": (unfinished.os, "open"),
    "content": (Path, "write_text"),
    "renaming": (os, "replace"),
}


@pytest.mark.parametrize("write", [write_file, write_folder], ids=["file", "folder"])
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("reason", REFUSALS)
def test_what_stands_there_stays(tmp_path, monkeypatch, write, moment, reason):
    (tmp_path / "report").mkdir()
    for name in ("a.txt", "report/a.txt"):
        (tmp_path / name).write_text("old")
    number = getattr(errno, reason)
    with monkeypatch.context() as patch:
        patch.setattr(*MOMENTS[moment], refuse(number))
        with pytest.raises(OutputError, match=r"must be writable, got '.+'; name another") as error:
            write(tmp_path)
    assert os.strerror(number) in str(error.value)
    assert contents(tmp_path) == {"a.txt": "old", "report/a.txt": "old"}
    assert sorted(os.listdir(tmp_path)) == ["a.txt", "report"]
    assert os.listdir(tmp_path / "report") == ["a.txt"]


@pytest.mark.parametrize("reason", ["ENOLCK", "EOPNOTSUPP", "ENOSYS", "EINVAL", "EIO"])
def test_a_file_system_without_locks_can_be_written_to(tmp_path, monkeypatch, reason):
    monkeypatch.setattr(unfinished, "flock", refuse(getattr(errno, reason)))
    others = tmp_path / ".svmcifar-0123abcd"  # perhaps somebody writes there just now
    others.mkdir()
    write_file(tmp_path)
    write_folder(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [others.name, "a.txt", "report"]
    shutil.rmtree(others)
    assert contents(tmp_path) == {"a.txt": "new", "report/a.txt": "new"}


def write_again_and_again(place, number):
    for _ in range(20):
        with atomic_path(place / "a.txt") as path:
            path.write_text(f"{number}" * 5000)
        with staged_folder(place / "report") as folder:
            (folder / "a.txt").write_text(f"{number}" * 5000)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_several_processes_write_one_output(tmp_path):
    """Every reader finds one of their contents, whole; nothing is left, and nobody disturbed."""
    (tmp_path / "report").mkdir()
    context = multiprocessing.get_context("fork")
    writers = [
        context.Process(target=write_again_and_again, args=[tmp_path, number])
        for number in range(4)
    ]
    for writer in writers:
        writer.start()
    whole = {f"{number}" * 5000 for number in range(4)}
    while any(writer.is_alive() for writer in writers):
        for name in ("a.txt", "report/a.txt"):
            path = tmp_path / name
            assert not path.exists() or path.read_text() in whole
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0] * 4
    assert sorted(os.listdir(tmp_path)) == ["a.txt", "report"]
    assert os.listdir(tmp_path / "report") == ["a.txt"]


def set_clock(monkeypatch, seconds, step=0.0):
    """Let the clock show so many seconds since 1970, and then a step less each time."""
    shown = iter(seconds - step * n for n in range(10**6))
    monkeypatch.setattr(time, "time", lambda: next(shown))


def test_a_clock_that_goes_backwards(train_small, tmp_path, monkeypatch):
    model = train_small()
    save_model(model, tmp_path / "right.skops")
    set_clock(monkeypatch, 2e9, step=1000.0)
    save_model(model, tmp_path / "wrong.skops")
    right, wrong = (load_model(tmp_path / f"{name}.skops") for name in ("right", "wrong"))
    assert right.manifest.content_hash == wrong.manifest.content_hash
    assert sorted(os.listdir(tmp_path)) == ["right.skops", "wrong.skops"]


@pytest.mark.parametrize(("seconds", "year"), [(86400.0, 1970), (5e9, 2128)])
def test_a_clock_that_is_not_set(train_small, tmp_path, monkeypatch, seconds, year):
    set_clock(monkeypatch, seconds)
    with pytest.raises(OutputError, match=f"the clock must be in 1980 to 2107.*, got {year}; set"):
        save_model(train_small(), tmp_path / "model.skops")
    assert os.listdir(tmp_path) == []
