import array_api_strict as xp
import numpy as np
import pytest
from devices import assert_on_device, on_device

from svmcifar.compute.arrays import to_host
from svmcifar.svm.samples import sample_blocks


def samples(n, d, dtype, offset=0.0, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, d)) + offset).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sample_blocks(dtype):
    X = samples(9, 4, dtype)
    original, center = X.copy(), np.arange(4, dtype=dtype)
    blocks = sample_blocks(X, center)
    np.testing.assert_array_equal(X, original)
    np.testing.assert_array_equal(blocks.X, original - center)
    exact = np.square(np.float64(blocks.X)).sum(axis=1)
    np.testing.assert_allclose(blocks.sq_norms, exact, rtol=np.finfo(dtype).eps)
    assert blocks.sq_norms.dtype == dtype

    part = blocks[2:6]
    assert len(part) == 4
    np.testing.assert_array_equal(part.X, blocks.X[2:6])
    np.testing.assert_array_equal(part.sq_norms, blocks.sq_norms[2:6])

    in_place = sample_blocks(X, center, in_place=True)
    assert in_place.X is X
    np.testing.assert_array_equal(in_place.X, blocks.X)
    assert sample_blocks(X[:, ::2], None).X.flags.c_contiguous


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("center", [None, np.arange(4)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sample_blocks_on_a_device(dtype, center, in_place):
    X = samples(9, 4, dtype)
    center = None if center is None else center.astype(dtype)
    ours, there = sample_blocks(X, center), on_device(X)
    blocks = sample_blocks(there, center, in_place=in_place)
    for name in ("X", "sq_norms"):
        assert_on_device(getattr(blocks, name), getattr(xp, dtype))
        eps = np.finfo(dtype).eps
        np.testing.assert_allclose(to_host(getattr(blocks, name)), getattr(ours, name), rtol=eps)
    changed = center is not None and in_place
    np.testing.assert_array_equal(to_host(there), ours.X if changed else X)
    part = blocks[2:6]
    assert len(part) == 4
    np.testing.assert_array_equal(to_host(part.sq_norms), to_host(blocks.sq_norms)[2:6])
