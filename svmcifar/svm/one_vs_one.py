"""One-vs-one: how pairs of classes are numbered, and how their answers are combined.

Pair (a, b), a < b, is number ``a * n_classes - a * (a + 1) / 2 + b - a - 1``; a positive
decision value is a vote for class a.  This is LIBSVM's order and sign.

Coefficients follow LIBSVM's layout too: an array of shape (n_classes - 1, n_samples), where
a sample of class a has its coefficient for the pair with class b in row ``b - 1`` if a < b
and in row ``b`` if a > b.
"""

from collections.abc import Iterable, Iterator
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from svmcifar.errors import InputError

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


def average_views(batches: Iterable[FloatArray], n_views: int) -> Iterator[FloatArray]:
    """Average the decision values of each sample over its views.

    Parameters
    ----------
    batches : iterable of ndarrays of shape (n_batch, n_pairs)
        Views of a sample follow each other, in one batch or from one to the next.
    n_views : int
        Views of each sample.

    Returns
    -------
    iterator of ndarrays of shape (n_samples_of_batch, n_pairs)
        Of the samples whose last view is in the batch.

    Raises
    ------
    InputError
        If the last sample has fewer views than the others.
    """
    rest: FloatArray | None = None
    for batch in batches:
        views = batch if rest is None else np.concatenate([rest, batch])
        n_samples, n_more = divmod(len(views), n_views)
        rest = views[-n_more:] if n_more else None
        complete = views[: n_samples * n_views]
        yield complete.reshape(n_samples, n_views, views.shape[1]).mean(axis=1)
    if rest is not None:
        raise InputError(
            f"Every sample must have {n_views} views. Got {len(rest)} of the last one. "
            f"Give the views of a sample one after the other."
        )
