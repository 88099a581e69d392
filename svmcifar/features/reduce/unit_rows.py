"""Samples of length one, and of half precision."""

from typing import Any

from sklearn.base import BaseEstimator, TransformerMixin

from svmcifar.compute.arrays import get_namespace

# Of half precision: least normal value, spacing below it, and what splits float32 at 11 bits.
_LEAST_NORMAL = 2.0**-14
_SPACING = 2.0**-24
_SPLITTER = 2.0**13 + 1.0


class UnitRows(TransformerMixin, BaseEstimator):
    """Scale each sample to length one.

    Distances then tell directions alone: images of much and of little contrast are alike.

    Examples
    --------
    >>> import numpy as np
    >>> UnitRows().fit_transform(np.array([[3, 4], [0, 0]], dtype=np.float32))
    array([[0.6, 0.8],
           [0. , 0. ]], dtype=float32)
    """

    __module__ = "svmcifar.features"  # as in model files, wherever the code lies

    __sklearn_is_fitted__ = lambda self: True  # noqa: E731 (scikit-learn's protocol)

    def fit(self, X: Any, y: Any = None) -> "UnitRows":
        """Do nothing."""
        return self

    def transform(self, X: Any) -> Any:
        """Scale samples, (n_samples, n_features), float32, on the host or a device; 0 stays 0."""
        xp = get_namespace(X)
        lengths = xp.sqrt(xp.sum(X * X, axis=1, keepdims=True))
        return X / xp.where(lengths > 0, lengths, xp.ones_like(lengths))


def round_to_half(X: Any) -> Any:
    """Round float32 values of at most 65,504 in size to the nearest ones of half precision.

    The array API has no half precision; a product and two differences round to 11 bits (T. Dekker,
    "A floating-point technique for extending the available precision", Numerische Mathematik 18,
    1971).
    """
    xp = get_namespace(X)
    scaled = X * _SPLITTER
    rounded = scaled - (scaled - X)
    subnormal = xp.round(X / _SPACING) * _SPACING
    return xp.where(xp.abs(X) < _LEAST_NORMAL, subnormal, rounded)
