"""Values of each kernel: against scikit-learn's, on the host, on a device, as a matrix of a GPU."""

import array_api_strict as xp
import numpy as np
import pytest
from devices import assert_on_device, on_device
from kernel_problems import kernel_values
from sklearn.metrics.pairwise import pairwise_kernels

from svmcifar.compute.arrays import to_host
from svmcifar.svm.backends import cupy_ovo
from svmcifar.svm.kernels import blocks, exponential, kernel
from svmcifar.svm.kernels.blocks import compute_kernel, kernel_block
from svmcifar.svm.kernels.kernel import Precision
from svmcifar.svm.kernels.precomputed import Precomputed, number_samples
from svmcifar.svm.kernels.registry import KERNELS, make_kernel
from svmcifar.svm.rounding import first_precision
from svmcifar.svm.samples import sample_blocks

NAMES = sorted(set(KERNELS) - {"precomputed"})
SETTINGS = {"gamma": 0.2, "degree": 3, "coef0": 0.5}
EXACT = np.longdouble


def draw(n, d, dtype, seed=0):
    return np.abs(np.random.default_rng(seed).normal(size=(n, d))).astype(dtype)


def exact_values(name, A, B, gamma, degree, coef0):
    A, B = A.astype(EXACT), B.astype(EXACT)
    products, differences = A @ B.T, np.abs(A[:, None] - B)
    match name:
        case "linear":
            return products
        case "poly":
            return (EXACT(gamma) * products + EXACT(coef0)) ** degree
        case "sigmoid":
            return np.tanh(EXACT(gamma) * products + EXACT(coef0))
        case "rbf":
            sums = differences**2
        case "laplacian":
            sums = differences
        case "chi2":
            totals = A[:, None] + B
            sums = differences**2 / np.where(totals > 0, totals, 1)
    return np.exp(-EXACT(gamma) * sums.sum(axis=2))


def test_the_names_are_those_of_scikit_learn():
    A = draw(3, 4, np.float64)
    for name in NAMES:
        expected = pairwise_kernels(A, metric=name, filter_params=True, **SETTINGS)
        np.testing.assert_allclose(np.float64(exact_values(name, A, A, **SETTINGS)), expected)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("d", [1, 7, 23])
def test_blocks(name, dtype, d, monkeypatch):
    """Cut everywhere: rows, columns and features."""
    for module, constant, value in (
        (blocks, "BLOCK", 7),
        (cupy_ovo, "_BLOCK", 7),
        (kernel, "HOST_RUN", 20),
        (kernel, "DEVICE_RUN", 30),
        (kernel, "_DIFFERENCES_RUN", 60),
    ):
        monkeypatch.setattr(module, constant, value)
    made = make_kernel(name, **SETTINGS)
    A, B = (sample_blocks(draw(n, d, dtype, n), None) for n in (17, 9))
    expected = kernel_values(name, A.X, B.X, **SETTINGS)
    close = {"rtol": 1e-5 if dtype == np.float32 else 1e-13, "atol": 1e-14}
    out = np.empty((17, 9), dtype=dtype)
    np.testing.assert_allclose(compute_kernel(made, A, B, out), expected, **close)
    there = [sample_blocks(on_device(part.X), None) for part in (A, B)]
    K = kernel_block(made, *there)
    assert_on_device(K, getattr(xp, np.dtype(dtype).name))
    np.testing.assert_allclose(to_host(K), expected, **close)
    kept = np.float32 if made.has_unit_diagonal else np.float64
    matrices = [compute_kernel(made, A, A, np.empty((17, 17), kept))]
    if name != "rbf":  # whose matrix is made by CUDA: see cudasim_ovo.py
        matrices.append(cupy_ovo.kernel_matrix(made, A.X, A.sq_norms))
    for K in matrices:
        assert K.dtype == kept
        np.testing.assert_allclose(K, kernel_values(name, A.X, A.X, **SETTINGS), rtol=1e-5)
        np.testing.assert_array_equal(K, K.T)
        np.testing.assert_array_equal(np.diag(K), made.diagonal(A).astype(kept))
        assert (np.diag(K) == 1).all() == made.has_unit_diagonal


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize("d", [3, 700, 5000])
def test_errors_are_those_that_are_estimated(name, precision, d):
    """None above eight standard deviations; and the estimate is no more than 50 times too high."""
    made = make_kernel(name, gamma=0.5 / d, degree=4, coef0=0.1).at(precision)
    A, B = (draw(20, d, np.float32, seed).astype(precision.dtype) for seed in (0, 1))
    B[:5] = A[:5] * precision.dtype.type(1.01)
    parts = sample_blocks(A, None), sample_blocks(B, None)
    K = compute_kernel(made, *parts, np.empty((20, 20), precision.dtype))
    exact = exact_values(name, A, B, 0.5 / d, 4, 0.1)
    of_a, of_b = (made.sizes(np.float64(part.sq_norms)) for part in parts)
    sizes = np.outer(of_a, of_b)
    assert (np.abs(exact) <= sizes * (1 + precision.dtype.type(1e-6))).all()
    norms = [np.float64(part.sq_norms) for part in parts]
    relative = max(made.rounding(sq_norms, precision).max() for sq_norms in norms)
    largest = float((np.abs(K - exact) / sizes).max())
    assert largest <= 8 * relative
    if precision != Precision.EXACT:
        assert largest >= relative / 50


@pytest.mark.parametrize("name", ["laplacian", "chi2"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sums_over_more_features_than_a_block_has(name, dtype, monkeypatch):
    made = make_kernel(name, gamma=1e-3)
    d = 2 * exponential.COLUMNS + 3
    A, B = draw(3, d, dtype), draw(exponential.ROWS + 5, d, dtype, 1)
    K = made.products(A, B)
    expected = -np.log(np.float64(exact_values(name, A, B, 1e-3, 0, 0))) / 1e-3
    np.testing.assert_allclose(K, expected, rtol=3e-6 if dtype == np.float32 else 1e-10)


def test_chi2_of_histograms_with_empty_places():
    A = np.array([[0.0, 0.0, 1.0], [0.0, 2.0, 0.0], [0.0, 0.0, 0.0]])
    samples = sample_blocks(A, None)
    K = compute_kernel(make_kernel("chi2", gamma=0.5), samples, samples, np.empty((3, 3)))
    np.testing.assert_allclose(K, kernel_values("chi2", A, A, 0.5, 0, 0), rtol=1e-15)
    there = sample_blocks(on_device(A), None)
    there = to_host(kernel_block(make_kernel("chi2", gamma=0.5), there, there))
    np.testing.assert_allclose(there, K, rtol=1e-15)


@pytest.mark.parametrize("name", NAMES)
def test_precisions(name):
    """Values of any size are computed in float64; no kernel is in float32 that cannot be."""
    made = make_kernel(name, **SETTINGS)
    first = first_precision(np.dtype(np.float32), made, 1.0)
    assert first == (Precision.FLOAT32 if made.has_unit_diagonal else Precision.FLOAT64)
    assert first_precision(np.dtype(np.float64), made, 1.0) == Precision.FLOAT64
    assert first_precision(np.dtype(np.float32), made, 1e-35) > Precision.FLOAT32
    if made.has_unit_diagonal:
        tight = make_kernel(name, **SETTINGS | {"gamma": 1e35})
        assert first_precision(np.dtype(np.float32), tight, 1e-20) > Precision.FLOAT32


@pytest.mark.parametrize("place", [np.asarray, on_device])
@pytest.mark.parametrize("matrix_place", [np.asarray, on_device])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_are_looked_up(place, matrix_place, dtype):
    matrix = np.random.default_rng(0).normal(size=(6, 9)).astype(dtype)
    made = Precomputed(matrix_place(matrix))
    rows, columns = np.array([3, 0, 5]), np.array([8, 1, 1, 4])
    A, B = (number_samples(numbers, place(matrix)) for numbers in (rows, columns))
    K = made.products(A.X, B.X)
    if place is on_device:
        assert_on_device(K, xp.float64)
    np.testing.assert_array_equal(to_host(K), matrix[np.ix_(rows, columns)])
    np.testing.assert_array_equal(to_host(made.diagonal(A)), matrix[rows, rows])
    largest = np.abs(matrix).max()
    np.testing.assert_allclose(made.sizes(np.ones(2)), np.sqrt(largest), rtol=1e-6)
    assert type(to_host(made.diagonal(A))[0]) is np.float64


@pytest.mark.parametrize("degree", [0, 1, 2, 5, 6])
def test_powers(degree):
    made = make_kernel("poly", gamma=0.5, degree=degree, coef0=-0.25)
    products = np.linspace(-2, 2, 9)[None]
    expected = (0.5 * products - 0.25) ** degree
    np.testing.assert_allclose(made.values(products, None, None), expected, rtol=1e-15, atol=1e-16)
