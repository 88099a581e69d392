"""Random draws of images that are even over the classes: subsets, held-out parts and folds."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import StratifiedKFold

from svmcifar.errors import InputError

Rows = NDArray[np.intp]


class Split(NamedTuple):
    """Rows to train on and rows to score on; they have none in common.

    Attributes
    ----------
    train, held_out : ndarray of int
        Ascending.
    """

    train: Rows
    held_out: Rows


def holdout_split(strata: NDArray[Any], n_held_out: int | None = None, seed: int = 0) -> Split:
    """Hold out a part, drawn evenly over the strata.

    Parameters
    ----------
    strata : ndarray of shape (n_samples,)
        Such as fine classes: each gives as many held-out samples, give or take one.
    n_held_out : int, optional
        A fifth of the samples by default, and at least one a stratum.
    seed : int, default=0

    Returns
    -------
    Split

    Raises
    ------
    InputError
        If it is less than one a stratum, or leaves a stratum without a sample to train on.
    """
    values, counts = np.unique(strata, return_counts=True)
    if counts.min() < 2:
        raise InputError(
            f"A search must have two or more images of every class, to train on and to hold out. "
            f"Got {counts.min()} of one class, {len(strata)} in all. Take more."
        )
    if n_held_out is None:
        n_held_out = max(len(strata) // 5, len(values))
    if not len(values) <= n_held_out <= len(strata) - len(values):
        raise InputError(
            f"The number of held-out images must be from {len(values)}, one a class, to "
            f"{len(strata) - len(values)}, which leaves one a class to train on. "
            f"Got {n_held_out} instead."
        )
    held_out = draw_rows(strata, n_held_out, seed)
    left = counts - np.bincount(np.searchsorted(values, strata[held_out]), minlength=len(values))
    if left.min() == 0:
        raise InputError(
            f"Held-out images must leave one of every class to train on. "
            f"Got {n_held_out} of {len(strata)}, all {counts[left == 0][0]} of one class. "
            f"Hold out fewer."
        )
    return Split(np.setdiff1d(np.arange(len(strata)), held_out), held_out)


def fold_splits(y: ArrayLike, n_folds: int, seed: int = 0) -> list[Split]:
    """Cut samples into folds, each held out once, with the classes in equal shares.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Class labels.
    n_folds : int
        At least 2.
    seed : int, default=0

    Returns
    -------
    list of Split
        Those of ``StratifiedKFold(n_folds, shuffle=True, random_state=seed)``.

    Raises
    ------
    InputError
        If there are fewer than two folds, or more than the smallest class has samples.
    """
    y = np.asarray(y)
    smallest = int(np.unique(y, return_counts=True)[1].min())
    if smallest < 2:
        raise InputError(
            f"Folds must have two or more images of every class to share out. Got {smallest} of "
            f"one class, {len(y)} in all. Take more."
        )
    if not 2 <= n_folds <= smallest:
        raise InputError(
            f"The number of folds must be from 2 to {smallest}, the images of the smallest class. "
            f"Got {n_folds} instead."
        )
    folds = StratifiedKFold(n_folds, shuffle=True, random_state=seed).split(np.zeros(len(y)), y)
    return [Split(train, held_out) for train, held_out in folds]


def draw_rows(fine: NDArray[np.int64], limit: int, seed: int) -> NDArray[np.intp]:
    """Draw training images, evenly over the fine classes.

    Parameters
    ----------
    fine : ndarray of shape (n_images,)
        Fine class ids.
    limit : int
        Images to draw.
    seed : int

    Returns
    -------
    ndarray of shape (limit,), ascending

    Raises
    ------
    InputError
        If there are fewer images, or fewer to draw than classes.
    """
    n_classes = len(np.unique(fine))
    if not n_classes <= limit <= len(fine):
        raise InputError(
            f"The number of training images must be from {n_classes}, one a fine class, "
            f"to {len(fine)}. Got {limit} instead."
        )
    shuffled = np.random.default_rng(seed).permutation(len(fine))
    # Rank each image within its class, in shuffled order; low ranks of all classes come first.
    by_class = shuffled[np.argsort(fine[shuffled], kind="stable")]
    starts = np.searchsorted(fine[by_class], fine[by_class])
    ranks = np.arange(len(fine)) - starts
    return np.sort(by_class[np.argsort(ranks, kind="stable")[:limit]])


def hold_out(labels: NDArray[np.int64], share: float, seed: int) -> NDArray[np.bool_]:
    """Choose images to hold out, the same share of each class and at least one of it.

    Parameters
    ----------
    labels : ndarray of shape (n_images,)
    share : float
        From 0 to below 1.  0 holds out nothing; otherwise a class keeps at least one image.
    seed : int

    Returns
    -------
    ndarray of shape (n_images,), bool
    """
    if share == 0:
        return np.zeros(len(labels), dtype=bool)
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    sizes = np.bincount(labels)
    ranks = np.arange(len(labels)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    chosen = np.zeros(len(labels), dtype=bool)
    n_held_out = np.clip(np.round(share * sizes), 1, np.maximum(sizes - 1, 0))
    chosen[by_class[ranks < np.repeat(n_held_out, sizes)]] = True
    return chosen
