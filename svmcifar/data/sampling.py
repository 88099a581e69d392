"""Random draws of images that are even over the classes: subsets, held-out parts and folds."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import StratifiedKFold

from svmcifar.errors import InputError

Rows = NDArray[np.intp]


class RowSplit(NamedTuple):
    """Rows to train on and rows to score on, ascending and disjoint."""

    train: Rows
    held_out: Rows


def draw_rows(labels: NDArray[np.int64], limit: int, seed: int) -> Rows:
    """Draw `limit` training images, evenly over the classes; return their rows, ascending.

    Raise InputError if there are fewer images, or fewer to draw than classes.
    """
    n_classes = len(np.unique(labels))
    if not n_classes <= limit <= len(labels):
        raise InputError(
            f"The number of training images must be from {n_classes}, one a class, "
            f"to {len(labels)}. Got {limit} instead."
        )
    shuffled, ranks = _rank_in_class(labels, seed)
    return np.sort(shuffled[np.argsort(ranks, kind="stable")[:limit]])


def hold_out(labels: NDArray[np.int64], share: float, seed: int) -> NDArray[np.bool_]:
    """Choose images to hold out, the same share in [0, 1) of each class; return a mask.

    With a share above 0, a class of two or more images holds out at least one and keeps one.
    """
    chosen = np.zeros(len(labels), dtype=bool)
    if share > 0:
        shuffled, ranks = _rank_in_class(labels, seed)
        sizes = np.bincount(labels)
        n_held_out = np.clip(np.round(share * sizes), 1, np.maximum(sizes - 1, 0))
        chosen[shuffled[ranks < n_held_out[labels[shuffled]]]] = True
    return chosen


def holdout_split(labels: NDArray[Any], n_held_out: int | None = None, seed: int = 0) -> RowSplit:
    """Hold out `n_held_out` samples, drawn evenly over the classes: counts differ by at most one.

    A fifth of the samples by default, and at least one a class.  Raise InputError for fewer than
    one a class, or if a class would have no sample to train on.
    """
    values, counts = np.unique(labels, return_counts=True)
    if counts.min() < 2:
        raise InputError(
            f"A search must have two or more images of every class, to train on and to hold out. "
            f"Got {counts.min()} of one class, {len(labels)} in all. Take more."
        )
    if n_held_out is None:
        n_held_out = max(len(labels) // 5, len(values))
    if not len(values) <= n_held_out <= len(labels) - len(values):
        raise InputError(
            f"The number of held-out images must be from {len(values)}, one a class, to "
            f"{len(labels) - len(values)}, which leaves one a class to train on. "
            f"Got {n_held_out} instead."
        )
    held_out = draw_rows(labels, n_held_out, seed)
    left = counts - np.bincount(np.searchsorted(values, labels[held_out]), minlength=len(values))
    if left.min() == 0:
        raise InputError(
            f"Held-out images must leave one of every class to train on. "
            f"Got {n_held_out} of {len(labels)}, all {counts[left == 0][0]} of one class. "
            f"Hold out fewer."
        )
    return RowSplit(np.setdiff1d(np.arange(len(labels)), held_out), held_out)


def fold_splits(labels: ArrayLike, n_folds: int, seed: int = 0) -> list[RowSplit]:
    """Return the splits of ``StratifiedKFold(n_folds, shuffle=True, random_state=seed)``.

    Raise InputError for fewer than two folds, or more than the smallest class has samples.
    """
    labels = np.asarray(labels)
    smallest = int(np.unique(labels, return_counts=True)[1].min())
    if smallest < 2:
        raise InputError(
            f"Folds must have two or more images of every class to share out. Got {smallest} of "
            f"one class, {len(labels)} in all. Take more."
        )
    if not 2 <= n_folds <= smallest:
        raise InputError(
            f"The number of folds must be from 2 to {smallest}, the images of the smallest class. "
            f"Got {n_folds} instead."
        )
    folds = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
    return [RowSplit(*rows) for rows in folds.split(np.zeros(len(labels)), labels)]


def _rank_in_class(labels: NDArray[np.int64], seed: int) -> tuple[Rows, NDArray[np.int64]]:
    """Return the rows, shuffled within each class and class by class, and their ranks in it."""
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    in_order = labels[by_class]
    return by_class, np.arange(len(labels)) - np.searchsorted(in_order, in_order)
