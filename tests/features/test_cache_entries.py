"""Entries of the feature cache: damaged ones, limits, disks that refuse, other processes."""

import errno
import os
import pickle
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import joblib
import numpy as np
import pytest
from cached_features import MEANS, Computing, open_at, random_images, warned
from feature_options import quick_features
from joblib import _store_backends as joblib_store

from svmcifar.errors import OutputError
from svmcifar.features import cache as cache_module
from svmcifar.features.cache_folder import clear_entries, list_entries
from svmcifar.features.fitting import compute_features

IMAGES = random_images()
OTHERS = [random_images(seed=seed) for seed in range(1, 5)]
# What an entry of their features must have room for.
NEEDED_BYTES = 30 * 48 * 4 + 8192


@pytest.fixture(scope="module", autouse=True)
def _quick_features():
    with quick_features():
        yield


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def computing(folder):
    return Computing(open_at(folder))


@pytest.fixture(scope="module")
def pipeline():
    with quick_features():
        return Computing().fit(IMAGES, **MEANS)


@pytest.fixture
def filled(computing):
    """Has an entry of each kind, of IMAGES."""
    computing.features(computing.fit(IMAGES, **MEANS), IMAGES)
    return computing


def files_of(folder, kind="features"):
    """The files of the entries of a kind, the least recently used first."""
    paths = [entry.path for entry in list_entries(folder)]
    return [path / "output.pkl" for path in paths if path.parent.name == kind]


# --- damage


def saved(path, content):
    joblib.dump(content, path)
    return path.read_bytes()


DAMAGE = {
    "empty": lambda path, content: b"",
    "foreign": lambda path, content: b"some text",
    "truncated": lambda path, content: content[: len(content) // 2],
    "without its end": lambda path, content: content[:-1],
    "another pickle": lambda path, content: pickle.dumps({"a": 1}),
    "a pair": lambda path, content: saved(path, ("0", [{"X": np.zeros((30, 48), np.float32)}])),
    "no such class": lambda path, content: content.replace(b"NumpyArrayWrapper", b"NoSuchThing"),
}


@pytest.mark.parametrize("kind", ["pipeline", "features"])
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=list(DAMAGE))
def test_damaged_entry_is_replaced(filled, folder, kind, damage):
    """It is computed again with one warning, and then it is a good one."""
    (path,) = files_of(folder, kind)
    path.write_bytes(damage(path, path.read_bytes()))
    filled.done.clear()
    with warned(1) as texts:
        pipeline = filled.fit(IMAGES, **MEANS)
        X = filled.features(pipeline, IMAGES)
    assert f"{path.parent}: an entry of the feature cache must be whole" in texts[0]
    assert len(filled.done) == 1
    plain = Computing().fit(IMAGES, **MEANS)
    np.testing.assert_array_equal(X, compute_features(plain, IMAGES))
    with warned(0):
        again = filled.features(filled.fit(IMAGES, **MEANS), IMAGES)
    np.testing.assert_array_equal(again, X)
    assert len(filled.done) == 1
    assert len(list_entries(folder)) == 2


@pytest.mark.parametrize("bit", [1, 128])
@pytest.mark.parametrize("kind", ["pipeline", "features"])
def test_flipped_bits_are_noticed(filled, folder, pipeline, kind, bit):
    """Wherever they are; those of padding between the arrays change nothing."""
    (path,) = files_of(folder, kind)
    right = path.read_bytes()
    X = compute_features(pipeline, IMAGES)
    filled.cache.least_s = 1e9
    n_noticed, places = 0, range(0, len(right), 41)
    for place in places:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(right[:place] + bytes([right[place] ^ bit]) + right[place + 1 :])
        filled.done.clear()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            np.testing.assert_array_equal(filled.features(filled.fit(IMAGES, **MEANS), IMAGES), X)
        n_noticed += len(filled.done)
    assert n_noticed > 0.8 * len(places)


def test_damaged_entry_is_removed(filled, folder):
    paths = files_of(folder) + files_of(folder, "pipeline")
    for path in paths:
        path.write_bytes(b"")
    filled.cache.least_s = 1e9
    with warned(2):
        filled.features(filled.fit(IMAGES, **MEANS), IMAGES)
    assert not any(path.parent.exists() for path in paths)


def test_entry_that_does_not_fit_the_memory(filled, pipeline, monkeypatch):
    def refuse(*_):
        raise MemoryError("Unable to allocate 3.1 GiB")

    monkeypatch.setattr(joblib_store.numpy_pickle, "load", refuse)
    with warned(1) as texts:
        X = filled.features(pipeline, IMAGES)
    assert "fit the memory, got 'Unable to allocate 3.1 GiB'" in texts[0]
    np.testing.assert_array_equal(X, compute_features(pipeline, IMAGES))


# --- limit


def kept_paths(computing, pipeline):
    """Compute the features of all images, one after the other; give the file of each."""
    paths = []
    for images in OTHERS:
        computing.features(pipeline, images)
        (new,) = set(files_of(computing.cache.folder)) - set(paths)
        paths.append(new)
    return paths


def test_least_recently_used_makes_room(computing, folder, pipeline):
    paths = kept_paths(computing, pipeline)
    for path, used in zip(paths, [3, 1, 4, 2], strict=True):
        os.utime(path, (used, used))
    assert files_of(folder) == [paths[i] for i in (1, 3, 0, 2)]
    computing.features(pipeline, OTHERS[1])  # which makes it the newest
    assert paths[1].stat().st_mtime > 1e9  # on disks that keep no times of reading too
    assert files_of(folder) == [paths[i] for i in (3, 0, 2, 1)]
    computing.cache.limit_bytes = NEEDED_BYTES + sum(paths[i].stat().st_size for i in (2, 1))
    computing.features(pipeline, IMAGES)
    assert files_of(folder)[:-1] == [paths[i] for i in (2, 1)]
    assert len(computing.done) == 5


@pytest.mark.parametrize("n_kept", [1, 2, 3, 4])
def test_limit_holds(tmp_path, pipeline, n_kept):
    paths = kept_paths(Computing(open_at(tmp_path / "all")), pipeline)
    size = max(path.stat().st_size for path in paths)
    limit_bytes = NEEDED_BYTES + (n_kept - 1) * size
    computing = Computing(open_at(tmp_path / "limited", limit_bytes=limit_bytes))
    for n_images, images in enumerate(OTHERS, start=1):
        computing.features(pipeline, images)
        entries = list_entries(tmp_path / "limited")
        assert len(entries) == min(n_images, n_kept)
        assert sum(entry.n_bytes for entry in entries) <= limit_bytes


def test_what_is_larger_than_the_limit_is_not_kept(folder, pipeline):
    Computing(open_at(folder)).features(pipeline, OTHERS[0])
    computing = Computing(open_at(folder, limit_bytes=NEEDED_BYTES - 1))
    with warned(1) as texts:
        X = computing.features(pipeline, IMAGES)
    assert "must fit its limit of" in texts[0]
    assert "$SVMCIFAR_CACHE_LIMIT" in texts[0]
    np.testing.assert_array_equal(X, compute_features(pipeline, IMAGES))
    assert len(list_entries(folder)) == 1


# --- a disk that refuses


def assert_goes_on(computing, n_warnings, words):
    """Everything is computed, and nothing is left behind."""
    with warned(n_warnings) as texts:
        for images in (IMAGES, OTHERS[0]):
            X = computing.features(computing.fit(images, **MEANS), images)
            plain = Computing().fit(images, **MEANS)
            np.testing.assert_array_equal(X, compute_features(plain, images))
    assert all(words in text for text in texts)
    assert computing.done == ["fit", "features"] * 2
    assert list_entries(computing.cache.folder) == []


def test_disk_that_fills_up(computing, monkeypatch):
    def fill(value, path):
        path.write_bytes(bytes(100))
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(cache_module.joblib, "dump", fill)
    assert_goes_on(computing, 4, "'No space left on device'; name another or fix the folder; feat")
    assert computing.cache.kept_bytes == 0


def test_folder_that_becomes_anybodys(computing, folder):
    (folder / "entries").chmod(0o777)
    assert_goes_on(computing, 4, "others can write to it (mode 777)")


@pytest.mark.parametrize(
    "part",
    ["entries/features", "entries/features/*", "entries/features/*/output.pkl", "entries", ""],
)
def test_an_entry_that_others_can_write_to_is_not_used(filled, folder, pipeline, part):
    (path,) = folder.glob(part) if part else [folder]
    path.chmod(0o777)
    computing = Computing(filled.cache)
    with warned(1 if "/" in part else 2) as texts:
        X = computing.features(pipeline, IMAGES)
    assert computing.done == ["features"]
    assert "must be whole, yours and fit the memory, got '" in texts[0]
    assert "others can write to it (mode 777)'; it is removed" in texts[0]
    np.testing.assert_array_equal(X, compute_features(pipeline, IMAGES))


def test_an_entry_of_another_user_is_not_used(filled, pipeline, monkeypatch):
    own = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: own + 1)
    computing = Computing(filled.cache)
    with warned(2) as texts:
        computing.features(pipeline, IMAGES)
    assert computing.done == ["features"]
    assert "it belongs to another user'; it is removed" in texts[0]


def test_a_group_may_write_to_entries_by_the_umask(computing):
    umask = os.umask(0o002)
    try:
        computing.features(computing.fit(IMAGES, **MEANS), IMAGES)
    finally:
        os.umask(umask)
    again = Computing(computing.cache)
    again.features(again.fit(IMAGES, **MEANS), IMAGES)
    assert again.done == []


def test_room_is_left_on_the_disk(tmp_path, pipeline, monkeypatch):
    usage = cache_module.shutil.disk_usage(tmp_path)
    for free, n_entries in ((2 * NEEDED_BYTES - 1, 0), (2 * NEEDED_BYTES, 1)):
        left = usage._replace(free=free)
        monkeypatch.setattr(cache_module.shutil, "disk_usage", lambda path, left=left: left)
        computing = Computing(open_at(tmp_path / "cache"))
        with warned(1 - n_entries):
            computing.features(pipeline, IMAGES)
        assert len(list_entries(tmp_path / "cache")) == n_entries


def test_folder_that_can_only_be_read(computing, pipeline, monkeypatch):
    X = computing.features(pipeline, IMAGES)

    def refuse(*args, **options):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(cache_module.os, "utime", refuse)
    with warned(0):
        np.testing.assert_array_equal(computing.features(pipeline, IMAGES), X)
    assert computing.done == ["features"]


# --- other processes


def test_entry_that_vanishes_is_a_miss(computing, folder, pipeline, monkeypatch):
    X = computing.features(pipeline, IMAGES)

    def vanish(file):
        clear_entries(folder)
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))

    with warned(0), monkeypatch.context() as patch:
        patch.setattr(joblib_store.numpy_pickle, "load", vanish)
        np.testing.assert_array_equal(computing.features(pipeline, IMAGES), X)
    assert computing.done == ["features"] * 2


def test_folder_that_vanishes_is_made_again(computing, folder, pipeline):
    computing.features(pipeline, IMAGES)
    clear_entries(folder)
    (folder / "entries" / ".gitignore").unlink()
    (folder / "entries").rmdir()
    folder.rmdir()
    assert list_entries(folder) == []
    computing.features(pipeline, IMAGES)
    computing.features(pipeline, IMAGES)
    assert computing.done == ["features"] * 2
    assert (folder / "entries").stat().st_mode & 0o777 == 0o700


@pytest.mark.filterwarnings("error")
def test_many_at_once(folder, pipeline):
    """Threads, each with a cache of its own, write, read and remove the same few entries."""
    expected = [compute_features(pipeline, images) for images in OTHERS]
    limit_bytes = 3 * NEEDED_BYTES
    n_threads, start = 6, threading.Barrier(6)

    def work(seed):
        computing = Computing(open_at(folder, limit_bytes=limit_bytes))
        start.wait()
        for number in np.random.default_rng(seed).integers(0, len(OTHERS), 40):
            X = computing.features(pipeline, OTHERS[number])
            np.testing.assert_array_equal(X, expected[number])
        return len(computing.done)

    with ThreadPoolExecutor(n_threads) as pool:
        computed = list(pool.map(work, range(n_threads)))
    assert 4 <= sum(computed) < 40 * n_threads
    assert 1 <= len(list_entries(folder)) <= 5


def test_what_a_killed_writer_left_is_removed_by_the_next(folder, pipeline):
    code = (
        "import os, sys; from cached_features import open_at\n"
        "import joblib\n"
        "def die(value, path): path.write_bytes(b'half'); os._exit(3)\n"
        "joblib.dump = die\n"
        "open_at(sys.argv[1])._keep('features', 64 * '0', [])"
    )
    done = subprocess.run([sys.executable, "-c", code, folder], cwd=Path(__file__).parents[1])
    assert done.returncode == 3
    (entry,) = list_entries(folder)
    assert (entry.n_bytes, [p.name for p in entry.path.glob("output.pkl")]) == (4, [])
    Computing(open_at(folder)).features(pipeline, IMAGES)
    assert [e.path.name == 64 * "0" for e in list_entries(folder)] == [False]
    assert not list(folder.rglob(".svmcifar-*"))


# --- other files

KEY = f"{'0' * 32}-{'a' * 32}"
FOREIGN = [
    "notes.txt",
    "features.zip",
    f"features-{KEY}",
    f"features-{KEY[:-1]}A.zip",
    "joblib.txt",
]


def test_clear_removes_all_entries_and_no_other_file(filled, folder):
    for name in FOREIGN:
        (folder / name).write_text("precious")
    (folder / "outside").mkdir()
    (folder / "outside" / "output.pkl").write_text("precious")
    before = list(folder.iterdir())
    former = [folder / f"features-{KEY}.zip", folder / f"pipeline-{KEY}.zip"]
    for path in former:
        path.write_text("of an older release")
    assert {entry.kind for entry in clear_entries(folder)} == {
        "pipeline",
        "features",
    }
    assert list_entries(folder) == []
    assert sorted(folder.iterdir()) == sorted(before)
    assert [path.name for path in (folder / "entries").iterdir()] == [".gitignore"]
    assert (folder / "outside" / "output.pkl").read_text() == "precious"
    assert not any(path.exists() for path in former)
    assert all((folder / name).read_text() == "precious" for name in FOREIGN)


def test_entry_that_cannot_be_removed(filled, folder, monkeypatch):
    def refuse(path):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(cache_module.shutil, "rmtree", refuse)
    with pytest.raises(OutputError, match=r"entries.*removable, got 'Permission denied'; fix"):
        clear_entries(folder)
