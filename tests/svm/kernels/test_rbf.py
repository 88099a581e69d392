from concurrent.futures import ThreadPoolExecutor

import array_api_strict as xp
import numpy as np
import pytest
from devices import OTHER_DEVICE, assert_on_device, on_device
from reference import float32_kernel_error, rbf, stored

from svmcifar.compute.arrays import to_host
from svmcifar.errors import InputError
from svmcifar.svm.kernels import blocks
from svmcifar.svm.kernels.blocks import compute_kernel, kernel_block
from svmcifar.svm.kernels.kernel import Precision
from svmcifar.svm.kernels.rbf import RBF
from svmcifar.svm.moments import kernel_center
from svmcifar.svm.moments import moments as moments_of
from svmcifar.svm.rounding import first_precision
from svmcifar.svm.samples import sample_blocks


@pytest.fixture
def small_blocks(monkeypatch):
    """Cut matrix products every 7 rows and columns."""
    monkeypatch.setattr(blocks, "BLOCK", 7)


def samples(n, d, dtype, offset=0.0, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, d)) + offset).astype(dtype)


def kernel_of(A, B, gamma, center=None, **kwargs):
    return compute_kernel(RBF(gamma), sample_blocks(A, center), sample_blocks(B, center), **kwargs)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize(("n_a", "n_b"), [(1, 1), (6, 8), (7, 7), (15, 20), (21, 3)])
@pytest.mark.parametrize("gamma", [1e-3, 0.3, 8.0])
def test_float64_samples_give_correctly_rounded_values(n_a, n_b, gamma):
    A, B = samples(n_a, 5, np.float64), samples(n_b, 5, np.float64, seed=1)
    K = kernel_of(A, B, gamma)
    assert K.dtype == np.float32
    # Half a unit in the last place is 2^-24; below 1e-38 float32 has fewer digits.
    np.testing.assert_allclose(K, rbf(A, B, gamma), rtol=2.0**-24 * 1.001, atol=1e-44)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("d", [1, 3, 30, 3000])
@pytest.mark.parametrize("exponent", [0.1, 2.0, 20.0, 128.0])
def test_float32_samples_stay_within_their_error_bound(d, exponent):
    A, B = samples(20, d, np.float32), samples(15, d, np.float32, seed=1)
    A[:4] *= 0.1
    B[:4] = A[:4] * np.float32(1.01)
    max_sq_norm = max(np.square(A).sum(axis=1).max(), np.square(B).sum(axis=1).max())
    gamma = exponent / float(max_sq_norm)
    error = float32_kernel_error(gamma, max_sq_norm, d)
    exact = rbf(A, B, gamma)
    K = kernel_of(A, B, gamma)
    # Below exp(-87) float32 kernel values are 0.
    np.testing.assert_allclose(K, exact, rtol=error, atol=np.exp(-87))
    assert exact.max() > 0.3


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 7, 8, 23])
def test_kernel_of_samples_with_themselves(dtype, n):
    A = sample_blocks(samples(n, 50, dtype), None)
    K = compute_kernel(RBF(0.013), A, A)
    np.testing.assert_array_equal(np.diag(K), 1)
    np.testing.assert_array_equal(K, K.T)
    np.testing.assert_allclose(K, rbf(A.X, A.X, 0.013), atol=1e-6, rtol=0)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_kernel_in_parts(dtype):
    A = sample_blocks(samples(30, 4, dtype), None)
    whole = compute_kernel(RBF(0.2), A, A)
    part = compute_kernel(RBF(0.2), A[5:14], A[11:30])
    np.testing.assert_allclose(part, whole[5:14, 11:30], rtol=1e-6)

    out = np.full((9, 19), np.nan, dtype=np.float32)
    assert compute_kernel(RBF(0.2), A[5:14], A[11:30], out=out) is out
    np.testing.assert_array_equal(out, part)

    strided = np.full((9, 40), np.nan, dtype=np.float32)
    compute_kernel(RBF(0.2), A[5:14], A[11:30], out=strided[:, ::2][:, :19])
    np.testing.assert_array_equal(strided[:, ::2][:, :19], part)
    assert np.isnan(strided[:, 1::2]).all()

    with ThreadPoolExecutor(3) as pool:
        np.testing.assert_array_equal(compute_kernel(RBF(0.2), A, A, map_blocks=pool.map), whole)


def test_blocks_of_the_real_size():
    n = blocks.BLOCK + 3
    A = sample_blocks(samples(n, 2, np.float32), None)
    K = compute_kernel(RBF(0.5), A, A[:5])
    rows = [0, 1, blocks.BLOCK - 1, blocks.BLOCK, n - 1]
    np.testing.assert_allclose(K[rows], rbf(A.X[rows], A.X[:5], 0.5), atol=1e-5, rtol=0)


def exponentials(x):
    """exp(x) by the kernel's own polynomial."""
    values = np.zeros((1, len(x)), dtype=np.float32)
    RBF(1.0).write(values, np.zeros(1, np.float32), -x, values)
    return values[0]


def test_exponential_is_good_to_a_unit_and_a_half():
    x = np.linspace(-87, 0, 1_000_003).astype(np.float32)
    exact = np.exp(x.astype(np.float64))
    units = (exponentials(x) - exact) / np.spacing(stored(exact).astype(np.float32))
    assert np.abs(units).max() <= 1.5
    assert abs(units.mean()) <= 0.05
    assert exponentials(np.zeros(1, np.float32)) == 1


def test_exponential_underflows_to_zero():
    x = -np.array([87.00001, 88, 103.9, 104, 1e3, 1e30, 3e38], dtype=np.float32)
    np.testing.assert_array_equal(exponentials(x), 0)
    assert exponentials(np.array([-87], np.float32)) > 0


def test_exponents_above_zero_count_as_zero():
    products = np.full((1, 1), 1.001, dtype=np.float32)
    ones = np.ones(1, np.float32)
    RBF(1.0).write(products, ones, ones, products)
    assert products == 1


@pytest.mark.parametrize("offset", [1e3, 1e4])
def test_centring_keeps_float32_accurate_far_from_the_origin(offset):
    X = samples(60, 10, np.float32, offset)
    gamma, exact = 0.05, rbf(X, X[:20], 0.05)
    center = kernel_center(moments_of(X), X.dtype)
    assert center.dtype == np.float32
    sq_norms = np.square(X.astype(np.float64) - X.mean(axis=0, dtype=np.float64)).sum(axis=1)
    error = float32_kernel_error(gamma, sq_norms.max(), 10)
    np.testing.assert_allclose(kernel_of(X, X[:20], gamma, center), exact, rtol=error)
    assert np.abs(kernel_of(X, X[:20], gamma) - exact).max() > 100 * error


def test_distances_are_in_float64_where_float32_would_lose_digits():
    float32, float64 = np.dtype("f4"), np.dtype("f8")
    assert first_precision(float32, RBF(0.5), 2 * 128.0) == Precision.FLOAT32
    assert first_precision(float32, RBF(0.5), 2 * 256.0) == Precision.FLOAT64
    assert first_precision(float64, RBF(1e-9), 1.0) == Precision.FLOAT64
    # Norms and coefficients that float32 cannot hold, whatever their product.
    for gamma, sq_norm in ((1e31, 1e-31), (1e-31, 1e31), (1e20, 1e-31), (1.0, 1e-38)):
        assert first_precision(float32, RBF(gamma), sq_norm) == Precision.FLOAT64
    # Neither can float64 products tell near samples apart, so far from the centre.
    for dtype in (float32, float64):
        assert first_precision(dtype, RBF(1.0), 1e16) == Precision.EXACT


@pytest.mark.parametrize("d", [1, 30, 3000])
@pytest.mark.parametrize("exponent", [0.1, 20.0, 128.0])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_kernel_blocks_on_a_device_stay_within_their_error_bound(dtype, exponent, d):
    A, B = samples(20, d, dtype), samples(15, d, dtype, seed=1)
    B[:4] = A[:4]  # rounding may take their exponents above zero
    max_sq_norm = max(np.square(A).sum(axis=1).max(), np.square(B).sum(axis=1).max())
    gamma = exponent / float(max_sq_norm)
    there = [sample_blocks(on_device(X), None) for X in (A, B)]
    K = kernel_block(RBF(gamma), *there)
    assert_on_device(K, getattr(xp, dtype))
    K = to_host(K)
    assert K.max() <= 1
    error = float32_kernel_error(gamma, max_sq_norm, d) if dtype == "float32" else 1e-12
    np.testing.assert_allclose(K, rbf(A, B, gamma), rtol=error, atol=1e-37)
    for block, X in zip(there, (A, B), strict=True):
        np.testing.assert_array_equal(to_host(block.X), X)


def test_kernel_blocks_of_several_devices_are_refused():
    A, B = (sample_blocks(on_device(np.eye(3), d), None) for d in (OTHER_DEVICE, None))
    with pytest.raises(InputError, match="All arrays must be on one device"):
        kernel_block(RBF(1.0), A, B)


@pytest.mark.parametrize("stored_as", [np.float32, np.float64])
@pytest.mark.parametrize("in_place", [True, False])
def test_float64_values_are_good_to_two_units(in_place, stored_as):
    """Over all exponents: from 0 to where float64 ends, and beyond, where they are zero."""
    sq_norms = np.concatenate([[0.0], np.geomspace(1e-17, 800, 9999)])
    products, out = np.zeros((3, 10_000)), np.empty((3, 10_000), dtype=stored_as)
    out = products if in_place else out
    RBF(0.9).write(products, np.zeros(3), sq_norms, out)
    exact = np.exp(-0.9 * sq_norms.astype(np.longdouble))
    exact[0.9 * sq_norms > 708.0] = 0.0
    rtol = 4e-16 if out.dtype == np.float64 else 6e-8
    # The exponent's own rounding is that of its product with gamma.
    allowed = rtol * (1 + 0.9 * sq_norms) * exact + (1e-45 if out.dtype == np.float32 else 0)
    assert (np.abs(out - exact) <= allowed).all()
    assert (out[:, 0] == 1.0).all()
