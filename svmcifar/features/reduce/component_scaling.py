"""Partial whitening of principal components."""

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from svmcifar.compute.arrays import get_namespace
from svmcifar.features.reduce.standardize import BatchStandardScaler, mean_squares

# Standard deviations below this share of the largest are rounding errors: covariances of float32
# samples are exact to eps, and deviations are their roots.
_LEAST_SHARE = float(np.finfo(np.float32).eps) ** 0.5
_TINY = float(np.finfo(np.float32).tiny)  # where all are 0


class ComponentScaling(TransformerMixin, BaseEstimator):
    """Partial whitening: divide each component by a power of its standard deviation.

    Parameters
    ----------
    power : float, default=0.5
        0 leaves the components as they are, 1 whitens them.

    Attributes
    ----------
    divisors_ : ndarray of shape (n_components,), float32
        Powers of the standard deviations, each at least 3.5e-4 of the largest: smaller ones are
        rounding errors.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.array([[-4, -1], [4, 1]], dtype=np.float32)
    >>> ComponentScaling(0.5).fit_transform(X)
    array([[-2., -1.],
           [ 2.,  1.]], dtype=float32)
    """

    __module__ = "svmcifar.features"  # as in model files, wherever the code lies

    def __init__(self, power: float = 0.5) -> None:
        self.power = power

    def fit(self, X: Any, y: Any = None, n_odd: int = 0) -> "ComponentScaling":
        """Compute the divisors of X, of shape (n_samples, n_components), float32.

        The deviations of the last `n_odd` components, which mirroring negates, are about 0.  On a
        device only under `svmcifar.compute.arrays.sklearn_dispatch`.
        """
        xp = get_namespace(X)
        deviations = xp.sqrt(mean_squares(BatchStandardScaler().fit(X), n_odd))
        least = _LEAST_SHARE * xp.max(deviations) + _TINY
        floored = xp.where(deviations > least, deviations, least)
        self.divisors_ = xp.astype(floored**self.power, xp.float32)
        return self

    def transform(self, X: Any) -> Any:
        """Divide the components X, on the host or on the device of `fit`."""
        return X / self.divisors_
