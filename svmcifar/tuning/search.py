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
from svmcifar.svm.path.grid import Grid, Point
from svmcifar.tuning.halving import draw_share, plan_rounds, survivors
from svmcifar.tuning.result import RoundScores, SearchResult, make_result

Array = NDArray[Any]


def search_svc(
    svc: RBFSVC,
    grid: Grid,
    X: ArrayLike,
    y: ArrayLike,
    splits: Iterable[tuple[ArrayLike, ArrayLike]],
    *,
    halving: bool = False,
    seed: int = 0,
) -> SearchResult:
    """Search C, gamma and the number of features for samples that are at hand.

    The scores are those of `sklearn.model_selection.GridSearchCV` over the same splits, but every
    distance is computed once a split.

    Parameters
    ----------
    svc : RBFSVC
        Its parameters besides C and gamma, which have no effect; it is not fitted.
    grid : Grid
    X : array-like of shape (n_samples, n_features), float32 or float64
        On the host.
    y : array-like of shape (n_samples,)
        Class labels.
    splits : iterable of (array-like, array-like)
        Rows to train on and rows to score on, such as a splitter of scikit-learn gives.
    halving : bool, default=False
        Whether to search by successive halving (see `svmcifar.tuning.halving`) instead of training
        every point on all of the training part.
    seed : int, default=0
        Of the samples that its rounds draw.

    Returns
    -------
    SearchResult

    Raises
    ------
    InputError
        If `svc` has parameters that a search has no use for, or samples are not what
        `RBFSVC.fit` takes.
    MemoryLimitError
        If kernel blocks of one pair and the coefficients do not fit the memory limit.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.model_selection import StratifiedKFold
    >>> X, y = load_iris(return_X_y=True)
    >>> grid = Grid(C=[0.01, 1], gamma=["0.5x", "1x"])
    >>> found = search_svc(RBFSVC(), grid, X, y, StratifiedKFold(3).split(X, y))
    >>> found.best.C, bool(found.best.score > 0.9)
    (1.0, True)
    """
    X, y = np.asarray(X), np.asarray(y)
    if X.dtype not in (np.float32, np.float64):
        X = X.astype(np.float64)

    def maker(train: Array, held_out: Array) -> PartMaker:
        return lambda: Part(X[train], y[train], X[held_out], y[held_out])

    makers = [maker(*map(np.asarray, split)) for split in splits]
    return search_parts(svc, grid, makers, halving=halving, seed=seed)


def search_parts(
    svc: RBFSVC,
    grid: Grid,
    makers: Sequence[PartMaker],
    *,
    halving: bool = False,
    seed: int = 0,
) -> SearchResult:
    """Search over parts that are made one at a time.

    Parameters
    ----------
    svc, grid, halving, seed
        As for `search_svc`.
    makers : sequence of callable
        Each makes a `Part`.  It is called once; with `halving` all parts are kept.

    Returns
    -------
    SearchResult

    Raises
    ------
    InputError, MemoryLimitError
        As for `search_svc`.
    """
    _require_searchable(svc, makers)
    points, run = grid.points, _Run(svc)
    if not halving:
        return run.result(grid, [run.score(points, makers)])
    parts = [run.make(maker) for maker in makers]
    smallest = min(int(np.unique(part.y_train, return_counts=True)[1].min()) for part in parts)
    rounds: list[RoundScores] = []
    for n_points, share in plan_rounds(len(points), smallest):
        if rounds:
            scores = np.stack([split.accuracy for split in rounds[-1].scored], axis=1).mean(axis=1)
            points = [points[i] for i in survivors(scores, n_points)]
        rounds.append(run.score(points, [_on_share(part, share, seed) for part in parts]))
    return run.result(grid, rounds)


def _require_searchable(svc: RBFSVC, makers: Sequence[PartMaker]) -> None:
    """Refuse what a search cannot do, before anything is computed."""
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


def _on_share(part: Part, share: float, seed: int) -> PartMaker:
    if share == 1:
        return lambda: part
    return lambda: part.training_on(draw_share(part.y_train, share, seed))


class _Run:
    """Makes parts and scores points, and keeps count of the seconds."""

    def __init__(self, svc: RBFSVC) -> None:
        self.svc = svc
        self.times = {"features_s": 0.0, "solve_s": 0.0, "score_s": 0.0}

    def make(self, maker: PartMaker) -> Part:
        """Make a part."""
        clock = perf_counter()
        part = maker()
        self.times["features_s"] += perf_counter() - clock
        return part

    def score(self, points: Sequence[Point], makers: Sequence[PartMaker]) -> RoundScores:
        """Score points on every part."""
        scored = []
        for number, maker in enumerate(makers, 1):
            part = self.make(maker)
            name = f"split {number} of {len(makers)}, {len(points)} settings"
            n_classes = len(np.unique(part.y_train))
            total = len(points) * len(class_pairs(n_classes))
            with tqdm(total=total, desc=name, unit="pair", disable=not self.svc.verbose) as bar:
                scored.append(evaluate_points(part, points, self.svc, bar.update))
            self.times["solve_s"] += scored[-1].solve_s
            self.times["score_s"] += scored[-1].score_s
            del part  # before the next is made
        return RoundScores(points, scored)

    def result(self, grid: Grid, rounds: Sequence[RoundScores]) -> SearchResult:
        """Put the rounds together, and warn of what has not converged."""
        result = make_result(grid, rounds, self.times)
        if n_unsolved := int(result.table["unconverged"].sum()):
            warnings.warn(
                f"{n_unsolved} pairs of {(result.table['unconverged'] > 0).sum()} settings ended "
                f"with a KKT gap above tol={self.svc.tol:g} (max_iter={self.svc.max_iter}). "
                f"Raise max_iter or tol; the table counts them.",
                ConvergenceWarning,
                stacklevel=4,
            )
        return result
