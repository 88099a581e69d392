"""How far probabilities can be believed: log loss, calibration error, the more confident half."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

N_BINS = 15


@dataclass(frozen=True)
class ReliabilityBin:
    """The samples whose confidence lies in a bin."""

    low: float  # ends of the bin
    high: float
    n_samples: int
    confidence: float  # mean
    accuracy: float


@dataclass(frozen=True)
class Reliability:
    """A reliability diagram: accuracy against confidence, in bins of equal width."""

    error: float  # expected calibration error
    bins: tuple[ReliabilityBin, ...]  # those with samples


def reliability(right: npt.NDArray[np.bool_], confidence: npt.NDArray[np.floating]) -> Reliability:
    """Hold confidence against accuracy in `N_BINS` bins of equal width between 0 and 1.

    Both are of shape (n_samples,).  The expected calibration error is the mean of the difference
    between accuracy and mean confidence of a bin's samples, weighted by their number.

    References
    ----------
    C. Guo et al., "On calibration of modern neural networks", ICML 2017, eq. (3).
    """
    number = np.minimum((confidence * N_BINS).astype(np.intp), N_BINS - 1)
    counts, n_right, total = (
        np.bincount(number, weights=weights, minlength=N_BINS)
        for weights in (None, right, confidence)
    )
    # In a bin of n samples, n times the difference is that of the sums.
    error = np.abs(np.bincount(number, weights=right - confidence)).sum() / len(right)
    bins = tuple(
        ReliabilityBin(k / N_BINS, (k + 1) / N_BINS, int(n), float(c / n), float(r / n))
        for k, (n, r, c) in enumerate(zip(counts, n_right, total, strict=True))
        if n
    )
    return Reliability(float(error), bins)


def probability_log_loss(
    y_true: npt.NDArray[np.integer], probabilities: npt.NDArray[np.floating]
) -> float:
    """Return the mean of -log p of the true class, in nats, from (n_samples, n_classes)."""
    return float(-np.log(of_classes(probabilities, y_true)).mean())


def calibration_scores(
    y_true: npt.NDArray[np.integer],
    y_pred: npt.NDArray[np.integer],
    probabilities: npt.NDArray[np.floating],
) -> tuple[float, float]:
    """Return the expected calibration error, and the accuracy of the more confident half.

    The confidence of a prediction is the probability of the predicted class.

    Parameters
    ----------
    y_true, y_pred : ndarray of int, shape (n_samples,)
        Class ids.
    probabilities : ndarray of shape (n_samples, n_classes)

    Returns
    -------
    error : float
        The expected calibration error, that of `reliability`.
    confident_accuracy : float
        Accuracy of the half of the samples, rounded up, with the largest confidence; of samples
        that tie, the first.
    """
    confidence, right = of_classes(probabilities, y_pred), y_true == y_pred
    half = np.argsort(-confidence, kind="stable")[: -(-len(right) // 2)]
    return reliability(right, confidence).error, float(right[half].mean())


def of_classes(
    probabilities: npt.NDArray[np.floating], classes: npt.NDArray[np.integer]
) -> npt.NDArray[np.floating]:
    """Return the probability of one class of each sample."""
    return np.take_along_axis(probabilities, classes[:, None], axis=1)[:, 0]
