import shutil
import subprocess
import sys
from datetime import datetime

import pytest
from cached_features import MEANS, Computing, open_at, random_images
from clirun import fail, run
from feature_options import quick_features

from svmcifar.compute.memory import format_bytes
from svmcifar.features.cache_folder import list_entries


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Has an entry of each kind, and a file of somebody else."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("SVMCIFAR_CACHE", str(folder))
    monkeypatch.setenv("SVMCIFAR_CACHE_LIMIT", "5GiB")
    computing, images = Computing(open_at(folder)), random_images()
    with quick_features():
        computing.features(computing.fit(images, **MEANS), images)
    (folder / "notes.txt").write_text("precious")
    return folder


def test_info(folder):
    entries = list_entries(folder)
    lines = run("cache", "info").splitlines()
    assert lines[0].split() == ["folder", str(folder)]
    assert lines[1].split(maxsplit=1) == ["limit", "5 GiB"]
    total = format_bytes(sum(entry.n_bytes for entry in entries))
    assert lines[2].split(maxsplit=1) == ["total", f"{total} in 2 entries"]
    newest, oldest = reversed(entries)
    for line, entry in zip(lines[3:], (newest, oldest), strict=True):
        assert line.split()[0] == entry.kind
        assert format_bytes(entry.n_bytes) in line
        assert line.endswith(f"last used {datetime.fromtimestamp(entry.used):%Y-%m-%d %H:%M}")
    assert {entry.kind for entry in entries} == {"pipeline", "features"}


def test_info_without_a_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SVMCIFAR_CACHE", str(tmp_path / "none"))
    monkeypatch.setenv("SVMCIFAR_CACHE_LIMIT", "0")
    lines = run("cache", "info").splitlines()
    assert lines[1].split(maxsplit=1) == ["limit", "0, the cache is off"]
    assert lines[2].split(maxsplit=1) == ["total", "0 B in 0 entries"]
    assert len(lines) == 3
    assert run("cache", "clear") == f"freed 0 B in 0 entries of {tmp_path / 'none'}\n"
    assert not (tmp_path / "none").exists()


def test_clear(folder):
    n_bytes = sum(entry.n_bytes for entry in list_entries(folder))
    assert run("cache", "clear") == f"freed {format_bytes(n_bytes)} in 2 entries of {folder}\n"
    assert sorted(path.name for path in folder.iterdir()) == ["entries", "notes.txt"]
    assert "0 B in 0 entries" in run("cache", "clear")


def test_one_entry(folder):
    shutil.rmtree(list_entries(folder)[0].path)
    assert "in 1 entry\n" in run("cache", "info")
    assert "in 1 entry of" in run("cache", "clear")


@pytest.mark.parametrize("command", ["info", "clear"])
def test_settings_that_are_none(folder, monkeypatch, command):
    monkeypatch.setenv("SVMCIFAR_CACHE_LIMIT", "much")
    assert "$SVMCIFAR_CACHE_LIMIT must be 0, a number of bytes" in fail("cache", command)


def test_help_names_the_variables():
    text = " ".join(run("cache", "--help").split())
    for variable in ("$SVMCIFAR_CACHE ", "$SVMCIFAR_CACHE_LIMIT "):
        assert variable in text


def test_nothing_heavy_is_imported():
    code = (
        "import sys; from svmcifar.cli import main\n"
        "try: main(['cache', 'info'])\n"
        "finally: print(sorted({'numpy', 'numba', 'sklearn', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n")
