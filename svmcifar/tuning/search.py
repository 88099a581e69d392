"""The search: every point of a grid on every split."""

import warnings
from collections.abc import Iterable, Sequence
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import ConvergenceWarning
from tqdm import tqdm

from svmcifar.errors import InputError
from svmcifar.svm.estimator import RBFSVC
from svmcifar.svm.one_vs_one import class_pairs
from svmcifar.svm.path.evaluate import Part, PartMaker, evaluate_points
from svmcifar.svm.path.grid import Grid
from svmcifar.tuning.result import SearchResult, make_result

Array = NDArray[Any]


def search_svc(
    svc: RBFSVC,
    grid: Grid,
    X: ArrayLike,
    y: ArrayLike,
    splits: Iterable[tuple[ArrayLike, ArrayLike]],
) -> SearchResult:
    """Search C, gamma and the number of features by cross-validation.

    Scores are those of `sklearn.model_selection.GridSearchCV` over the same splits, but every
    distance is computed once per split.

    Parameters
    ----------
    svc : RBFSVC
        Its parameters but C and gamma; it is not fitted.
    grid : Grid
    X : array-like of shape (n_samples, n_features), float32 or float64
        On the host.
    y : array-like of shape (n_samples,)
        Class labels.
    splits : iterable of (array-like, array-like)
        Rows to train on and rows to score on, as from a splitter of scikit-learn.

    Raises
    ------
    InputError
        If there are no splits, a parameter of `svc` is invalid or cannot be searched with, or
        samples are not what `RBFSVC.fit` takes.
    MemoryLimitError
        If kernel blocks of one pair and the coefficients do not fit the memory limit.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.model_selection import StratifiedKFold
    >>> X, y = load_iris(return_X_y=True)
    >>> grid = Grid(C=[0.01, 1], gamma=["0.5x", "1x"])
    >>> result = search_svc(RBFSVC(), grid, X, y, StratifiedKFold(3).split(X, y))
    >>> result.best.C, bool(result.best.score > 0.9)
    (1.0, True)
    """
    X, y = np.asarray(X), np.asarray(y)
    if X.dtype not in (np.float32, np.float64):
        X = X.astype(np.float64)

    def maker(train: Array, held_out: Array) -> PartMaker:
        return lambda: Part(X[train], y[train], X[held_out], y[held_out])

    return search_parts(svc, grid, [maker(*map(np.asarray, split)) for split in splits])


def search_parts(svc: RBFSVC, grid: Grid, makers: Sequence[PartMaker]) -> SearchResult:
    """Search as `search_svc`, over parts that are made one at a time, each once."""
    _require_searchable(svc, makers)
    points, scored = grid.points, []
    times = {"features_s": 0.0, "solve_s": 0.0, "score_s": 0.0}
    for number, maker in enumerate(makers, 1):
        clock = perf_counter()
        part = maker()
        times["features_s"] += perf_counter() - clock
        name = f"split {number} of {len(makers)}, {len(points)} settings"
        total = len(points) * len(class_pairs(len(np.unique(part.y_train))))
        with tqdm(total=total, desc=name, unit="pair", disable=not svc.verbose) as bar:
            scored.append(evaluate_points(part, points, svc, bar.update))
        times["solve_s"] += scored[-1].solve_s
        times["score_s"] += scored[-1].score_s
        del part  # before the next is made
    result = make_result(grid, scored, times)
    _warn_unconverged(result, svc)
    return result


def _require_searchable(svc: RBFSVC, makers: Sequence[PartMaker]) -> None:
    """Raise InputError if the estimator or the splits cannot be searched with."""
    svc._validate_params()
    if svc.backend not in ("auto", "numba"):
        raise InputError(
            f"A search works by the backend 'numba' alone. Got {svc.backend!r} instead. "
            f"Leave 'auto'."
        )
    if svc.break_ties:
        raise InputError(
            "A search scores by votes alone. Got an RBFSVC with break_ties=True. Leave it False."
        )
    if not makers:
        raise InputError("A search needs a split to score on. Got none. Give one or more.")


def _warn_unconverged(result: SearchResult, svc: RBFSVC) -> None:
    """Warn if pairs ended above the tolerance."""
    unconverged = result.table["unconverged"]
    if n_pairs := int(unconverged.sum()):
        warnings.warn(
            f"{n_pairs} pairs of {(unconverged > 0).sum()} settings ended "
            f"with a KKT gap above tol={svc.tol:g} (max_iter={svc.max_iter}). "
            f"Raise max_iter or tol; the table counts them.",
            ConvergenceWarning,
            stacklevel=4,
        )
