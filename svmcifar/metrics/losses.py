"""Losses of decision values: hinge, and log loss after cross-fitted calibration."""

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import log_softmax, softmax

from svmcifar.metrics.per_class import check_class_ids

N_FOLDS = 5


def hinge_loss(y_true: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Return the mean multiclass hinge loss, of a sample max(0, 1 - (s_y - max_{j != y} s_j)).

    Arguments and errors are those of `temperature_log_loss`.  The loss depends on the unit of the
    scores: those that a one-vs-one model derives from its votes compare with one another only.  It
    equals `sklearn.metrics.hinge_loss`, and stays right where only one of two classes occurs.

    References
    ----------
    K. Crammer and Y. Singer, "On the algorithmic implementation of multiclass kernel-based vector
    machines", JMLR 2 (2001), 265-292.
    """
    y, columns = check_scores(y_true, scores)
    own = np.take_along_axis(columns, y[:, None], axis=1)[:, 0]
    others = columns.copy()
    np.put_along_axis(others, y[:, None], -np.inf, axis=1)
    return float(np.maximum(0.0, 1.0 - (own - others.max(axis=1))).mean())


def temperature_log_loss(
    y_true: npt.ArrayLike, scores: npt.ArrayLike, n_folds: int = N_FOLDS
) -> tuple[float, npt.NDArray[np.float64]]:
    """Return the log loss of softmax(scores / T), with T fitted by cross-validation.

    An SVM's decision values are not probabilities, and no samples were kept back to calibrate them.
    The result is the loss of the scores once calibrated by one number (see `calibrate`), not of a
    model's own probabilities.

    Parameters
    ----------
    y_true : array-like of int, shape (n_samples,)
    scores : array-like of float, shape (n_samples, n_classes) or (n_samples,)
        Decision values per class; 1-D ones are binary and positive for class 1.
    n_folds : int, default=5
        2 <= n_folds <= n_samples.

    Returns
    -------
    loss : float
        Mean over all samples, in nats; log(n_classes) is the loss of the uniform distribution.
    temperatures : ndarray of float64, shape (n_folds,)
        T per fold, in the unit of the scores; infinite where the uniform distribution fits the
        other folds best.

    Raises
    ------
    ValueError
        If the shapes do not match, a label is no class id, a score is not finite, or `n_folds` is
        out of range.
    """
    y, columns = check_scores(y_true, scores)
    log_p, temperatures = calibrate(y, columns, n_folds)
    return float(-np.take_along_axis(log_p, y[:, None], axis=1).mean()), temperatures


def calibrate(
    y: npt.NDArray[np.intp], scores: npt.NDArray[np.float64], n_folds: int = N_FOLDS
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return log softmax(scores / T), with T fitted by cross-validation.

    Each fold of the samples gets the temperature that minimises the log loss of the *other* folds:
    no sample helps to choose its own T, and the unit of the scores cancels out.

    Parameters
    ----------
    y : ndarray of int, shape (n_samples,)
        True classes.
    scores : ndarray of float64, shape (n_samples, n_classes)
        Decision values, or logarithms of probabilities.
    n_folds : int, default=5
        2 <= n_folds <= n_samples.

    Returns
    -------
    log_p : ndarray of float64, shape (n_samples, n_classes)
        Logarithms of the calibrated probabilities.
    temperatures : ndarray of float64, shape (n_folds,)
        As `temperature_log_loss` returns them.

    Raises
    ------
    ValueError
        If `n_folds` is out of range.

    Notes
    -----
    Folds are stratified and fixed: sample i, after a stable sort by class, is in fold i mod
    n_folds.  Targets are smoothed as by Platt, in the form for many classes: one further
    observation is spread evenly over all samples and classes, so that T stays above 0 when they are
    separated without error.

    References
    ----------
    C. Guo et al., "On calibration of modern neural networks", ICML 2017, eq. (9).

    J. C. Platt, "Probabilistic outputs for support vector machines", in Advances in Large Margin
    Classifiers, MIT Press (2000), 61-74.
    """
    if not 2 <= n_folds <= len(y):
        raise ValueError(f"n_folds must be in the range [2, n_samples={len(y)}]. Got {n_folds}.")
    fold = np.empty(len(y), dtype=np.intp)
    fold[np.argsort(y, kind="stable")] = np.arange(len(y)) % n_folds
    log_p = np.empty(scores.shape)
    temperatures = np.empty(n_folds)
    for k in range(n_folds):
        held_out = fold == k
        temperatures[k] = _fit_temperature(y[~held_out], scores[~held_out])
        log_p[held_out] = log_softmax(scores[held_out] / temperatures[k], axis=1)
    return log_p, temperatures


def calibrated_probabilities(
    y: npt.NDArray[np.integer], scores: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return the probabilities of `calibrate`; of fewer samples than folds those with T = 1."""
    if len(y) < N_FOLDS:
        return softmax(scores, axis=1)
    return np.exp(calibrate(y.astype(np.intp), scores)[0])


def check_scores(
    y: npt.ArrayLike, scores: npt.ArrayLike, n_classes: int | None = None
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]:
    """Return class ids and one score per class; raise ValueError if they are invalid.

    A binary score s becomes -s/2 and s/2, whose hinge loss is the binary one and whose softmax is
    the sigmoid of s.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim == 1:
        scores = np.column_stack([-scores / 2, scores / 2])
    n_classes = n_classes or (scores.shape[1] if scores.ndim == 2 else 2)
    y = check_class_ids(y, "y_true", n_classes)
    if n_classes < 2 or scores.shape != (len(y), n_classes):
        raise ValueError(
            f"scores must have one row per sample and one column per class, shape "
            f"({len(y)}, {n_classes}), or for two classes be 1-D. Got shape {scores.shape}."
        )
    if not np.isfinite(scores).all():
        n_bad = np.count_nonzero(~np.isfinite(scores).all(axis=1))
        raise ValueError(f"scores must be finite. Got NaN or infinity for {n_bad} samples.")
    return y, scores


def _fit_temperature(y: npt.NDArray[np.intp], scores: npt.NDArray[np.float64]) -> float:
    """Return the T > 0 that minimises the smoothed log loss, which is convex in 1 / T."""
    gaps = scores - scores.max(axis=1, keepdims=True)
    unit = -gaps.mean()
    if unit == 0.0:
        return np.inf
    gaps /= unit
    smoothing = 1.0 / (len(y) + 1)
    own = np.take_along_axis(gaps, y[:, None], axis=1).mean()
    target = (1.0 - smoothing) * own + smoothing * gaps.mean()

    def slope(inverse: float) -> float:
        expected = (softmax(inverse * gaps, axis=1) * gaps).sum(axis=1).mean()
        return float(expected - target)

    if slope(0.0) >= 0.0:
        return np.inf
    high = 1.0
    while slope(high) < 0.0:
        high *= 2.0
    return float(unit / brentq(slope, 0.0, high))
