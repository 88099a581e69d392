"""RBF kernel blocks over samples sorted by class.

Pairwise squared distances are one matrix product, ``|x|^2 + |z|^2 - 2 x.z``,
followed by one pass that turns them into kernel values in place.  Kernel
values are float32, as in LIBSVM; the distances behind them are computed in
the precision of the samples, or in float64 where float32 cannot hold them
(see `distance_dtype`).

On the host the blocks are numba's work (`rbf_kernel`).  Elsewhere they are written against
the array API (`kernel_block`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from sklearn.utils import gen_batches

from svmcifar.compute.arrays import get_namespace, is_host, move_beside
from svmcifar.compute.llvm import float_from_bits
from svmcifar.svm.moments import row_runs

# Every matrix product is cut into blocks of this many rows and columns,
# whatever the number of workers, so that its rounding never depends on them.
BLOCK = 2560
# Rows of float64 products that are turned into kernel values at a time, beside the products.
_ROWS_F64 = 64

# float32 distances are used while gamma * max|x|^2 stays below this: the exponent's rounding
# error is then of the order of 128 * 2^-23 = 1.5e-5, and some times that in high dimensions.
_MAX_FLOAT32_EXPONENT = 128.0

Array = NDArray[np.floating]


@dataclass(frozen=True)
class SampleBlocks:
    """Samples as the kernel needs them.

    Attributes
    ----------
    X : array of shape (n_samples, n_features), float32 or float64
        Samples minus `center`, C-contiguous; on the host or on a device.
    sq_norms : array of shape (n_samples,), same dtype and place
        Squared Euclidean norm of each row of `X`.
    """

    X: Any
    sq_norms: Any

    def __getitem__(self, rows: slice) -> "SampleBlocks":
        """Select a run of rows, without a copy."""
        return SampleBlocks(self.X[rows, :], self.sq_norms[rows])

    def __len__(self) -> int:
        return self.X.shape[0]


def sample_blocks(X: Any, center: Array | None, *, in_place: bool = False) -> SampleBlocks:
    """Prepare samples for kernel blocks.

    Parameters
    ----------
    X : array of shape (n_samples, n_features), float32 or float64
        On the host or on a device, where it stays.
    center : ndarray of shape (n_features,) or None
        As `kernel_center` gives it.
    in_place : bool, default=False
        Subtract the centre from `X` itself.

    Returns
    -------
    SampleBlocks
        Over `X` itself where nothing has to change.
    """
    if center is not None:
        X = _minus(X, move_beside(center, X), in_place)
    if not is_host(X):
        return SampleBlocks(X, _device_sq_norms(X))
    X = np.ascontiguousarray(X)
    sq_norms = np.empty(X.shape[0], dtype=X.dtype)
    _sq_norms(X, sq_norms)
    return SampleBlocks(X, sq_norms)


def _minus(X: Any, center: Any, in_place: bool) -> Any:
    if not in_place:
        return X - center
    X -= center
    return X


def _device_sq_norms(X: Any) -> Any:
    """Compute the squared norm of each row, summed in float64."""
    xp = get_namespace(X)
    runs = (xp.astype(run, xp.float64) for run in row_runs(X))
    return xp.concat([xp.astype(xp.sum(run * run, axis=1), X.dtype) for run in runs])


def distance_dtype(dtype: np.dtype, gamma: float, max_sq_norm: float) -> np.dtype:
    """Choose the precision in which squared distances are safe.

    Parameters
    ----------
    dtype : dtype
        float32 or float64, the samples' own.
    gamma : float
        Kernel coefficient, > 0.
    max_sq_norm : float
        Largest squared norm among the (centred) samples.

    Returns
    -------
    dtype
        float64 if the samples are float64 or if float32 distances could move
        an exponent by much more than 1e-5; float32 otherwise.
    """
    if dtype == np.float32 and gamma * max_sq_norm <= _MAX_FLOAT32_EXPONENT:
        return np.dtype(np.float32)
    return np.dtype(np.float64)


def rbf_kernel(
    A: SampleBlocks,
    B: SampleBlocks,
    gamma: float,
    out: Array | None = None,
    map_blocks: Callable[..., Any] = map,
) -> Array:
    """Compute kernel values between two sets of samples.

    Parameters
    ----------
    A, B : SampleBlocks
        n_a and n_b samples of the same dtype and centre.
    gamma : float
        Kernel coefficient, > 0.
    out : ndarray of shape (n_a, n_b), float32, optional
        Where to write.
    map_blocks : callable, default=map
        Runs the blocks; an executor's ``map`` runs them in parallel.

    Returns
    -------
    ndarray of shape (n_a, n_b), float32
        ``exp(-gamma * |a_i - b_j|^2)``; exactly 1 on the diagonal when `A`
        and `B` are the same samples, and exactly symmetric then.
    """
    K = np.empty((len(A), len(B)), dtype=np.float32) if out is None else out
    same = A.X is B.X

    def fill(corner: tuple[int, int]) -> None:
        rows = slice(corner[0], min(corner[0] + BLOCK, len(A)))
        columns = slice(corner[1], min(corner[1] + BLOCK, len(B)))
        _fill_block(A[rows], B[columns], gamma, K[rows, columns])
        if same and rows != columns:
            K[columns, rows] = K[rows, columns].T

    corners = [
        (i, j) for i in range(0, len(A), BLOCK) for j in range(i if same else 0, len(B), BLOCK)
    ]
    for _ in map_blocks(fill, corners):
        pass
    if same:
        np.fill_diagonal(K, 1.0)
    return K


def kernel_block(A: SampleBlocks, B: SampleBlocks, gamma: float) -> Any:
    """Compute one block of kernel values where the samples are, by the array API.

    Parameters
    ----------
    A, B : SampleBlocks
        n_a and n_b samples of the same dtype, centre and device; the caller sees to it that twice
        the result fits the memory.
    gamma : float
        Kernel coefficient, > 0.

    Returns
    -------
    array of shape (n_a, n_b), in the samples' dtype
        ``exp(-gamma * |a_i - b_j|^2)``.
    """
    xp = get_namespace(A.X, B.X)
    exponents = A.X @ B.X.T
    exponents *= 2.0 * gamma
    exponents -= gamma * A.sq_norms[:, None]
    exponents -= gamma * B.sq_norms[None, :]
    exponents = xp.minimum(exponents, xp.zeros_like(B.sq_norms)[None, :])
    return xp.exp(exponents)


def _fill_block(A: SampleBlocks, B: SampleBlocks, gamma: float, K: Array) -> None:
    """Write the kernel of one block of at most BLOCK x BLOCK entries into `K`."""
    if A.X.dtype == np.float32:
        products = K if K.flags.c_contiguous else np.empty(K.shape, dtype=np.float32)
        np.matmul(A.X, B.X.T, out=products)
        _rbf_from_products_f32(products, A.sq_norms, B.sq_norms, np.float32(gamma))
        if products is not K:
            K[...] = products
    else:
        K[...] = _rbf_from_products_f64(A.X @ B.X.T, A.sq_norms, B.sq_norms, gamma)


def rbf_of_products(
    products: Array, a_sq_norms: Array, b_sq_norms: Array, gamma: float, out: Array
) -> None:
    """Compute kernel values from inner products that are kept.

    Parameters
    ----------
    products : ndarray of shape (n_a, n_b), float32 or float64
        ``a_i . b_j``.
    a_sq_norms : ndarray of shape (n_a,), same dtype
    b_sq_norms : ndarray of shape (n_b,), same dtype
    gamma : float
        Kernel coefficient, > 0.
    out : ndarray of shape (n_a, n_b), float32 or the same dtype
        Where to write what `rbf_kernel` gives, to the bit but for its diagonal of ones.
    """
    if products.dtype == np.float32:
        _rbf_of_products_f32(products, a_sq_norms, b_sq_norms, np.float32(gamma), out)
        return
    for rows in gen_batches(len(products), _ROWS_F64):
        run = products[rows].copy()
        out[rows] = _rbf_from_products_f64(run, a_sq_norms[rows], b_sq_norms, gamma)


def _rbf_from_products_f64(
    products: Array, a_sq_norms: Array, b_sq_norms: Array, gamma: float
) -> Array:
    """Turn inner products into RBF values in place."""
    products *= -2.0
    products += a_sq_norms[:, None]
    products += b_sq_norms
    np.maximum(products, 0.0, out=products)
    products *= -gamma
    return np.exp(products, out=products)


@njit(nogil=True, cache=True, fastmath={"nnan", "nsz", "reassoc"}, error_model="numpy")
def _sq_norms(X, out):  # type: ignore[no-untyped-def]
    """Write the squared norm of each row, summed in float64."""
    for i in range(X.shape[0]):
        total = 0.0
        for j in range(X.shape[1]):
            total += np.float64(X[i, j]) * np.float64(X[i, j])
        out[i] = total


@njit(inline="always")
def _exp_f32(x):  # type: ignore[no-untyped-def]
    """Exponential of a float32 in [-87, 0], to 1.5 units in the last place.

    ``2^n * exp(r)`` with the polynomial and the split logarithm of Cephes'
    ``expf``.  Branch-free, so that the loop around it becomes SIMD code.
    """
    n = np.floor(x * np.float32(1.44269504) + np.float32(0.5))
    r = x - n * np.float32(0.693359375) + n * np.float32(2.12194440e-4)
    p = np.float32(1.9875691500e-4)
    p = p * r + np.float32(1.3981999507e-3)
    p = p * r + np.float32(8.3334519073e-3)
    p = p * r + np.float32(4.1665795894e-2)
    p = p * r + np.float32(1.6666665459e-1)
    p = p * r + np.float32(5.0000001201e-1)
    p = p * r * r + r + np.float32(1)
    return p * float_from_bits((np.int32(n) + np.int32(127)) << np.int32(23))


@njit(inline="always")
def _rbf_f32(product, sq_norms, gamma, two_gamma):  # type: ignore[no-untyped-def]
    """Turn one inner product into an RBF value."""
    t = min(two_gamma * product - gamma * sq_norms, np.float32(0))
    value = _exp_f32(max(t, np.float32(-87)))
    return value if t >= np.float32(-87) else np.float32(0)


@njit(nogil=True, cache=True, fastmath={"nnan", "nsz", "contract"}, error_model="numpy")
def _rbf_from_products_f32(products, a_sq_norms, b_sq_norms, gamma):  # type: ignore[no-untyped-def]
    """Turn inner products into RBF values in place, in one pass."""
    two_gamma = np.float32(2) * gamma
    for i in range(products.shape[0]):
        for j in range(products.shape[1]):
            sq_norms = a_sq_norms[i] + b_sq_norms[j]
            products[i, j] = _rbf_f32(products[i, j], sq_norms, gamma, two_gamma)


@njit(nogil=True, cache=True, fastmath={"nnan", "nsz", "contract"}, error_model="numpy")
def _rbf_of_products_f32(products, a_sq_norms, b_sq_norms, gamma, out):  # type: ignore[no-untyped-def]
    """Compute RBF values from inner products that stay."""
    two_gamma = np.float32(2) * gamma
    for i in range(products.shape[0]):
        for j in range(products.shape[1]):
            sq_norms = a_sq_norms[i] + b_sq_norms[j]
            out[i, j] = _rbf_f32(products[i, j], sq_norms, gamma, two_gamma)
