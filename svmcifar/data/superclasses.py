"""Superclasses from what is predicted of their classes."""

import numpy as np
from numpy.typing import NDArray


def sum_by_superclass(
    probabilities: NDArray[np.float64], superclass_of: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Sum probabilities (n_images, n_classes) over the classes of each superclass."""
    return probabilities @ np.eye(superclass_of.max() + 1)[superclass_of]


def answer_superclasses(
    rule: str,
    classes: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    superclass_of: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Return superclasses by a rule that every model of classes can be held to.

    Parameters
    ----------
    rule : {"mapped", "summed"}
        Whether to map the predicted class up, or to take the superclass whose classes have the
        largest sum of probabilities.
    classes : ndarray of shape (n_images,)
        Predicted class ids.
    probabilities : ndarray of shape (n_images, n_classes)
        A model without any has those of `svmcifar.metrics.losses.calibrated_probabilities`.
    superclass_of : ndarray of shape (n_classes,)
        Superclass id of each class.

    Returns
    -------
    ndarray of shape (n_images,), int64
    """
    if rule == "mapped":
        return superclass_of[classes]
    return sum_by_superclass(probabilities, superclass_of).argmax(axis=1)
