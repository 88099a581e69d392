"""What killed writers leave is removed by the next, and nothing else."""

import errno
import os
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

from svmcifar.io import unfinished
from svmcifar.io.files import atomic_path
from svmcifar.io.folders import staged_folder
from svmcifar.io.unfinished import unfinished_folder

WRITERS = {
    "file": "with atomic_path('{}/out.csv') as path: path.write_text('half'); wait()",
    "new folder": "with staged_folder(Path('{}/out')) as path: (path / 'a').touch(); wait()",
}


@contextmanager
def writer(kind, folder):
    """Run another process that has written half of its output."""
    code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from svmcifar.io.files import atomic_path\n"
        "from svmcifar.io.folders import staged_folder\n"
        "def wait(): print('waits', flush=True); time.sleep(600)\n"
    ) + WRITERS[kind].format(folder)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout.readline() == b"waits\n"
            yield process
        finally:
            process.kill()


def write_something(folder):
    with atomic_path(folder / "other.txt") as path:
        path.write_text("whole")


@pytest.mark.parametrize("kind", WRITERS)
def test_what_a_killed_writer_left_is_removed_by_the_next(tmp_path, kind):
    with writer(kind, tmp_path) as process:
        (left,) = os.listdir(tmp_path)
        write_something(tmp_path)
        assert sorted(os.listdir(tmp_path)) == sorted([left, "other.txt"])
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert left in os.listdir(tmp_path)
        write_something(tmp_path)
    assert os.listdir(tmp_path) == ["other.txt"]


def test_writers_in_one_process_leave_each_other_alone(tmp_path):
    with atomic_path(tmp_path / "a") as first, atomic_path(tmp_path / "a") as second:
        first.write_text("1")
        second.write_text("2")
    with staged_folder(tmp_path / "report") as folder:
        (folder / "b").write_text("3")
        write_something(tmp_path)
    assert (tmp_path / "a").read_text() == "1"
    assert sorted(os.listdir(tmp_path)) == ["a", "other.txt", "report"]


def test_only_own_folders_are_removed(tmp_path):
    place, elsewhere = tmp_path / "place", tmp_path / "elsewhere"
    for name in (".svmcifar-0123abcd", ".svmcifar-0123abcd.old", ".svmcifar-mine", ".out-0123abcd"):
        (place / name / "lock").mkdir(parents=True)
        (place / name / "lock").rmdir()
    (place / ".svmcifar-01234567").write_text("a file")
    elsewhere.mkdir()
    (place / ".svmcifar-76543210").symlink_to(elsewhere)
    write_something(place)
    assert sorted(os.listdir(place)) == [
        ".out-0123abcd", ".svmcifar-01234567", ".svmcifar-0123abcd.old", ".svmcifar-76543210",
        ".svmcifar-mine", "other.txt",
    ]  # fmt: skip
    assert os.listdir(elsewhere) == []


def test_without_locks_nothing_is_removed(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(unfinished, "flock", refuse)
    (tmp_path / ".svmcifar-0123abcd").mkdir()
    write_something(tmp_path)
    assert (tmp_path / "other.txt").read_text() == "whole"
    assert (tmp_path / ".svmcifar-0123abcd").is_dir()


@pytest.mark.parametrize("moment", ["mkdir", "take"])
def test_a_folder_that_is_taken_for_abandoned_is_made_again(tmp_path, monkeypatch, moment):
    """Another process comes between the making of a folder and its lock."""
    taken, take = [], unfinished._take

    def remove(folder):
        taken.append(folder)  # first: it opens files too
        shutil.rmtree(folder)

    if moment == "mkdir":
        opened = os.open

        def open_late(path, *arguments, **options):
            if not taken:
                remove(path.parent)
            return opened(path, *arguments, **options)

        monkeypatch.setattr(unfinished.os, "open", open_late)
    else:

        def take_late(lock):
            if not taken:
                remove(next(tmp_path.iterdir()))
            return take(lock)

        monkeypatch.setattr(unfinished, "_take", take_late)
    with unfinished_folder(tmp_path) as folder:
        assert len(taken) == 1
        assert folder.is_dir()
        assert folder != taken[0]
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_read_can_be_written_to(tmp_path, monkeypatch):
    scandir = os.scandir

    def refuse(path):
        if path == tmp_path:
            raise PermissionError(errno.EACCES, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(unfinished.os, "scandir", refuse)
    write_something(tmp_path)
    assert os.listdir(tmp_path) == ["other.txt"]
