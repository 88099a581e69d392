"""Out-of-fold ridge scores as features (stacking)."""

from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import gen_batches
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from svmcifar.compute.arrays import get_namespace, take_rows
from svmcifar.errors import InputError
from svmcifar.features.parameters import validate_parameters
from svmcifar.features.reduce.normal_equations import NormalEquations

_BATCH_ROWS = 2000


class RidgeScores(TransformerMixin, BaseEstimator):
    """Prepend out-of-fold ridge scores, one for each class, to the features (stacking).

    A pair of a one-vs-one SVM sees the samples of two classes alone; the scores add what separates
    a class from all others.  Those of samples that a regression was fitted on are too good, so
    `fit_transform` scores each sample by a regression on the other folds, like scikit-learn's
    ``TargetEncoder``: it is not ``fit(X, y).transform(X)``.

    Parameters
    ----------
    weight : float, default=0.8
        The scores are scaled so that their total variance is ``weight ** 2`` times that of the
        features that are kept; > 0.
    n_keep : int, default=None
        Keep so many features beside the scores, the first ones and all odd ones; None for all.
    alpha : float, default=0.01
        Penalty on the squared coefficients, as a share of the features' mean variance times the
        number of samples; > 0.
    n_folds : int, default=5
        Folds of images, >= 2.
    random_state : int, default=0
        Random seed of the folds.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features - n_odd, n_classes), float32
        Regression on all samples.
    intercept_ : ndarray of shape (n_classes,), float32
    fold_coef_ : ndarray of shape (n_folds, n_features - n_odd, n_classes), float32
        Regressions on all folds but one.
    fold_intercept_ : ndarray of shape (n_folds, n_classes), float32
    n_images_, n_views_ : int
        Numbers of images, and of views of each, in `fit`.
    n_odd_ : int
        Of `fit`.

    References
    ----------
    D. Wolpert, "Stacked generalization", Neural Networks 5 (1992).

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    >>> RidgeScores().fit_transform(X, np.arange(60) % 3).shape
    (60, 7)
    """

    __module__ = "svmcifar.features"  # as in model files, wherever the code lies

    n_odd_ = 0  # newer than the oldest model files, which leave it out, as content hashes do

    _parameter_constraints = {  # noqa: RUF012 (scikit-learn's own form)
        "weight": [Interval(Real, 0.0, None, closed="neither")],
        "n_keep": [Interval(Integral, 1, None, closed="left"), None],
        "alpha": [Interval(Real, 0.0, None, closed="neither")],
        "n_folds": [Interval(Integral, 2, None, closed="left")],
        "random_state": [Interval(Integral, 0, None, closed="left")],
    }

    def __init__(
        self,
        weight: float = 0.8,
        *,
        n_keep: int | None = None,
        alpha: float = 0.01,
        n_folds: int = 5,
        random_state: int = 0,
    ) -> None:
        self.weight = weight
        self.n_keep = n_keep
        self.alpha = alpha
        self.n_folds = n_folds
        self.random_state = random_state

    def fit(self, X: Any, y: NDArray[Any], n_views: int = 1, n_odd: int = 0) -> "RidgeScores":
        """Fit the regressions.

        Parameters
        ----------
        X : array of shape (n_images * n_views, n_features), float32
            On the host or on a device.
        y : ndarray of shape (n_images,)
            Labels; raise InputError if there are fewer than folds.
        n_views : int, default=1
            Consecutive rows of X that show the same image: they are in one fold.
        n_odd : int, default=0
            Number of the last features, at most `n_keep`, which mirroring negates.  The regressions
            are those of samples and mirror images, so that scores are of the other features alone.
        """
        validate_parameters(self)
        if len(y) < self.n_folds or X.shape[0] != n_views * len(y):
            raise InputError(
                f"RidgeScores needs at least {self.n_folds} images, one a fold, and a label for "
                f"each. Got {X.shape[0]} rows, {n_views} of an image, and {len(y)} labels."
            )
        self.n_images_, self.n_views_, self.n_odd_ = len(y), n_views, n_odd
        xp = get_namespace(X)
        codes = np.repeat(np.unique(y, return_inverse=True)[1], n_views)
        even, _ = self._split(X)
        sums = [NormalEquations.of(even, rows, codes, _BATCH_ROWS) for rows in self._folds()]
        total = sum(sums[1:], start=sums[0])
        self.coef_, self.intercept_ = total.solve(self.alpha)
        coefs, intercepts = zip(*((total - own).solve(self.alpha) for own in sums), strict=True)
        self.fold_coef_, self.fold_intercept_ = xp.stack(coefs), xp.stack(intercepts)
        spread = float(xp.sum(xp.var(self._training_scores(X), axis=0)))
        variance = float(xp.sum(total.variances()[: self._count_kept(even)]))
        variance += self._mean_sq_norm_of_odd(X)
        scale = self.weight * (variance / spread) ** 0.5 if spread > 0 else 1.0
        for name in ("coef_", "intercept_", "fold_coef_", "fold_intercept_"):
            setattr(self, name, getattr(self, name) * scale)
        return self

    def fit_transform(self, X: Any, y: NDArray[Any], n_views: int = 1, n_odd: int = 0) -> Any:
        """Fit the regressions and score every sample out of fold, as by `transform_training`."""
        return self.fit(X, y, n_views, n_odd).transform_training(X)

    def transform_training(self, X: Any) -> Any:
        """Score the samples of `fit` out of fold; otherwise as `transform`.

        Raise InputError if the number of samples, and thus the folds, differ from `fit`.
        """
        check_is_fitted(self)
        if X.shape[0] != self.n_images_ * self.n_views_:
            raise InputError(
                f"Scores out of fold are those of the samples that RidgeScores was fitted on, "
                f"{self.n_views_} of each of {self.n_images_} images. Got {X.shape[0]} samples "
                f"instead. Use 'transform' for others."
            )
        return self.prepended(self._training_scores(X), X)

    def transform(self, X: Any) -> Any:
        """Score new samples X, on the host or on the device of `fit`.

        The result has shape (n_samples, n_classes + n_keep), float32: scores first, odd features
        last.
        """
        check_is_fitted(self)
        return self.prepended(self._split(X)[0] @ self.coef_ + self.intercept_, X)

    def prepended(self, scores: Any, X: Any) -> Any:
        """Put scores before the features of X that are kept."""
        even, odd = self._split(X)
        return get_namespace(X).concat([scores, even[:, : self._count_kept(even)], odd], axis=1)

    def _split(self, X: Any) -> tuple[Any, Any]:
        """Return the even and the odd features."""
        n_even = X.shape[1] - self.n_odd_
        return X[:, :n_even], X[:, n_even:]

    def _count_kept(self, even: Any) -> int:
        """Return how many even features are kept."""
        return even.shape[1] if self.n_keep is None else self.n_keep - self.n_odd_

    def _mean_sq_norm_of_odd(self, X: Any) -> float:
        """Return the total variance of the odd features over samples and mirror images."""
        xp, batches = get_namespace(X), gen_batches(X.shape[0], _BATCH_ROWS)
        odd = (self._split(X[rows, :])[1] for rows in batches)
        return sum(float(xp.sum(part * part, dtype=xp.float64)) for part in odd) / X.shape[0]

    def _training_scores(self, X: Any) -> Any:
        """Score the samples of `fit` out of fold."""
        folds, (even, _) = self._folds(), self._split(X)
        parts = [
            take_rows(even, rows[batch]) @ self.fold_coef_[fold, :, :]
            + self.fold_intercept_[fold, :]
            for fold, rows in enumerate(folds)
            for batch in gen_batches(len(rows), _BATCH_ROWS)
        ]
        return take_rows(get_namespace(X).concat(parts), np.argsort(np.concatenate(folds)))

    def _folds(self) -> list[NDArray[np.intp]]:
        """Return the rows of each fold."""
        shuffled = np.random.default_rng(self.random_state).permutation(self.n_images_)
        fold_of_row = np.repeat(shuffled % self.n_folds, self.n_views_)
        return [np.flatnonzero(fold_of_row == fold) for fold in range(self.n_folds)]
