"""RBF kernel blocks over samples sorted by class.

Pairwise squared distances are one matrix product, ``|x|^2 + |z|^2 - 2 x.z``,
followed by one pass that turns them into kernel values in place.  Kernel
values are float32, as in LIBSVM; the distances behind them are computed in
the precision of the samples, or in float64 where float32 cannot hold them
(see `distance_dtype`).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from svmcifar.simd import float_from_bits

# Every matrix product is cut into blocks of this many rows and columns,
# whatever the number of workers, so that its rounding never depends on them.
BLOCK = 2560

# float32 distances are used while gamma * max|x|^2 stays below this: the exponent's rounding
# error is then of the order of 128 * 2^-23 = 1.5e-5, and some times that in high dimensions.
_MAX_FLOAT32_EXPONENT = 128.0

Array = NDArray[np.floating]


@dataclass(frozen=True)
class SampleBlocks:
    """Samples as the kernel needs them.

    Attributes
    ----------
    X : ndarray of shape (n_samples, n_features), float32 or float64
        Samples minus `center`, C-contiguous.
    sq_norms : ndarray of shape (n_samples,), same dtype
        Squared Euclidean norm of each row of `X`.
    """

    X: Array
    sq_norms: Array

    def __getitem__(self, rows: slice) -> "SampleBlocks":
        """Select a run of rows, without a copy."""
        return SampleBlocks(self.X[rows], self.sq_norms[rows])

    def __len__(self) -> int:
        return self.X.shape[0]


@dataclass(frozen=True)
class Moments:
    """What the kernel's set-up needs to know of the samples, in float64.

    Attributes
    ----------
    mean : ndarray of shape (n_features,), float64
        Mean of each feature.
    variance : float
        Variance over all entries of X, as ``X.var()``.
    mean_sq_norm : float
        Mean squared norm of the samples.
    """

    mean: NDArray[np.float64]
    variance: float
    mean_sq_norm: float


def moments(X: Array) -> Moments:
    """Compute moments of X in float64, a run of rows at a time.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), float32 or float64

    Returns
    -------
    Moments
    """
    n, d = X.shape
    mean = sum((run.sum(axis=0, dtype=np.float64) for run in _runs(X)), np.zeros(d)) / n
    grand_mean = mean.mean()
    spread = 0.0
    with np.errstate(invalid="ignore", over="ignore"):  # the caller looks at the result
        for run in _runs(X):
            deviation = run.astype(np.float64) - grand_mean
            spread += float(np.vdot(deviation, deviation))
        return Moments(mean, spread / (n * d), spread / n + d * grand_mean**2)


def _runs(X: Array) -> Iterator[Array]:
    """Cut X into runs of rows small enough to stay in cache as float64."""
    rows = max(1, 2**20 // X.shape[1])
    return (X[start : start + rows] for start in range(0, X.shape[0], rows))


def resolve_gamma(gamma: float | str, n_features: int, variance: float) -> float:
    """Turn scikit-learn's gamma setting into a number.

    Parameters
    ----------
    gamma : float, "scale" or "auto"
        "scale" is ``1 / (n_features * X.var())``, "auto" ``1 / n_features``.
    n_features : int
    variance : float
        ``X.var()`` over the whole training set.

    Returns
    -------
    float
        1.0 for "scale" if all entries of X are equal, as in scikit-learn.
    """
    if gamma == "scale":
        return 1.0 / (n_features * variance) if variance > 0 else 1.0
    return 1.0 / n_features if gamma == "auto" else float(gamma)


def kernel_center(moments: Moments, dtype: np.dtype) -> Array | None:
    """Find the offset to subtract from samples before taking distances.

    Distances do not change under a shift, but their rounding does: samples
    far from the origin lose digits.  Samples that are centred already, as
    standardised ones are, need no shift.

    Parameters
    ----------
    moments : Moments
        Of the training samples.
    dtype : dtype
        The samples' precision.

    Returns
    -------
    ndarray of shape (n_features,) or None
        The mean of each feature; None if its squared norm is below 1 % of
        the samples' mean squared norm.
    """
    if moments.mean @ moments.mean < 0.01 * moments.mean_sq_norm:
        return None
    return moments.mean.astype(dtype)


def sample_blocks(X: Array, center: Array | None, *, in_place: bool = False) -> SampleBlocks:
    """Prepare samples for kernel blocks.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), float32 or float64
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
        X = np.subtract(X, center, out=X if in_place else None)
    X = np.ascontiguousarray(X)
    sq_norms = np.empty(X.shape[0], dtype=X.dtype)
    _sq_norms(X, sq_norms)
    return SampleBlocks(X, sq_norms)


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


def _fill_block(A: SampleBlocks, B: SampleBlocks, gamma: float, K: Array) -> None:
    """Write the kernel of one block of at most BLOCK x BLOCK entries into `K`."""
    if A.X.dtype == np.float32:
        products = K if K.flags.c_contiguous else np.empty(K.shape, dtype=np.float32)
        np.matmul(A.X, B.X.T, out=products)
        _rbf_from_products_f32(products, A.sq_norms, B.sq_norms, np.float32(gamma))
        if products is not K:
            K[...] = products
    else:
        D = A.X @ B.X.T
        D *= -2.0
        D += A.sq_norms[:, None]
        D += B.sq_norms
        np.maximum(D, 0.0, out=D)
        D *= -gamma
        K[...] = np.exp(D, out=D)


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


@njit(nogil=True, cache=True, fastmath={"nnan", "nsz", "contract"}, error_model="numpy")
def _rbf_from_products_f32(products, a_sq_norms, b_sq_norms, gamma):  # type: ignore[no-untyped-def]
    """Turn inner products into RBF values in place, in one pass."""
    two_gamma = np.float32(2) * gamma
    for i in range(products.shape[0]):
        for j in range(products.shape[1]):
            sq_norms = a_sq_norms[i] + b_sq_norms[j]
            t = min(two_gamma * products[i, j] - gamma * sq_norms, np.float32(0))
            value = _exp_f32(max(t, np.float32(-87)))
            products[i, j] = value if t >= np.float32(-87) else np.float32(0)
