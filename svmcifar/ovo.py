"""One-vs-one: how pairs of classes are numbered, and how their answers are combined.

Pair (a, b), a < b, is number ``a * n_classes - a * (a + 1) / 2 + b - a - 1``; a positive
decision value is a vote for class a.  This is LIBSVM's order and sign.

Coefficients follow LIBSVM's layout too: an array of shape (n_classes - 1, n_samples), where
a sample of class a has its coefficient for the pair with class b in row ``b - 1`` if a < b
and in row ``b`` if a > b.
"""

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


def class_pairs(n_classes: int) -> list[tuple[int, int]]:
    """List the pairs of classes in order."""
    return list(combinations(range(n_classes), 2))


def pair_number(a: int, b: int, n_classes: int) -> int:
    """Find the number of the pair (a, b), a < b."""
    return a * n_classes - a * (a + 1) // 2 + b - a - 1


def pair_numbers(n_classes: int) -> NDArray[np.intp]:
    """Find the pair that each row of coefficients of a class belongs to.

    Parameters
    ----------
    n_classes : int

    Returns
    -------
    ndarray of shape (n_classes, n_classes - 1)
        Entry (c, r) is the number of the pair of class c and the class that
        row r of c's coefficients stands for.
    """
    numbers = np.empty((n_classes, n_classes - 1), dtype=np.intp)
    for number, (a, b) in enumerate(class_pairs(n_classes)):
        numbers[a, b - 1] = number
        numbers[b, a] = number
    return numbers


def votes(decisions: FloatArray, n_classes: int) -> NDArray[np.intp]:
    """Count each class's votes.

    Parameters
    ----------
    decisions : ndarray of shape (n_samples, n_pairs)
    n_classes : int

    Returns
    -------
    ndarray of shape (n_samples, n_classes)
    """
    counts = np.zeros((decisions.shape[0], n_classes), dtype=np.intp)
    for number, (a, b) in enumerate(class_pairs(n_classes)):
        first_wins = decisions[:, number] > 0
        counts[:, a] += first_wins
        counts[:, b] += ~first_wins
    return counts
