"""What the kernel's set-up needs to know of the training samples: scale, gamma, centre."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import gen_batches

from svmcifar.compute.arrays import get_namespace, is_host, to_host

# Values of a run of rows: small enough to stay in cache as float64, or to keep a GPU busy.
_HOST_RUN, _DEVICE_RUN = 2**20, 2**24


@dataclass(frozen=True)
class Moments:
    """What the kernel's set-up needs to know of the samples, in float64 and on the host.

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


def moments(X: Any) -> Moments:
    """Compute moments of X in float64, a run of rows at a time.

    Parameters
    ----------
    X : array of shape (n_samples, n_features), float32 or float64
        On the host or on a device, where it is worked on.

    Returns
    -------
    Moments
    """
    xp = get_namespace(X)
    n, d = X.shape
    mean = sum(xp.sum(run, axis=0, dtype=xp.float64) for run in row_runs(X)) / n
    grand_mean = xp.mean(mean)
    spread: Any = 0.0
    with np.errstate(invalid="ignore", over="ignore"):  # the caller looks at the result
        for run in row_runs(X):
            deviation = xp.reshape(xp.astype(run, xp.float64) - grand_mean, (-1,))
            spread = spread + deviation @ deviation
        total = float(spread)
        sq_mean = float(grand_mean * grand_mean)
        return Moments(to_host(mean), total / (n * d), total / n + d * sq_mean)


def row_runs(X: Any) -> Iterator[Any]:
    """Cut X into runs of rows that fit into cache as float64."""
    rows = max(1, (_HOST_RUN if is_host(X) else _DEVICE_RUN) // X.shape[1])
    return (X[run, :] for run in gen_batches(X.shape[0], rows))


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


def kernel_center(moments: Moments, dtype: np.dtype) -> NDArray[np.floating] | None:
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
