"""Successive halving: many points on few samples, and few points on all.

References
----------
K. Jamieson, A. Talwalkar, "Non-stochastic Best Arm Identification and Hyperparameter
Optimization", AISTATS 2016.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

# A round has this many times the samples of the one before, and a third of its points survive.
FACTOR = 3
# Samples of the smallest class that the first round trains on at least.
_LEAST_OF_CLASS = 10

Array = NDArray[Any]


class Round(NamedTuple):
    """One round.

    Attributes
    ----------
    n_points : int
        Points that it scores.
    share : float
        Of the training part; 1 in the last round.
    """

    n_points: int
    share: float


def plan_rounds(n_points: int, smallest_class: int) -> list[Round]:
    """Plan the rounds.

    Parameters
    ----------
    n_points : int
    smallest_class : int
        Samples of the smallest class of the training part.

    Returns
    -------
    list of Round
        At most a third of the points survive a round.  There are as many rounds as leave one
        point to the last and 10 samples of the smallest class to the first.

    Examples
    --------
    >>> [(n_points, round(share, 3)) for n_points, share in plan_rounds(25, 400)]
    [(25, 0.111), (8, 0.333), (2, 1.0)]
    """
    n_rounds = 1
    while (
        n_points >= FACTOR**n_rounds
        and smallest_class >= _LEAST_OF_CLASS * FACTOR**n_rounds
    ):  # fmt: skip
        n_rounds += 1
    return [
        Round(n_points // FACTOR**number, 1.0 / FACTOR ** (n_rounds - 1 - number))
        for number in range(n_rounds)
    ]


def draw_share(y: Array, share: float, seed: int) -> Array:
    """Draw a share of every class at random; a larger one has all samples of a smaller one.

    Parameters
    ----------
    y : ndarray of shape (n_samples,)
        Class labels.
    share : float
        From 0 to 1; rounded up to whole samples of each class.
    seed : int

    Returns
    -------
    ndarray of int
        Rows, ascending.
    """
    shuffled = np.random.default_rng(seed).permutation(len(y))
    drawn = [
        of_class[: int(np.ceil(share * len(of_class) - 1e-9))]
        for of_class in (shuffled[y[shuffled] == c] for c in np.unique(y))
    ]
    return np.sort(np.concatenate(drawn))


def survivors(scores: Sequence[float], n_survivors: int) -> list[int]:
    """Choose the points with the best scores, of those tied the first.

    Parameters
    ----------
    scores : sequence of float
    n_survivors : int

    Returns
    -------
    list of int
        Ascending.
    """
    order = np.argsort(-np.asarray(scores), kind="stable")
    return sorted(order[:n_survivors].tolist())
