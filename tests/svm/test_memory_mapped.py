"""Samples in a file, which may be larger than the memory, give the model of those in memory."""

import numpy as np
import pytest

from svmcifar import SVC
from svmcifar.errors import MemoryLimitError
from svmcifar.io.content_hash import content_hash
from svmcifar.svm import moments, problem
from svmcifar.svm.backends import memory_plan
from svmcifar.svm.samples import GatheredRows, is_memory_mapped

SIZES = [40, 31, 55, 28, 60, 33, 41, 47]


def make_samples(is_sorted, dtype, shift):
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(len(SIZES)), SIZES)
    X = rng.normal(size=(len(SIZES), 5))[y] + rng.normal(size=(len(y), 5)) + shift
    order = np.arange(len(y)) if is_sorted else rng.permutation(len(y))
    return X[order].astype(dtype), y[order]


def mapped(X, folder):
    np.save(folder / "X.npy", X)
    return np.load(folder / "X.npy", mmap_mode="r")


@pytest.mark.parametrize("is_sorted", [True, False], ids=["sorted", "shuffled"])
@pytest.mark.parametrize(
    ("dtype", "shift", "parameters"),
    [
        (np.float32, 0, {"sample_weight": True}),
        (np.float32, 20, {}),
        (np.float64, 20, {"kernel": "poly", "degree": 2}),
        (np.float32, 0, {"gamma": 2.0, "C": 1e5}),
    ],
    ids=["weights", "centred", "poly", "doubtful"],
)
def test_the_model_is_the_same_and_no_copy_is_made(
    tmp_path, monkeypatch, is_sorted, dtype, shift, parameters
):
    monkeypatch.setattr(memory_plan, "BLOCK", 100)
    monkeypatch.setattr(moments, "_HOST_VALUES", 300)
    X, y = make_samples(is_sorted, dtype, shift)
    parameters = dict(parameters)
    weight = None
    if parameters.pop("sample_weight", False):
        weight = np.random.default_rng(1).choice([0.0, 0.5, 2.0], len(y))
    expected = SVC(n_jobs=2, **parameters).fit(X, y, weight)

    copied, get, take = [], GatheredRows.__getitem__, problem.take_rows

    def spy(count):
        def wrapped(*args):
            rows = count(*args)
            copied.append(len(rows))
            return rows

        return wrapped

    monkeypatch.setattr(GatheredRows, "__getitem__", spy(get))
    monkeypatch.setattr(problem, "take_rows", spy(take))
    model = SVC(n_jobs=2, **parameters).fit(mapped(X, tmp_path), y, weight)
    assert content_hash(model) == content_hash(expected)
    assert 0 < max(copied) <= 100 < len(y) / 3


def test_samples_that_are_in_a_file(tmp_path):
    X = np.arange(12.0).reshape(4, 3)
    file = mapped(X, tmp_path)
    assert is_memory_mapped(file)
    assert is_memory_mapped(np.asarray(file)[1:, :2])
    assert not is_memory_mapped(X)
    assert not is_memory_mapped(file.copy()[1:])
    rows = GatheredRows(file, np.array([3, 0]), np.array([1.0, 2.0, 0.0]), np.dtype(np.float32))
    expected = (X[[3, 0]] - [1, 2, 0]).astype(np.float32)
    np.testing.assert_array_equal(np.asarray(rows), expected, strict=True)
    np.testing.assert_array_equal(rows[1:, :2], expected[1:, :2], strict=True)
    assert (rows.shape, len(rows), rows.nbytes) == (expected.shape, 2, expected.nbytes)
    np.testing.assert_array_equal(file, X)  # and not centred in place


def test_a_limit_is_on_what_is_in_memory():
    sizes, d, limit = [500] * 40, 64, 10**7
    assert sum(sizes) * d * 8 > limit
    with pytest.raises(MemoryLimitError):
        memory_plan.make_plan(sizes, d, 1, limit, 8)
    assert memory_plan.make_plan(sizes, d, 1, limit, 8, in_file=True).n_bytes <= limit
