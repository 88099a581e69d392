"""Arrays that float16 holds take half of the room or less in files, and lose nothing."""

import io
import zipfile

import numpy as np
import pytest
import skops.io

from svmcifar.io import half_arrays
from svmcifar.io.half_arrays import narrow, narrow_members, widen, widen_members

SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 65504.0, -(2.0**-24), 6e4, 2.0**-14 - 2.0**-24]
LOST = [0.1, 65520.0, 1e-8, 2.0**-25, 1 + 2.0**-11, 1e30]


def halves(shape, dtype=np.float32, seed=0):
    values = np.random.default_rng(seed).normal(size=shape).astype(np.float16).astype(dtype)
    values.flat[: len(SPECIAL)] = SPECIAL
    return values


def assert_same(found, expected):
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    assert found.flags.f_contiguous == expected.flags.f_contiguous
    assert found.tobytes(order="A") == expected.tobytes(order="A")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(5000,), (300, 700), (7, 50, 30)])
def test_what_float16_holds_comes_back_to_the_bit(shape, order, dtype):
    array = np.asarray(halves(shape, dtype), order=order)
    stored = narrow(array)
    assert stored.nbytes == 2 * array.size
    assert_same(widen(stored), array)
    file = io.BytesIO()
    np.save(file, stored, allow_pickle=False)
    file.seek(0)
    assert_same(widen(np.load(file, allow_pickle=False)), array)


@pytest.mark.parametrize("lost", LOST)
@pytest.mark.parametrize("place", [0, 2**16, 199_999])
def test_one_value_that_float16_does_not_hold_keeps_all(lost, place):
    for dtype in (np.float32, np.float64):
        array = halves(200_000, dtype)
        array[place] = lost
        before = array.copy()
        assert narrow(array) is array
        assert_same(array, before)


def test_nan_with_a_message_is_kept():
    array = halves(5000)
    array.view(np.uint32)[77] = 0x7FC00001
    assert narrow(array) is array


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(4095, np.float32),
        np.zeros(9000, np.int64),
        np.zeros(9000, np.float16),
        np.zeros(9000, ">f4"),
        np.zeros(9000, np.complex64),
        np.zeros(9000, [("float32", np.float32)]),
    ],
)
def test_others_are_as_they_are(array):
    assert narrow(array) is array
    assert widen(array) is array


def test_looks_at_no_more_than_it_must(monkeypatch):
    array, seen = halves(500_000), []
    array[100_000] = 0.1
    as_halves = half_arrays._round
    monkeypatch.setattr(half_arrays, "_round", lambda run: seen.append(len(run)) or as_halves(run))
    narrow(array)
    assert seen == [2**16] * 2
    seen.clear()
    array[5] = 0.1
    reads = []
    monkeypatch.setattr(half_arrays, "_read", lambda *member: reads.append(member))
    data = skops.io.dumps({"x": array})
    assert narrow_members(data) is data
    assert seen == [2**16]
    assert not reads


def test_archives():
    rng = np.random.default_rng(0)
    content = {
        "halves": halves((40, 500)),
        "columns": np.asfortranarray(halves((500, 40), np.float64, 1)),
        "wide": rng.normal(size=9000),
        "half in the beginning": np.append(np.zeros(2**16), 0.1),
        "small": np.ones(5),
        "numbers": np.arange(9000),
        "words": ["a", "b"],
    }
    data = skops.io.dumps(content)
    stored = narrow_members(data)
    saved = content["halves"].nbytes / 2 + content["columns"].nbytes * 3 / 4
    assert abs(len(data) - len(stored) - saved) < 500
    with zipfile.ZipFile(io.BytesIO(stored)) as archive:
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
    loaded = skops.io.loads(widen_members(stored))
    assert loaded["words"] == content["words"]
    for name in [*content][:-1]:
        assert_same(loaded[name], content[name])


def test_archives_without_them_are_not_written_again():
    data = skops.io.dumps({"wide": np.random.default_rng(0).normal(size=9000), "few": np.ones(9)})
    assert narrow_members(data) is data
    assert widen_members(data) is data
