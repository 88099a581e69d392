"""Where a classifier's errors fall: within the right superclass, or outside."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from svmcifar.metrics.per_class import accuracy_interval


@dataclass(frozen=True)
class ErrorPlaces:
    """Wrong predictions of classes, by the superclass that they lie in."""

    n_wrong: int
    n_inside: int  # of these, in the superclass of the true class
    share: float  # n_inside / n_wrong
    interval: tuple[float, float]  # of the share: Wilson's, 95 %
    chance: float  # the share that is expected of wrong classes drawn at random


def error_places(
    y_true: npt.NDArray[np.integer],
    y_pred: npt.NDArray[np.integer],
    superclass_of: npt.NDArray[np.integer],
) -> ErrorPlaces | None:
    """Count the wrong predictions within the right superclass; None if none is wrong.

    `y_true` and `y_pred`, (n_samples,), are ids of classes, `superclass_of` (n_classes,) their
    superclasses.  Chance: each wrong class of a sample is as likely as any other.

    Examples
    --------
    >>> error_places(np.array([0, 0, 1]), np.array([1, 2, 1]), np.array([0, 0, 1])).share
    0.5
    """
    wrong = y_true != y_pred
    n_wrong = int(wrong.sum())
    if n_wrong == 0:
        return None
    inside = superclass_of[y_true[wrong]] == superclass_of[y_pred[wrong]]
    siblings = np.bincount(superclass_of)[superclass_of[y_true[wrong]]] - 1
    return ErrorPlaces(
        n_wrong=n_wrong,
        n_inside=int(inside.sum()),
        share=float(inside.mean()),
        interval=accuracy_interval(int(inside.sum()), n_wrong),
        chance=float(siblings.mean() / (len(superclass_of) - 1)),
    )
