"""Ensembles: the scores of several models together."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def combine_scores(
    probabilities: Sequence[NDArray[Any]], ids: Sequence[NDArray[Any]], how: str
) -> NDArray[Any]:
    """Combine models' probabilities, (n_images, n_classes) each, to scores of the same shape.

    "sum" is the mean of the probabilities, "vote" the number of models that predict a class, by
    `ids`, plus that mean, which breaks ties.
    """
    total: NDArray[Any] = np.mean(probabilities, axis=0)
    if how == "vote":
        # The mean never outweighs a vote: a class leads by 1 in it only if all predict it.
        for predicted in ids:
            total[np.arange(len(total)), predicted] += 1.0
    return total
