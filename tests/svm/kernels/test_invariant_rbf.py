"""The sum of two RBF values, of samples and of mirror images: on the host and on a device."""

import array_api_strict as xp
import numpy as np
import pytest
from devices import assert_on_device, on_device

from svmcifar.compute.arrays import to_host
from svmcifar.svm.backends import cupy_ovo
from svmcifar.svm.kernels import blocks, kernel
from svmcifar.svm.kernels.blocks import compute_kernel, kernel_block
from svmcifar.svm.kernels.invariant_rbf import InvariantRBF
from svmcifar.svm.kernels.kernel import Precision
from svmcifar.svm.rounding import first_precision, typical_value
from svmcifar.svm.samples import sample_blocks

EXACT = np.longdouble


def draw(n, d, dtype=np.float64, seed=0):
    return np.random.default_rng([seed, n, d]).normal(size=(n, d)).astype(dtype)


def mirrored(X, n_odd):
    return np.concatenate([X[:, : X.shape[1] - n_odd], -X[:, X.shape[1] - n_odd :]], axis=1)


def exact_values(A, B, gamma, n_odd):
    A, B = A.astype(EXACT), B.astype(EXACT)
    distances = [((A[:, None] - b) ** 2).sum(axis=2) for b in (B, mirrored(B, n_odd))]
    return sum(np.exp(-EXACT(gamma) * each) for each in distances)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("d", "n_odd"), [(1, 1), (7, 3), (23, 22), (4, 4)])
def test_blocks(dtype, d, n_odd, monkeypatch):
    """Cut everywhere."""
    for module, constant, value in (
        (blocks, "BLOCK", 7),
        (cupy_ovo, "_BLOCK", 7),
        (kernel, "DEVICE_RUN", 30),
    ):
        monkeypatch.setattr(module, constant, value)
    made = InvariantRBF(0.2, n_odd)
    A, B = (sample_blocks(draw(n, d, dtype), None) for n in (17, 9))
    expected = np.float64(exact_values(A.X, B.X, 0.2, n_odd))
    close = {"rtol": 2e-6 if dtype == np.float32 else 2e-15 * d, "atol": 1e-14}
    assert made.dtype == np.float32
    for stored in (np.float32, dtype):  # in the place of products, and apart
        K = compute_kernel(made, A, B, np.empty((17, 9), stored))
        np.testing.assert_allclose(K, expected, rtol=max(close["rtol"], np.finfo(stored).eps))
    part = np.zeros((17, 20), dtype)[:, 3:12]
    np.testing.assert_array_equal(compute_kernel(made, A, B, part), K)
    there = [sample_blocks(on_device(of.X), None) for of in (A, B)]
    K = kernel_block(made, *there)
    assert_on_device(K, getattr(xp, np.dtype(dtype).name))
    np.testing.assert_allclose(to_host(K), expected, **close)
    assert_on_device(made.diagonal(there[0]), xp.float64)
    exact = np.float64(np.diag(exact_values(A.X, A.X, 0.2, n_odd)))
    np.testing.assert_allclose(to_host(made.diagonal(there[0])), exact, rtol=1e-14)
    # The GPU's solver takes float32 values with a diagonal of 1 alone.
    matrices = {
        np.float32: compute_kernel(made, A, A),
        np.float64: cupy_ovo.kernel_matrix(made, A.X, A.sq_norms),
    }
    for stored, K in matrices.items():
        assert K.dtype == stored
        np.testing.assert_allclose(K, exact_values(A.X, A.X, 0.2, n_odd), rtol=2e-6)
        np.testing.assert_array_equal(K, K.T)
        np.testing.assert_array_equal(np.diag(K), made.diagonal(A).astype(stored))


def test_mirroring_changes_no_value():
    made, A, B = InvariantRBF(0.1, 4), draw(6, 9), draw(5, 9)
    values = [
        compute_kernel(made, sample_blocks(A, None), sample_blocks(X, None))
        for X in (B, mirrored(B, 4))
    ]
    np.testing.assert_array_equal(*values)


@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize("d", [3, 700])
def test_errors_are_those_that_are_estimated(precision, d):
    """None above eight standard deviations; and the estimate is no more than 50 times too high."""
    made = InvariantRBF(0.5 / d, d // 2).at(precision)
    A, B = (draw(20, d, np.float32, seed).astype(precision.dtype) for seed in (0, 1))
    B[:5] = mirrored(A[:5] * precision.dtype.type(1.01), d // 2)
    parts = sample_blocks(A, None), sample_blocks(B, None)
    exact = exact_values(A, B, 0.5 / d, d // 2)
    norms = [np.float64(part.sq_norms) for part in parts]
    relative = max(made.rounding(sq_norms, precision).max() for sq_norms in norms)
    there = (sample_blocks(on_device(part.X), None) for part in parts)
    for K in (
        compute_kernel(made, *parts, np.empty((20, 20), precision.dtype)),
        to_host(kernel_block(made, *there)),
    ):
        largest = float((np.abs(K - exact) / exact).max())
        assert largest <= 8 * relative
        if precision != Precision.EXACT:
            assert largest >= relative / 50
    assert (exact <= np.outer(*(made.sizes(of) for of in norms))).all()


def test_typical_values_are_relative_to_the_bounds():
    """Of samples that are their own mirror images they are those of the RBF kernel."""
    X = draw(40, 6)
    X[:, -2:] = 0
    plain = typical_value(InvariantRBF(0.3, 1), X, None)
    K = np.exp(-0.3 * ((X[:, None] - X) ** 2).sum(axis=2))
    np.fill_diagonal(K, 0)
    assert plain == pytest.approx(np.sqrt((K**2).sum() / (40 * 39)), rel=1e-12)


def test_float32_samples_begin_in_float32():
    made = InvariantRBF(0.2, 3)
    assert first_precision(np.dtype(np.float32), made, 1.0) == Precision.FLOAT32
    assert first_precision(np.dtype(np.float64), made, 1.0) == Precision.FLOAT64
    assert first_precision(np.dtype(np.float32), made, 1e14) == Precision.EXACT
