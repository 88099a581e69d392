"""Standardisation and principal components of even and odd features.

Samples are those of images, with as many even features as odd ones, and stand for their mirror
images too, whose odd features have the other sign (see
`svmcifar.features.extract.even_odd.EvenOddFeatures`).  What is learned from them is what samples
and mirror images together would teach: odd features have the mean 0, and no even feature is
correlated with an odd one.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.extmath import randomized_svd
from sklearn.utils.validation import check_is_fitted

from svmcifar.compute.arrays import get_namespace, sklearn_dispatch, to_host
from svmcifar.features.reduce.standardize import BatchStandardScaler, mean_squares
from svmcifar.features.reduce.unit_rows import round_to_half
from svmcifar.features.reduce.wide_pca import gram_axes

_EPS = float(np.finfo(np.float64).eps)


class EvenOddScaler(BatchStandardScaler):
    """Standardise features by their even and odd parts, which are divided by one deviation.

    It is the deviation of the feature over images and mirror images.

    Attributes
    ----------
    mean_, var_, scale_ : ndarray of shape (n_features,), float64
        As of `sklearn.preprocessing.StandardScaler`, over samples and mirror images: the means of
        odd parts are 0.  Both parts of a feature have one variance, the sum of theirs.
    n_odd_ : int
        Half of the features.
    """

    __module__ = "svmcifar.features"  # as in model files, wherever the code lies

    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: NDArray[np.floating] | None = None,
    ) -> "EvenOddScaler":
        """Learn from X, (n_samples, 2 * n): n even parts and their odd ones."""
        plain, n, n_odd = super().fit(X, y, sample_weight), X.shape[0], X.shape[1] // 2
        xp, mean, squares = get_namespace(X), plain.mean_[:n_odd], mean_squares(plain, n_odd)
        of_one = squares[:n_odd] + squares[n_odd:]
        # As scikit-learn's for constant features: what is less is the rounding of a constant.
        least = n * _EPS * of_one + (n * mean * _EPS) ** 2
        scale = xp.where(of_one > least, xp.sqrt(of_one), 1.0)
        self.mean_ = xp.concat([mean, xp.zeros_like(mean)])
        self.var_, self.scale_ = xp.concat([of_one] * 2), xp.concat([scale] * 2)
        self.n_odd_ = n_odd
        return self


class EvenOddPCA(TransformerMixin, BaseEstimator):
    """Principal component analysis of samples and mirror images.

    Its components are those of the even features, and those of the odd ones about 0.  Kept are the
    `n_keep` components of largest variance over both, and then more of the even ones.

    Parameters
    ----------
    n_components : int
        Components to keep, at most as many as samples and as even features.
    n_keep : int, default=None
        Components among which there may be odd ones; None for all.
    solver : {"covariance", "gram", "randomized"}, default="covariance"
        By the covariance of all features; by the Gram matrix of the samples, as `WidePCA`; or by a
        randomized singular value decomposition, as scikit-learn's PCA of many features.
    random_state : int, default=0
        Random seed of the last, and of the images that `svmcifar.features.fitting` has the Gram
        matrix made of, if not of all.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features / 2), float32
        Of length 1: even ones by decreasing variance, then odd ones by decreasing variance.  By the
        Gram matrix they are rounded to half precision.
    variances_ : ndarray of shape (n_components,), float32
        Variances of the components over samples and mirror images.
    offset_ : ndarray of shape (n_even_components,), float32
        Even components of the mean of the samples, which `transform` subtracts.
    n_odd_ : int
        Number of odd components, the last ones.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(20, 12)).astype(np.float32)
    >>> X[:, 6:] *= 0.1
    >>> EvenOddPCA(4).fit(X).n_odd_
    0
    """

    __module__ = "svmcifar.features"  # as in model files, wherever the code lies

    def __init__(
        self,
        n_components: int,
        *,
        n_keep: int | None = None,
        solver: str = "covariance",
        random_state: int = 0,
    ) -> None:
        self.n_components = n_components
        self.n_keep = n_keep
        self.solver = solver
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> "EvenOddPCA":
        """Fit the components of X, (n_samples, n_features), float32; centre X in place."""
        self.fit_transform(X)
        return self

    def fit_transform(self, X: Any, y: Any = None) -> Any:
        """Fit on X as `fit` does, and return its components as `transform` does."""
        xp, n_half = get_namespace(X), X.shape[1] // 2
        mean = xp.mean(X[:, :n_half], axis=0)
        X[:, :n_half] -= mean
        n_keep = self.n_components if self.n_keep is None else self.n_keep
        even, of_even = self._axes(X[:, :n_half], self.n_components)
        odd, of_odd = self._axes(X[:, n_half:], n_keep)
        largest = np.argsort(-to_host(xp.concat([of_even, of_odd])), kind="stable")[:n_keep]
        self.n_odd_ = int((largest >= even.shape[0]).sum())
        n_even = self.n_components - self.n_odd_
        self.components_ = xp.concat([even[:n_even, :], odd[: self.n_odd_, :]])
        if self.solver == "gram":  # of so many features that they are much of a model's file
            self.components_ = round_to_half(self.components_)
        sums = xp.concat([of_even[:n_even], of_odd[: self.n_odd_]])
        self.variances_ = sums / X.shape[0]
        self.offset_ = self.components_[:n_even, :] @ mean
        return self._project(X)

    def _axes(self, X: Any, n_components: int) -> tuple[Any, Any]:
        """Return directions of X of most variance about 0, and the sums of squares along them."""
        xp, count = get_namespace(X), min(n_components, *X.shape)
        if self.solver == "gram":
            return gram_axes(X, count)
        if self.solver == "randomized":
            with sklearn_dispatch(X):
                _, values, axes = randomized_svd(
                    X, count, power_iteration_normalizer="QR", random_state=self.random_state
                )
            return axes, values**2
        sums, vectors = xp.linalg.eigh(X.T @ X)
        return xp.flip(vectors, axis=1).T[:count, :], xp.flip(sums)[:count]

    def transform(self, X: Any) -> Any:
        """Return the components of X, float32, on the host or on the device of `fit`."""
        check_is_fitted(self)
        components, n_even = self._project(X), self.offset_.shape[0]
        components[:, :n_even] -= self.offset_
        return components

    def _project(self, X: Any) -> Any:
        """Return the components of X without the offset."""
        n_half, n_even = X.shape[1] // 2, self.offset_.shape[0]
        even = X[:, :n_half] @ self.components_[:n_even, :].T
        odd = X[:, n_half:] @ self.components_[n_even:, :].T
        return get_namespace(X).concat([even, odd], axis=1)
