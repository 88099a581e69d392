"""Damaged, foreign and malicious files in the feature cache."""

import errno
import io
import os
import pickle
import zipfile

import numpy as np
import pytest
import skops.io
from cached_features import MEANS, Computing, open_at, random_images, warned
from feature_options import quick_features

from svmcifar.features import cache
from svmcifar.features.pipeline import compute_features

IMAGES, OTHERS = random_images(), random_images(seed=1)


@pytest.fixture(scope="module", autouse=True)
def _quick_features():
    with quick_features():
        yield


@pytest.fixture
def computing(tmp_path):
    """Has an entry of each kind, of IMAGES."""
    computing = Computing(open_at(tmp_path / "cache"))
    computing.features(computing.fit(IMAGES, **MEANS), IMAGES)
    return computing


def entry_of(computing, kind):
    """The one entry of a kind."""
    (entry,) = (e for e in computing.cache.folder.entries() if e.kind == kind)
    return entry


def rewritten(path, **members):
    """Replace members of an entry."""
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name in content:
            archive.writestr(name, members.get(name.split(".")[0], content[name]))


def saved(array, **options):
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def header(shape):
    """An array of 30 x 48 that says it is of another shape."""
    buffer = io.BytesIO()
    described = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, described)
    return buffer.getvalue() + bytes(30 * 48 * 4)


DAMAGE = {
    "empty": lambda content: b"",
    "foreign": lambda content: b"some text",
    "truncated": lambda content: content[: len(content) // 2],
    "without its end": lambda content: content[:-30],
    "pickle": lambda content: pickle.dumps({"a": 1}),
    "npy": lambda content: saved(np.zeros((30, 48), dtype=np.float32)),
}


def assert_replaced(computing):
    """A damaged entry is computed again with one warning, and then it is a good one."""
    computing.done.clear()
    with warned(1) as texts:
        pipeline = computing.fit(IMAGES, **MEANS)
        X = computing.features(pipeline, IMAGES)
    assert "must be whole and written by svmcifar" in texts[0]
    assert len(computing.done) == 1
    plain = Computing().fit(IMAGES, **MEANS)
    np.testing.assert_array_equal(X, compute_features(plain, IMAGES))
    with warned(0):
        again = computing.features(computing.fit(IMAGES, **MEANS), IMAGES)
    np.testing.assert_array_equal(again, X)
    assert len(computing.done) == 1
    assert len(computing.cache.folder.entries()) == 2


@pytest.mark.parametrize("kind", ["pipeline", "features"])
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=list(DAMAGE))
def test_damaged_entry(computing, kind, damage):
    path = entry_of(computing, kind).path
    path.write_bytes(damage(path.read_bytes()))
    assert_replaced(computing)


def test_damaged_entry_is_removed(computing):
    paths = [entry.path for entry in computing.cache.folder.entries()]
    for path in paths:
        path.write_bytes(b"")
    computing.cache.least_s = 1e9
    with warned(2):
        computing.features(computing.fit(IMAGES, **MEANS), IMAGES)
    assert not any(path.exists() for path in paths)


@pytest.mark.parametrize("kind", ["pipeline", "features"])
@pytest.mark.parametrize("share", [0.3, 0.5, 0.7])
def test_flipped_byte(computing, kind, share):
    path = entry_of(computing, kind).path
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        largest = max(archive.infolist(), key=lambda info: info.file_size)
    content[largest.header_offset + 60 + int(share * largest.file_size)] ^= 1
    path.write_bytes(content)
    assert_replaced(computing)


@pytest.mark.parametrize(
    ("kind", "members"),
    [
        ("features", {"entry": "{"}),
        ("features", {"entry": "[]"}),
        ("features", {"entry": "{}"}),
        ("features", {"entry": '{"name": "other", "seconds": 1}'}),
        ("features", {"features": b""}),
        ("features", {"features": saved(np.zeros((29, 48), dtype=np.float32))}),
        ("features", {"features": saved(np.zeros(30, dtype=np.float32))}),
        ("features", {"features": saved(np.zeros((30, 48)))}),
        ("features", {"features": saved(np.zeros((30, 48), dtype=">f4"))}),
        ("features", {"features": saved(np.zeros((30, 48), dtype=np.float32))[:-7]}),
        ("features", {"features": header((30, 49))}),
        ("features", {"features": header((10**15, 48))}),
        ("pipeline", {"pipeline": b""}),
        ("pipeline", {"pipeline": skops.io.dumps([1, 2])}),
        ("pipeline", {"pipeline": skops.io.dumps({"steps": 1})}),
    ],
)
def test_forged_members(computing, kind, members):
    rewritten(entry_of(computing, kind).path, **members)
    assert_replaced(computing)


def test_entry_of_another_name(computing):
    computing.features(computing.fit(OTHERS, **MEANS), OTHERS)
    features = [e.path for e in computing.cache.folder.entries() if e.kind == "features"]
    content = features[0].read_bytes()
    features[1].write_bytes(content)
    with warned(1):
        for images in (IMAGES, OTHERS):
            plain = Computing().fit(images, **MEANS)
            X = computing.features(computing.fit(images, **MEANS), images)
            np.testing.assert_array_equal(X, compute_features(plain, images))


def test_pipeline_of_other_parameters(computing):
    """The name says what it is for; what is in it may be something else."""
    other = Computing().fit(IMAGES, **({"kinds": ("cells",)}))
    rewritten(entry_of(computing, "pipeline").path, pipeline=skops.io.dumps(other))
    assert_replaced(computing)


class _Evil:
    def __reduce__(self):
        return os.mkdir, ("evil-was-here",)


EVIL = pickle.dumps(_Evil())


@pytest.mark.parametrize(
    ("kind", "members"),
    [
        ("features", {"features": EVIL}),
        ("features", {"features": saved(np.array([_Evil()]), allow_pickle=True)}),
        ("features", {"entry": EVIL}),
        ("features", None),
        ("pipeline", {"pipeline": EVIL}),
        ("pipeline", {"pipeline": skops.io.dumps(_Evil())}),
        ("pipeline", {"pipeline": skops.io.dumps({"steps": [("a", _Evil())]})}),
        ("pipeline", None),
    ],
)
def test_nothing_of_an_entry_is_run(computing, tmp_path, monkeypatch, kind, members):
    monkeypatch.chdir(tmp_path)
    path = entry_of(computing, kind).path
    if members is None:
        path.write_bytes(EVIL)
    else:
        rewritten(path, **members)
    assert_replaced(computing)
    assert not (tmp_path / "evil-was-here").exists()
    pickle.loads(EVIL)
    assert (tmp_path / "evil-was-here").exists()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError("Unable to allocate 3.1 GiB"), "Unable to allocate"),
        (OSError(errno.EIO, os.strerror(errno.EIO)), os.strerror(errno.EIO)),
    ],
)
def test_what_cannot_be_read_now_is_left_for_another_time(computing, monkeypatch, error, words):
    path = entry_of(computing, "features").path

    def refuse(*_):
        raise error

    with monkeypatch.context() as patch, warned(1) as texts:
        patch.setattr(cache, "_read_features", refuse)
        computing.cache.least_s = 1e9
        computing.features(computing.fit(IMAGES, **MEANS), IMAGES)
    assert "must be readable and fit the memory" in texts[0]
    assert words in texts[0]
    assert path.exists()
    with warned(0):
        computing.done.clear()
        computing.features(computing.fit(IMAGES, **MEANS), IMAGES)
    assert computing.done == []
