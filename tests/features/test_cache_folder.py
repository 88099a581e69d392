"""The files of the feature cache: limits, disks that refuse, other processes, other files."""

import errno
import os
import subprocess
import sys
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from cached_features import MEANS, Computing, open_at, random_images, warned
from feature_options import quick_features

from svmcifar.errors import OutputError
from svmcifar.features import cache_folder
from svmcifar.features.cache_folder import CacheFolder
from svmcifar.features.pipeline import compute_features

IMAGES = random_images()
OTHERS = [random_images(seed=seed) for seed in range(1, 5)]
# What an entry of their features must have room for.
NEEDED_BYTES = 30 * 48 * 4 + 4096


@pytest.fixture(scope="module", autouse=True)
def _quick_features():
    with quick_features():
        yield


@pytest.fixture
def computing(tmp_path):
    return Computing(open_at(tmp_path / "cache"))


@pytest.fixture(scope="module")
def pipeline():
    with quick_features():
        return Computing().fit(IMAGES, **MEANS)


# --- limit


def kept_paths(computing, pipeline):
    """Compute the features of all images, one after the other; give the file of each."""
    paths = []
    for images in OTHERS:
        computing.features(pipeline, images)
        (new,) = {entry.path for entry in computing.cache.folder.entries()} - set(paths)
        paths.append(new)
    return paths


def test_least_recently_used_makes_room(computing, pipeline):
    paths = kept_paths(computing, pipeline)
    for path, used in zip(paths, [3, 1, 4, 2], strict=True):
        os.utime(path, (used, used))
    folder = computing.cache.folder
    assert [entry.path for entry in folder.entries()] == [paths[i] for i in (1, 3, 0, 2)]
    computing.features(pipeline, OTHERS[1])  # which makes it the newest
    assert [entry.path for entry in folder.entries()] == [paths[i] for i in (3, 0, 2, 1)]
    folder.limit_bytes = NEEDED_BYTES + sum(paths[i].stat().st_size for i in (2, 1))
    computing.features(pipeline, IMAGES)
    assert [entry.path for entry in folder.entries()][:-1] == [paths[i] for i in (2, 1)]
    assert len(computing.done) == 5


@pytest.mark.parametrize("n_kept", [1, 2, 3, 4])
def test_limit_holds(tmp_path, pipeline, n_kept):
    most = max(path.stat().st_size for path in kept_paths(Computing(open_at(tmp_path)), pipeline))
    limit_bytes = NEEDED_BYTES + (n_kept - 1) * (most + 20)
    computing = Computing(open_at(tmp_path / "limited", limit_bytes=limit_bytes))
    folder = computing.cache.folder
    for n_images, images in enumerate(OTHERS, start=1):
        computing.features(pipeline, images)
        entries = folder.entries()
        assert len(entries) == min(n_images, n_kept)
        assert sum(entry.n_bytes for entry in entries) <= limit_bytes


def test_what_is_larger_than_the_limit_is_not_kept(tmp_path, pipeline):
    Computing(open_at(tmp_path)).features(pipeline, OTHERS[0])
    computing = Computing(open_at(tmp_path, limit_bytes=NEEDED_BYTES - 1))
    with warned(1) as texts:
        X = computing.features(pipeline, IMAGES)
    assert "must fit its limit of" in texts[0]
    assert "$SVMCIFAR_CACHE_LIMIT" in texts[0]
    np.testing.assert_array_equal(X, compute_features(pipeline, IMAGES))
    assert len(computing.cache.folder.entries()) == 1


def test_nothing_is_removed_if_there_cannot_be_room(tmp_path, pipeline):
    computing = Computing(open_at(tmp_path, limit_bytes=100_000))
    paths = kept_paths(computing, pipeline)
    name = f".features-{'0' * 32}-{'0' * 32}-{'0' * 8}.zip"
    (tmp_path / name).write_bytes(b"0" * 95_000)  # another process writes it
    assert not computing.cache.folder.write(paths[0].name, 10_000, lambda archive: None)
    assert all(path.exists() for path in paths)


# --- a disk that refuses


def assert_goes_on(computing, reason):
    """Everything is computed, with one warning for all of it, and nothing is left behind."""
    with warned(1) as texts:
        for images in (IMAGES, OTHERS[0]):
            X = computing.features(computing.fit(images, **MEANS), images)
            plain = Computing().fit(images, **MEANS)
            np.testing.assert_array_equal(X, compute_features(plain, images))
    assert "must be writable and have room" in texts[0]
    assert reason in texts[0]
    assert computing.done == ["fit", "features"] * 2
    assert computing.cache.folder.entries() == []


@pytest.mark.parametrize("name", ["file", "file/cache"])
def test_folder_that_is_none(tmp_path, name):
    (tmp_path / "file").touch()
    computing = Computing(open_at(tmp_path / name))
    assert_goes_on(computing, os.strerror(errno.EEXIST if name == "file" else errno.ENOTDIR))
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES])
def test_folder_that_cannot_be_written_to(computing, tmp_path, monkeypatch, code):
    right = zipfile.ZipFile

    def refuse(path, mode="r"):
        if mode == "w":
            raise OSError(code, os.strerror(code))
        return right(path, mode)

    monkeypatch.setattr(cache_folder.zipfile, "ZipFile", refuse)
    assert_goes_on(computing, os.strerror(code))


def test_folder_that_can_only_be_read(computing, pipeline, monkeypatch):
    X = computing.features(pipeline, IMAGES)

    def refuse(*args, **options):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(cache_folder.os, "utime", refuse)
    with warned(0):
        np.testing.assert_array_equal(computing.features(pipeline, IMAGES), X)
    assert computing.done == ["features"]


def test_disk_that_fills_up(computing, monkeypatch):
    class FullDisk(zipfile.ZipFile):
        def open(self, name, mode="r", **options):
            if mode == "w":
                self.fp.write(bytes(100))
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().open(name, mode, **options)

    monkeypatch.setattr(cache_folder.zipfile, "ZipFile", FullDisk)
    assert_goes_on(computing, os.strerror(errno.ENOSPC))
    assert os.listdir(computing.cache.folder.path) == []


def test_room_is_left_on_the_disk(tmp_path, pipeline, monkeypatch):
    usage = cache_folder.shutil.disk_usage(tmp_path)
    needed = 2 * NEEDED_BYTES
    for free, n_entries in ((needed - 1, 0), (needed, 1)):
        left = usage._replace(free=free)
        monkeypatch.setattr(cache_folder.shutil, "disk_usage", lambda path, left=left: left)
        computing = Computing(open_at(tmp_path / "cache"))
        with warned(1 - n_entries):
            computing.features(pipeline, IMAGES)
        assert len(computing.cache.folder.entries()) == n_entries


# --- other processes


def test_entry_that_vanishes_is_a_miss(computing, pipeline, monkeypatch):
    X = computing.features(pipeline, IMAGES)
    right = CacheFolder.has_any

    def vanish(self, prefix):
        found = right(self, prefix)
        self.clear()
        return found

    monkeypatch.setattr(CacheFolder, "has_any", vanish)
    with warned(0):
        np.testing.assert_array_equal(computing.features(pipeline, IMAGES), X)
    assert computing.done == ["features"] * 2


def test_folder_that_vanishes_is_made_again(computing, pipeline):
    computing.features(pipeline, IMAGES)
    computing.cache.folder.clear()
    computing.cache.folder.path.rmdir()
    assert computing.cache.folder.entries() == []
    computing.features(pipeline, IMAGES)
    computing.features(pipeline, IMAGES)
    assert computing.done == ["features"] * 2


@pytest.mark.filterwarnings("error")
def test_many_at_once(tmp_path, pipeline):
    """Threads, each with a cache of its own, write, read and remove the same few entries."""
    expected = [compute_features(pipeline, images) for images in OTHERS]
    limit_bytes = 3 * NEEDED_BYTES
    n_threads, start = 6, threading.Barrier(6)

    def work(seed):
        computing = Computing(open_at(tmp_path, limit_bytes=limit_bytes))
        start.wait()
        for number in np.random.default_rng(seed).integers(0, len(OTHERS), 40):
            X = computing.features(pipeline, OTHERS[number])
            np.testing.assert_array_equal(X, expected[number])
        return len(computing.done)

    with ThreadPoolExecutor(n_threads) as pool:
        computed = list(pool.map(work, range(n_threads)))
    assert 4 <= sum(computed) < 40 * n_threads
    entries = CacheFolder(tmp_path, limit_bytes).entries()
    assert {entry.kind for entry in entries} == {"features"}
    assert len(os.listdir(tmp_path)) == len(entries) <= 4


def test_writer_that_dies_leaves_an_unfinished_file(tmp_path, pipeline):
    code = (
        "import os, sys; from pathlib import Path\n"
        "from svmcifar.features.cache_folder import CacheFolder\n"
        "def save(archive):\n"
        "    archive.writestr('features.npy', b'half'); archive.fp.flush(); os._exit(3)\n"
        "name = 'features-' + 32 * '0' + '-' + 32 * '1' + '.zip'\n"
        "CacheFolder(Path(sys.argv[1]), 10**6).write(name, 100, save)"
    )
    assert subprocess.run([sys.executable, "-c", code, tmp_path]).returncode == 3
    computing = Computing(open_at(tmp_path))
    (entry,) = computing.cache.folder.entries()
    assert entry.kind == "unfinished"
    assert os.listdir(tmp_path) == [entry.path.name]
    assert not computing.cache.folder.has_any("features-")
    # Its writer may be alive: for an hour it stays, and then makes room as others do.
    computing.cache.folder.limit_bytes = NEEDED_BYTES + entry.n_bytes - 1
    with warned(0):
        computing.features(pipeline, IMAGES)
    assert computing.cache.folder.entries() == [entry]
    hour_ago = entry.used - 3601
    os.utime(entry.path, (hour_ago, hour_ago))
    computing.features(pipeline, IMAGES)
    assert [e.kind for e in computing.cache.folder.entries()] == ["features"]


# --- other files

KEY = f"{'0' * 32}-{'a' * 32}"
FOREIGN = [
    "notes.txt",
    "features.zip",
    f"features-{KEY}",
    f"features-{KEY}.zip.bak",
    f"features-{KEY}.npy",
    f"features-{KEY[:-1]}.zip",
    f"features-{KEY[:-1]}A.zip",
    f"other-{KEY}.zip",
    f"my-features-{KEY}.zip",
    f"features-{KEY}-12345678.zip",
    f".features-{KEY}.zip",
    f"features-{KEY}.zip\n",
]


def test_other_files_stay(tmp_path, pipeline):
    for name in FOREIGN:
        (tmp_path / name).write_text("precious")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / f"features-{KEY}.zip").write_text("precious")
    (tmp_path / f"pipeline-{KEY}.zip").mkdir()
    (tmp_path / f"features-{KEY}.zip").symlink_to(tmp_path / "notes.txt")
    before = sorted(tmp_path.rglob("*"))
    computing = Computing(open_at(tmp_path, limit_bytes=NEEDED_BYTES))
    for images in OTHERS:  # each makes room for the next
        computing.features(pipeline, images)
    own = computing.cache.folder.entries()
    assert len(own) == 1
    (tmp_path / f".features-{KEY}-12345678.zip").write_text("unfinished")
    removed = computing.cache.folder.clear()
    assert {entry.path.name for entry in removed} == {
        own[0].path.name,
        f".features-{KEY}-12345678.zip",
    }
    assert sorted(tmp_path.rglob("*")) == before
    assert all((tmp_path / name).read_text() == "precious" for name in FOREIGN)


def test_entry_that_cannot_be_removed(computing, pipeline, monkeypatch):
    computing.features(pipeline, IMAGES)

    def refuse(self, missing_ok=False):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(cache_folder.Path, "unlink", refuse)
    with pytest.raises(OutputError, match=r"features-.*removable, got 'Permission denied'; mend"):
        computing.cache.folder.clear()
