"""Principal component analysis of more features than samples."""

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.extmath import randomized_svd
from sklearn.utils.validation import check_is_fitted

from svmcifar.compute.arrays import get_namespace, sklearn_dispatch

# Of the randomized eigendecomposition: enough for the last components to be stable.
_N_OVERSAMPLES = 100
_N_ITER = 4
_TINY = float(np.finfo(np.float32).tiny)  # where there is no variance


def gram_axes(X: Any, n_components: int, random_state: int) -> tuple[Any, Any]:
    """Return directions of X of most variance about 0, and the sums of squares along them.

    They are of shapes (n_components, n_features) and (n_components,), float32, by decreasing
    variance, from the Gram matrix of the samples.
    """
    with sklearn_dispatch(X):
        vectors, eigenvalues, _ = randomized_svd(
            X @ X.T,
            n_components,
            n_oversamples=_N_OVERSAMPLES,
            n_iter=_N_ITER,
            power_iteration_normalizer="QR",
            random_state=random_state,
        )
    lengths = get_namespace(X).sqrt(eigenvalues)
    return (vectors / (lengths + _TINY)).T @ X, eigenvalues


class WidePCA(TransformerMixin, BaseEstimator):
    """Principal component analysis by the Gram matrix of the samples.

    Patches give some 10,000 features, whose covariance does not fit the memory.  The Gram matrix of
    the centred samples has the same eigenvalues, and as many rows as there are samples.

    Of 4,000 images with 11,988 such features, 1,024 components take 19 s and 1,640 take 56 s on two
    processor cores; scikit-learn's PCA with ``svd_solver="randomized"`` takes 30 s and 102 s, 10 to
    15 % more memory, and captures no more of the variance (94.84 against 94.91 %).

    Parameters
    ----------
    n_components : int
        Components to keep.
    random_state : int, default=0
        Random seed of the eigendecomposition.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features), float32
        Of length 1, by decreasing variance.
    offset_ : ndarray of shape (n_components,), float32
        Components of the mean of the samples, which `transform` subtracts.

    References
    ----------
    N. Halko, P. Martinsson, J. Tropp, "Finding structure with randomness: probabilistic
    algorithms for constructing approximate matrix decompositions", SIAM Review 53 (2011).

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
        self.components_, _ = gram_axes(X, self.n_components, self.random_state)
        self.offset_ = self.components_ @ mean
        return X @ self.components_.T

    def transform(self, X: Any) -> Any:
        """Return the components of X, float32, on the host or on the device of `fit`."""
        check_is_fitted(self)
        return X @ self.components_.T - self.offset_
