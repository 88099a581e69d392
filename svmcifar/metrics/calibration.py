"""How far probabilities can be believed: log loss, calibration error, the more confident half."""

import numpy as np
import numpy.typing as npt

N_BINS = 15


def probability_log_loss(
    y_true: npt.NDArray[np.integer], probabilities: npt.NDArray[np.floating]
) -> float:
    """Return the mean of -log p of the true class, in nats, from (n_samples, n_classes)."""
    return float(-np.log(_of_classes(probabilities, y_true)).mean())


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
        Over 15 bins of equal width between 0 and 1, the mean of the difference between accuracy and
        mean confidence of a bin's samples, weighted by their number.
    confident_accuracy : float
        Accuracy of the half of the samples, rounded up, with the largest confidence; of samples
        that tie, the first.

    References
    ----------
    C. Guo et al., "On calibration of modern neural networks", ICML 2017, eq. (3).
    """
    confidence, right = _of_classes(probabilities, y_pred), y_true == y_pred
    bins = np.minimum((confidence * N_BINS).astype(np.intp), N_BINS - 1)
    # In a bin of n samples, n times the difference is that of the sums.
    error = np.abs(np.bincount(bins, weights=right - confidence)).sum() / len(right)
    half = np.argsort(-confidence, kind="stable")[: -(-len(right) // 2)]
    return float(error), float(right[half].mean())


def _of_classes(
    probabilities: npt.NDArray[np.floating], classes: npt.NDArray[np.integer]
) -> npt.NDArray[np.floating]:
    """Return the probability of one class of each sample."""
    return np.take_along_axis(probabilities, classes[:, None], axis=1)[:, 0]
