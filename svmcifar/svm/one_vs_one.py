"""One-vs-one: the order of the pairs, the layout of their coefficients, and the vote.

Pair (a, b), a < b, is number ``a * n_classes - a * (a + 1) / 2 + b - a - 1``; a positive
decision value is a vote for class a.  This is LIBSVM's order and sign.

Coefficients follow LIBSVM's layout too, an array of shape (n_classes - 1, n_samples): a sample of
class a has its coefficient for the pair with class b in row ``b - 1`` if a < b, else in row ``b``.
"""

from collections.abc import Iterable, Iterator
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from svmcifar.compute.arrays import get_device, get_namespace, is_host
from svmcifar.compute.jit import njit
from svmcifar.errors import InputError

FloatArray = NDArray[np.float64]


def pair_arrays(n_classes: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the first and the second class of each pair, in order."""
    first, second = np.triu_indices(n_classes, 1)
    return first, second


def class_pairs(n_classes: int) -> list[tuple[int, int]]:
    """Return the pairs of classes in order."""
    return list(combinations(range(n_classes), 2))


def pair_number(a: int, b: int, n_classes: int) -> int:
    """Return the number of the pair (a, b), a < b."""
    return a * n_classes - a * (a + 1) // 2 + b - a - 1


def pair_numbers(n_classes: int) -> NDArray[np.intp]:
    """Return the pair number of row r of class c's coefficients, (n_classes, n_classes - 1)."""
    first, second = pair_arrays(n_classes)
    numbers = np.empty((n_classes, n_classes - 1), dtype=np.intp)
    numbers[first, second - 1] = numbers[second, first] = np.arange(len(first))
    return numbers


def winners(decisions: Any, n_classes: int) -> Any:
    """Return the class with the most votes of each sample; of classes that tie, the first.

    A value of `decisions`, (n_samples, n_pairs), above zero votes for the pair's first class, any
    other for the second.  The result, (n_samples,) of intp, is where the decision values are.
    """
    if not is_host(decisions):
        return get_namespace(decisions).argmax(_votes(decisions > 0.0, n_classes), axis=1)
    result = np.empty(len(decisions), dtype=np.intp)
    _write_winners(decisions, n_classes, result)
    return result


def one_vs_rest(decisions: Any, n_classes: int) -> Any:
    """Return one-vs-rest values, (n_samples, n_classes), of decision values on a device.

    They are scikit-learn's `_ovr_decision_function`, to the bit: votes, of which zero is one for
    the first class, plus a bounded sum of margins.
    """
    xp = get_namespace(decisions)
    numbers, is_second = _pairs_of_classes(decisions, n_classes)
    sign = 1.0 - 2.0 * xp.astype(is_second, xp.float64)
    margins: Any = 0.0
    for r in range(n_classes - 1):  # in this order: sums round
        margins = margins + xp.take(decisions, numbers[:, r], axis=1) * sign[None, :, r]
    votes = _votes(xp.logical_not(decisions < 0.0), n_classes)
    return xp.astype(votes, xp.float64) + margins / (3 * (xp.abs(margins) + 1))


def _votes(first_wins: Any, n_classes: int) -> Any:
    """Count the votes of pairs on a device, (n_samples, n_classes), from (n_samples, n_pairs)."""
    xp = get_namespace(first_wins)
    numbers, is_second = _pairs_of_classes(first_wins, n_classes)
    wins = xp.take(first_wins, xp.reshape(numbers, (-1,)), axis=1)
    wins = xp.astype(wins != xp.reshape(is_second, (1, -1)), xp.int8)
    wins = xp.reshape(wins, (first_wins.shape[0], n_classes, n_classes - 1))
    return xp.sum(wins, axis=2, dtype=xp.int64)


def _pairs_of_classes(beside: Any, n_classes: int) -> tuple[Any, Any]:
    """Return `pair_numbers` on a device, and for each whether the class is the pair's second."""
    xp, device = get_namespace(beside), get_device(beside)
    c = xp.reshape(xp.arange(n_classes, device=device), (-1, 1))
    r = xp.reshape(xp.arange(n_classes - 1, device=device), (1, -1))
    a, b = xp.minimum(c, r), xp.maximum(c, r + 1)
    return a * n_classes - a * (a + 1) // 2 + b - a - 1, r < c


# The compiled functions stay in one file: numba's cache checks the file of a function alone, so a
# callee in another file could be outdated.


@njit(inline="always")
def _vote(decision, a, b, counts):  # type: ignore[no-untyped-def]
    """Count the vote of the pair (a, b)."""
    first_wins = np.int64(decision > 0.0)  # no branch: votes are unpredictable
    counts[a] += first_wins
    counts[b] += 1 - first_wins


@njit(inline="always")
def _winner(counts):  # type: ignore[no-untyped-def]
    """Return the class with the most votes, of those tied the first."""
    return counts.argmax()


@njit(nogil=True, cache=True, error_model="numpy")
def _write_winners(decisions, n_classes, result):  # type: ignore[no-untyped-def]
    """Write the class that wins each row of decision values."""
    counts = np.empty(n_classes, dtype=np.int64)
    for i in range(len(result)):
        counts[:] = 0
        pair = 0
        for a in range(n_classes):
            for b in range(a + 1, n_classes):
                _vote(decisions[i, pair], a, b, counts)
                pair += 1
        result[i] = _winner(counts)


@njit(nogil=True, cache=True, error_model="numpy")
def write_winners_of_parts(values, intercept, n_views, result):  # type: ignore[no-untyped-def]
    """Write the class that wins each sample, from what each class adds to decision values.

    `values`, (n_samples * n_views, n_classes, n_classes - 1), are products of kernel values and
    coefficients, in LIBSVM's layout; decision values are averaged over a sample's views.
    """
    n_classes = values.shape[1]
    counts = np.empty(n_classes, dtype=np.int64)
    for i in range(len(result)):
        counts[:] = 0
        pair = 0
        for a in range(n_classes):
            for b in range(a + 1, n_classes):
                total = 0.0  # the mean has the same sign
                for row in range(i * n_views, (i + 1) * n_views):
                    total += intercept[pair] + values[row, a, b - 1] + values[row, b, a]
                _vote(total, a, b, counts)
                pair += 1
        result[i] = _winner(counts)


@njit(nogil=True, cache=True, error_model="numpy")
def add_to_pairs(values, classes, n_classes, decisions):  # type: ignore[no-untyped-def]
    """Add what some classes add to decision values to those of their pairs.

    `values`, (n_some, n_samples, n_classes - 1), are products of kernel values and coefficients, in
    LIBSVM's layout; `decisions`, (n_samples, n_pairs), are float64.
    """
    for i in range(decisions.shape[0]):
        of_sample = decisions[i]  # with many classes as large as a cache: one sample at a time
        for k in range(len(classes)):
            c = classes[k]
            pair = c - 1  # (0, c), then (1, c) and so on
            for r in range(c):
                of_sample[pair] += values[k, i, r]
                pair += n_classes - 2 - r
            pair = c * n_classes - c * (c + 1) // 2  # (c, c + 1), and its neighbours
            for r in range(c, n_classes - 1):
                of_sample[pair + r - c] += values[k, i, r]


def average_views(batches: Iterable[Any], n_views: int) -> Iterator[Any]:
    """Average decision values over the views of each sample (test-time augmentation).

    Views of a sample follow each other, also across batches.  Yield the means of the samples whose
    last view is in the batch; raise InputError if the last sample has too few views.
    """
    rest: Any = None
    for batch in batches:
        xp = get_namespace(batch)
        views = batch if rest is None else xp.concat([rest, batch])
        n_samples, n_more = divmod(views.shape[0], n_views)
        rest = views[-n_more:, :] if n_more else None
        complete = views[: n_samples * n_views, :]
        yield xp.mean(xp.reshape(complete, (n_samples, n_views, views.shape[1])), axis=1)
    if rest is not None:
        raise InputError(
            f"Every sample must have {n_views} views. Got {rest.shape[0]} of the last one. "
            f"Give the views of a sample one after the other."
        )
