"""Decision values of training samples by models that did not see them, for the pairs' sigmoids."""

from collections.abc import Callable
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import gen_batches

from svmcifar.compute.arrays import get_namespace, move_beside, take_rows, to_host
from svmcifar.compute.progress import stage
from svmcifar.compute.threads import count_workers
from svmcifar.errors import InputError
from svmcifar.svm.one_vs_one import pair_numbers
from svmcifar.svm.prediction import Predictor
from svmcifar.svm.problem import TrainingSet
from svmcifar.svm.sharpness import HeldOut, fit_sharpness
from svmcifar.svm.sigmoids import fit_sigmoids

if TYPE_CHECKING:
    from svmcifar.svm.estimator import SVC

FloatArray = NDArray[np.float64]
Ids = NDArray[np.intp]

N_FOLDS = 5
# Samples read on the host at a time.
_BATCH_ROWS = 4096
# Samples whose decision values for all pairs are kept until the sigmoids are known: fewer of many
# classes, whose coupling takes time and memory.
_MOST_KEPT, _LEAST_KEPT, _MOST_KEPT_VALUES = 2000, 100, 20_000_000

# A and B of each pair, (n_pairs,).
Sigmoids = tuple[FloatArray, FloatArray]

# Fits a model to samples, class codes and weights.
FitFold = Callable[[Any, Ids, FloatArray], "SVC"]


def fit_sigmoids_out_of_fold(
    training: TrainingSet,
    fit_fold: FitFold,
    n_views: int,
    n_jobs: int | None,
    *,
    is_pairwise: bool = False,
) -> Sigmoids:
    """Fit the pairs' sigmoids on decision values by models of the other folds.

    Parameters
    ----------
    training : TrainingSet
    fit_fold : callable
        Fits a model to the samples of all folds but one, with class codes as labels.
    n_views : int
        Successive rows that show the same sample: they are in one fold, and their decision values
        are averaged.
    n_jobs : int or None
        Threads, as in joblib.
    is_pairwise : bool, default=False
        Whether samples are kernel values against all samples.

    Returns
    -------
    A, B : ndarray of shape (n_pairs,)
        See `svmcifar.svm.sigmoids.fit_sigmoids`.

    Raises
    ------
    InputError
        If the views of a sample are incomplete or have several classes.
    """
    codes, weight = _spread(training)
    of_sample, weight_of_sample = _join_views(codes, weight, n_views)
    n_classes, n_workers = len(training.classes), count_workers(n_jobs)
    hashes = hash_samples(training.X, n_views)
    folds = assign_folds(hashes, of_sample)
    is_kept = _draw(hashes, folds, n_classes)
    decisions = np.zeros((len(of_sample), n_classes - 1))
    kept = []
    fold_of_row = np.repeat(folds, n_views)
    numbers = pair_numbers(n_classes)
    for fold in range(folds.max() + 1):
        rows = np.flatnonzero((fold_of_row != fold) & (weight > 0))
        held_out = np.flatnonzero(folds == fold)
        with stage(f"probabilities, fold {fold + 1} of {folds.max() + 1}"):
            columns = rows if is_pairwise else None
            model = fit_fold(_take(training.X, rows, columns), codes[rows], weight[rows])
            X = _take(training.X, np.flatnonzero(fold_of_row == fold), columns)
            done = 0
            for pairwise in map(to_host, Predictor(model).pairwise(X, n_views)):
                samples = held_out[done : done + len(pairwise)]
                pairs = numbers[of_sample[samples]]
                decisions[samples] = np.take_along_axis(pairwise, pairs, axis=1)
                kept.append(pairwise[is_kept[samples]])
                done += len(pairwise)

    order = np.argsort(of_sample, kind="stable")[np.count_nonzero(of_sample < 0) :]
    starts = np.searchsorted(of_sample[order], np.arange(n_classes + 1))
    own = np.ascontiguousarray(decisions[order].T)

    def fit_without(fold: int) -> Sigmoids:
        """Fit the sigmoids without the decisions of a fold; -1 are the samples in none."""
        counts = np.where((folds < 0) | (folds == fold), 0.0, weight_of_sample)
        return fit_sigmoids(own, counts[order], starts, n_workers)

    A, B = fit_without(-1)
    if not kept or n_classes == 2:
        return A, B
    drawn = np.concatenate([np.flatnonzero(is_kept & (folds == f)) for f in range(folds.max() + 1)])
    parts, values = [], np.concatenate(kept)
    for fold in np.unique(folds[drawn]):
        rows = folds[drawn] == fold
        samples = drawn[rows]
        parts.append(
            HeldOut(values[rows], of_sample[samples], weight_of_sample[samples], *fit_without(fold))
        )
    factor = fit_sharpness(parts, n_classes, n_workers)
    return factor * A, factor * B


def _take(X: Any, rows: Ids, columns: Ids | None) -> Any:
    """Copy rows of an array on its device, and some of their columns."""
    part = take_rows(X, rows)
    if columns is None:
        return part
    return get_namespace(X).take(part, move_beside(columns, X), axis=1)


def assign_folds(hashes: NDArray[np.uint64], codes: Ids) -> NDArray[np.int8]:
    """Deal the samples of each class to `N_FOLDS` folds; -1 for those that are never held out.

    Samples are dealt in the order of their hashes: their own order does not matter, and equal
    samples of a class share a fold.  Never held out are samples of code -1, and those of classes
    that have no other: their models would lack the class.
    """
    order = np.lexsort((hashes, codes))
    is_new_class = np.diff(codes[order], prepend=-2) != 0
    is_new = is_new_class | (np.diff(hashes[order], prepend=0) != 0)
    # Number of each sample among the different ones of its class.
    number = np.cumsum(is_new) - 1
    class_start = np.flatnonzero(is_new_class)
    sizes = np.diff(np.append(class_start, len(order)))
    number -= np.repeat(number[class_start], sizes)
    alone = np.repeat(np.maximum.reduceat(number, class_start) == 0, sizes)
    folds = np.empty(len(order), dtype=np.int8)
    folds[order] = np.where(alone | (codes[order] < 0), -1, number % N_FOLDS)
    return folds


def _draw(hashes: NDArray[np.uint64], folds: NDArray[np.int8], n_classes: int) -> NDArray[np.bool_]:
    """Draw held-out samples whose decision values for all pairs are kept."""
    n = int(np.clip(_MOST_KEPT_VALUES // n_classes**2, _LEAST_KEPT, _MOST_KEPT))
    candidates = np.flatnonzero(folds >= 0)
    is_drawn = np.zeros(len(folds), dtype=np.bool_)
    is_drawn[candidates[np.argsort(hashes[candidates], kind="stable")[:n]]] = True
    return is_drawn


def hash_samples(X: Any, n_views: int) -> NDArray[np.uint64]:
    """Return a hash of the values of each sample, all its views together."""
    n_rows = max(1, _BATCH_ROWS // n_views) * n_views
    hashes = [
        int.from_bytes(blake2b(views.tobytes(), digest_size=8).digest(), "little")
        for rows in gen_batches(X.shape[0], n_rows)
        for views in _samples(to_host(X[rows, :]), n_views)
    ]
    return np.array(hashes, dtype=np.uint64)


def _samples(rows: NDArray[Any], n_views: int) -> NDArray[Any]:
    return rows.reshape(len(rows) // n_views, -1)


def _spread(training: TrainingSet) -> tuple[Ids, FloatArray]:
    """Return class code and weight of each row; -1 and 0 for rows that are left out."""
    codes = np.full(training.X.shape[0], -1, dtype=np.intp)
    weight = np.zeros(len(codes))
    codes[training.order] = training.codes
    weight[training.order] = training.sample_weight
    return codes, weight


def _join_views(codes: Ids, weight: FloatArray, n_views: int) -> tuple[Ids, FloatArray]:
    """Return class code and mean weight of each sample; -1 for one whose views are left out."""
    if len(codes) % n_views:
        raise InputError(
            f"Every sample must have {n_views} views. Got {len(codes)} rows, which leave "
            f"{len(codes) % n_views} for the last one. Give the views of a sample one after the "
            f"other."
        )
    of_views = codes.reshape(-1, n_views)
    of_sample = of_views.max(axis=1)
    several = ((of_views != of_sample[:, None]) & (of_views >= 0)).any(axis=1)
    if several.any():
        first = int(np.argmax(several))
        raise InputError(
            f"The {n_views} views of a sample must have one class. Got several in rows "
            f"{first * n_views} to {(first + 1) * n_views - 1}. Give the views of a sample one "
            f"after the other."
        )
    return of_sample, weight.reshape(-1, n_views).mean(axis=1)
