"""Moments of the training samples, and what follows from them: gamma and the centre."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import gen_batches

from svmcifar.compute.arrays import get_namespace, is_host, to_host
from svmcifar.compute.jit import njit

# Values of a batch of rows: few enough to stay in cache as float64, enough to keep a GPU busy.
_HOST_VALUES, _DEVICE_VALUES = 2**20, 2**24


@dataclass(frozen=True)
class Moments:
    """Moments of samples, in float64 and on the host."""

    mean: NDArray[np.float64]  # of each feature, (n_features,)
    variance: float  # over all entries of X, as ``X.var()``
    mean_sq_norm: float  # mean squared norm of the samples

    def of_both_images(self, n_odd: int) -> "Moments":
        """Return the moments of the samples and copies whose last `n_odd` features are negated."""
        mean = self.mean.copy()
        mean[len(mean) - n_odd :] = 0.0
        variance = self.variance + self.mean.mean() ** 2 - mean.mean() ** 2
        return Moments(mean, float(variance), self.mean_sq_norm)


def moments(X: Any) -> Moments:
    """Compute moments of X, on the host or a device, batch by batch in float64."""
    xp = get_namespace(X)
    n, d = X.shape
    mean = sum(xp.sum(rows, axis=0, dtype=xp.float64) for rows in row_batches(X)) / n
    grand_mean = xp.mean(mean)
    spread: Any = 0.0
    with np.errstate(invalid="ignore", over="ignore"):  # the caller checks the result
        for rows in row_batches(X):
            if is_host(X):
                spread += _squared_deviations(np.ravel(rows), grand_mean)
            else:
                deviation = xp.reshape(xp.astype(rows, xp.float64) - grand_mean, (-1,))
                spread = spread + deviation @ deviation
        total = float(spread)
        sq_mean = float(grand_mean * grand_mean)
        return Moments(to_host(mean), total / (n * d), total / n + d * sq_mean)


# Not a product of BLAS, whose digits depend on the number of its threads. NaN must stay NaN.
@njit(nogil=True, cache=True, fastmath={"nsz", "reassoc", "contract"}, error_model="numpy")
def _squared_deviations(values, center):  # type: ignore[no-untyped-def]
    """Return the sum of the squared deviations from the centre, in float64."""
    total = 0.0
    for i in range(len(values)):
        deviation = np.float64(values[i]) - center
        total += deviation * deviation
    return total


def row_batches(X: Any) -> Iterator[Any]:
    """Cut X into batches of rows for float64 arithmetic."""
    n_rows = max(1, (_HOST_VALUES if is_host(X) else _DEVICE_VALUES) // X.shape[1])
    return (X[rows, :] for rows in gen_batches(X.shape[0], n_rows))


def resolve_gamma(gamma: float | str, n_features: int, variance: float) -> float:
    """Return scikit-learn's `gamma` as a number; "scale" is 1.0 if all entries of X are equal."""
    if gamma == "scale":
        return 1.0 / (n_features * variance) if variance > 0 else 1.0
    return 1.0 / n_features if gamma == "auto" else float(gamma)


def kernel_center(moments: Moments, dtype: np.dtype) -> NDArray[np.floating] | None:
    """Return the mean of each feature, to be subtracted from samples, or None if that is needless.

    Distances do not change under a shift, but samples far from the origin lose digits.  Samples
    whose mean has a squared norm below 1 % of their mean squared norm, such as standardised ones,
    count as centred.
    """
    if np.square(moments.mean).sum() < 0.01 * moments.mean_sq_norm:
        return None
    return moments.mean.astype(dtype)
