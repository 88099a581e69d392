from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from reference import float32_kernel_error, rbf, stored
from sklearn.svm import SVC

from svmcifar import kernel


@pytest.fixture
def small_blocks(monkeypatch):
    """Cut matrix products every 7 rows and columns."""
    monkeypatch.setattr(kernel, "BLOCK", 7)


def samples(n, d, dtype, offset=0.0, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, d)) + offset).astype(dtype)


def kernel_of(A, B, gamma, center=None, **kwargs):
    return kernel.rbf_kernel(
        kernel.sample_blocks(A, center), kernel.sample_blocks(B, center), gamma, **kwargs
    )


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
    A = kernel.sample_blocks(samples(n, 50, dtype), None)
    K = kernel.rbf_kernel(A, A, 0.013)
    np.testing.assert_array_equal(np.diag(K), 1)
    np.testing.assert_array_equal(K, K.T)
    np.testing.assert_allclose(K, rbf(A.X, A.X, 0.013), atol=1e-6, rtol=0)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_kernel_in_parts(dtype):
    A = kernel.sample_blocks(samples(30, 4, dtype), None)
    whole = kernel.rbf_kernel(A, A, 0.2)
    part = kernel.rbf_kernel(A[5:14], A[11:30], 0.2)
    np.testing.assert_allclose(part, whole[5:14, 11:30], rtol=1e-6)

    out = np.full((9, 19), np.nan, dtype=np.float32)
    assert kernel.rbf_kernel(A[5:14], A[11:30], 0.2, out=out) is out
    np.testing.assert_array_equal(out, part)

    strided = np.full((9, 40), np.nan, dtype=np.float32)
    kernel.rbf_kernel(A[5:14], A[11:30], 0.2, out=strided[:, ::2][:, :19])
    np.testing.assert_array_equal(strided[:, ::2][:, :19], part)
    assert np.isnan(strided[:, 1::2]).all()

    with ThreadPoolExecutor(3) as pool:
        np.testing.assert_array_equal(kernel.rbf_kernel(A, A, 0.2, map_blocks=pool.map), whole)


def test_blocks_of_the_real_size():
    n = kernel.BLOCK + 3
    A = kernel.sample_blocks(samples(n, 2, np.float32), None)
    K = kernel.rbf_kernel(A, A[:5], 0.5)
    rows = [0, 1, kernel.BLOCK - 1, kernel.BLOCK, n - 1]
    np.testing.assert_allclose(K[rows], rbf(A.X[rows], A.X[:5], 0.5), atol=1e-5, rtol=0)


def exponentials(x):
    """exp(x) by the kernel's own polynomial."""
    values = np.zeros((1, len(x)), dtype=np.float32)
    kernel._rbf_from_products_f32(values, np.zeros(1, np.float32), -x, np.float32(1))
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
    kernel._rbf_from_products_f32(products, ones, ones, np.float32(1))
    assert products == 1


@pytest.mark.parametrize("offset", [1e3, 1e4])
def test_centring_keeps_float32_accurate_far_from_the_origin(offset):
    X = samples(60, 10, np.float32, offset)
    gamma, exact = 0.05, rbf(X, X[:20], 0.05)
    center = kernel.kernel_center(kernel.moments(X), X.dtype)
    assert center.dtype == np.float32
    sq_norms = np.square(X.astype(np.float64) - X.mean(axis=0, dtype=np.float64)).sum(axis=1)
    error = float32_kernel_error(gamma, sq_norms.max(), 10)
    np.testing.assert_allclose(kernel_of(X, X[:20], gamma, center), exact, rtol=error)
    assert np.abs(kernel_of(X, X[:20], gamma) - exact).max() > 100 * error


def test_samples_near_the_origin_are_not_centred():
    X = samples(200, 10, np.float64)
    moments = kernel.moments(X)
    assert kernel.kernel_center(moments, X.dtype) is None
    shifted = X + 0.09 * np.sqrt(moments.mean_sq_norm / 10)
    assert kernel.kernel_center(kernel.moments(shifted - X.mean(axis=0)), X.dtype) is None
    shifted = X + 0.11 * np.sqrt(moments.mean_sq_norm / 10)
    center = kernel.kernel_center(kernel.moments(shifted - X.mean(axis=0)), X.dtype)
    np.testing.assert_allclose(center, shifted.mean(axis=0) - X.mean(axis=0), rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sample_blocks(dtype):
    X = samples(9, 4, dtype)
    original, center = X.copy(), np.arange(4, dtype=dtype)
    blocks = kernel.sample_blocks(X, center)
    np.testing.assert_array_equal(X, original)
    np.testing.assert_array_equal(blocks.X, original - center)
    exact = np.square(np.float64(blocks.X)).sum(axis=1)
    np.testing.assert_allclose(blocks.sq_norms, exact, rtol=np.finfo(dtype).eps)
    assert blocks.sq_norms.dtype == dtype

    part = blocks[2:6]
    assert len(part) == 4
    np.testing.assert_array_equal(part.X, blocks.X[2:6])
    np.testing.assert_array_equal(part.sq_norms, blocks.sq_norms[2:6])

    in_place = kernel.sample_blocks(X, center, in_place=True)
    assert in_place.X is X
    np.testing.assert_array_equal(in_place.X, blocks.X)
    assert kernel.sample_blocks(X[:, ::2], None).X.flags.c_contiguous


def test_distances_are_in_float64_where_float32_would_lose_digits():
    limit = 128.0
    assert kernel.distance_dtype(np.dtype("f4"), 0.5, 2 * limit) == np.float32
    assert kernel.distance_dtype(np.dtype("f4"), 0.5, 2.001 * limit) == np.float64
    assert kernel.distance_dtype(np.dtype("f8"), 1e-9, 1.0) == np.float64


# 2,500 x 900 values are several runs of rows, the last of them a short one.
@pytest.mark.parametrize("shape", [(1, 1), (7, 3), (2500, 900), (3, 2**20 + 1)])
@pytest.mark.parametrize(("dtype", "offset"), [("f4", 0), ("f4", 1e4), ("f8", 1e8)])
def test_moments(shape, dtype, offset):
    X = samples(*shape, dtype, offset)
    moments = kernel.moments(X)
    exact = X.astype(np.float64)
    np.testing.assert_allclose(moments.mean, exact.mean(axis=0), rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(moments.variance, exact.var(), rtol=1e-9)
    np.testing.assert_allclose(
        moments.mean_sq_norm, np.square(exact).sum(axis=1).mean(), rtol=1e-13
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_moments_tell_that_samples_are_not_finite(bad):
    X = samples(2000, 900, np.float32)
    X[1990, 5] = bad
    assert not np.isfinite(kernel.moments(X).variance)


@pytest.mark.parametrize("gamma", ["scale", "auto", 0.37])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("constant", [False, True])
def test_gamma_is_that_of_scikit_learn(gamma, dtype, constant):
    X = np.full((20, 3), 2.5, dtype) if constant else samples(20, 3, dtype, offset=100)
    theirs = SVC(gamma=gamma).fit(X, np.arange(20) % 2)._gamma
    ours = kernel.resolve_gamma(gamma, 3, kernel.moments(X).variance)
    np.testing.assert_allclose(ours, theirs, rtol=1e-11)
