"""Principal component analysis of more features than samples."""

from typing import Any

import numpy as np
from scipy.linalg import eigh
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from svmcifar.compute.arrays import get_namespace, is_host

_EPS = float(np.finfo(np.float32).eps)


def gram_axes(X: Any, n_components: int) -> tuple[Any, Any]:
    """Return directions of X of most variance about 0, and the sums of squares along them.

    They are of shapes (n_components, n_features) and (n_components,), float32, by decreasing
    variance, from the Gram matrix of the samples.
    """
    xp = get_namespace(X)
    sums, vectors = _last_eigenvectors(X @ X.T, n_components)
    sums, vectors = xp.flip(sums), xp.flip(vectors, axis=1)
    # Both signs are right: the largest value is positive, on every machine.
    vectors = xp.where(xp.max(vectors, axis=0) < -xp.min(vectors, axis=0), -vectors, vectors)
    # Where there is no variance there are rounding errors alone, and no direction.
    lengths = xp.sqrt(xp.maximum(sums, _EPS * sums[0]))
    return (vectors / xp.where(lengths > 0, lengths, 1.0)).T @ X, sums


def _last_eigenvectors(gram: Any, count: int) -> tuple[Any, Any]:
    """Return the largest eigenvalues of a matrix, which may be overwritten, in rising order."""
    n = gram.shape[0]
    if is_host(gram):
        largest: tuple[Any, Any] = eigh(
            gram, subset_by_index=(n - count, n - 1), overwrite_a=True, check_finite=False
        )
        return largest
    sums, vectors = get_namespace(gram).linalg.eigh(gram)
    return sums[n - count :], vectors[:, n - count :]


class WidePCA(TransformerMixin, BaseEstimator):
    """Principal component analysis by the Gram matrix of the samples.

    Patches give some 10,000 features, whose covariance does not fit the memory.  The Gram matrix of
    the centred samples has the same eigenvalues, and as many rows as there are samples.

    Parameters
    ----------
    n_components : int
        Components to keep.
    random_state : int, default=0
        Random seed of the images that `svmcifar.features.fitting` has it fitted on, if not on all.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features), float32
        Of length 1, by decreasing variance.
    offset_ : ndarray of shape (n_components,), float32
        Components of the mean of the samples, which `transform` subtracts.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(20, 100)).astype(np.float32)
    >>> WidePCA(3).fit_transform(X).shape
    (20, 3)
    """

    __module__ = "svmcifar.features"  # as in model files, wherever the code lies

    def __init__(self, n_components: int, *, random_state: int = 0) -> None:
        self.n_components = n_components
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> "WidePCA":
        """Fit the components of X, of shape (n_samples, n_features), float32; centre X in place."""
        self.fit_transform(X)
        return self

    def fit_transform(self, X: Any, y: Any = None) -> Any:
        """Fit on X as `fit` does, and return its components as `transform` does."""
        mean = get_namespace(X).mean(X, axis=0)
        X -= mean
        self.components_, _ = gram_axes(X, self.n_components)
        self.offset_ = self.components_ @ mean
        return X @ self.components_.T

    def transform(self, X: Any) -> Any:
        """Return the components of X, float32, on the host or on the device of `fit`."""
        check_is_fitted(self)
        return X @ self.components_.T - self.offset_
