"""Superclass probabilities."""

import numpy as np
from numpy.typing import NDArray


def sum_by_superclass(
    probabilities: NDArray[np.float64], superclass_of: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Sum probabilities (n_images, n_classes) over the classes of each superclass."""
    return probabilities @ np.eye(superclass_of.max() + 1)[superclass_of]
