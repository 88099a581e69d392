"""The search: every point of a grid on every split."""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import replace
from numbers import Real
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import check_cv
from sklearn.utils import check_X_y
from sklearn.utils.multiclass import check_classification_targets

from svmcifar.compute.progress import stage
from svmcifar.errors import InputError
from svmcifar.svm.estimator import RBFSVC, SVC
from svmcifar.svm.one_vs_one import class_pairs
from svmcifar.svm.path.evaluate import Part, PartMaker, evaluate_points
from svmcifar.svm.path.grid import DEFAULT_C, DEFAULT_GAMMA, Gamma, Grid
from svmcifar.tuning.result import SearchResult, make_result

Array = NDArray[Any]


def search_svc(
    X: ArrayLike,
    y: ArrayLike,
    *,
    C: float | Iterable[float] = DEFAULT_C,
    gamma: float | str | Iterable[float | str | Gamma] = DEFAULT_GAMMA,
    n_components: Iterable[int | None] = (None,),
    cv: Any = 5,
    svc: SVC | None = None,
    refit: bool = True,
) -> SearchResult:
    """Search C and gamma by cross-validation.

    Scores are those of `sklearn.model_selection.GridSearchCV` over the same splits, but every
    distance is computed once per split, so that a grid of 25 takes as long as 4 to 10 fits.  Where
    the memory limit does not allow that, settings are fitted one by one.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features), float32 or float64
        On the host.
    y : array-like of shape (n_samples,)
        Class labels.
    C : float or iterable of float, default=(1, 3, 10, 30, 100)
        Values to try.
    gamma : float, str or iterable of these, default=("0.25x", "0.5x", "1x", "2x", "4x")
        Values to try: all numbers, or all multiples of "scale" (of each training part) as text.
    n_components : iterable of int or None, default=(None,)
        Numbers of features to try, where the first ones tell most, as those of PCA do; None for
        all.
    cv : int, splitter or iterable of (array-like, array-like), default=5
        Number of stratified folds, or a splitter or splits, as for `GridSearchCV`: with groups
        ``GroupKFold(5).split(X, y, groups)``.
    svc : RBFSVC, optional
        Its other parameters; it is not fitted.
    refit : bool, default=True
        Whether to fit an RBFSVC with the best setting on all samples.

    Returns
    -------
    SearchResult
        With ``best``, ``table`` (a DataFrame, the best setting first) and ``best_estimator``, whose
        gamma is ``best.gamma``.

    Raises
    ------
    InputError
        If there are no splits, a parameter of `svc` is invalid or cannot be searched with, or
        samples are not what `RBFSVC.fit` takes.
    MemoryLimitError
        If not even a few kernel rows of the largest pair fit the memory limit.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from svmcifar import search_svc
    >>> X, y = load_iris(return_X_y=True)
    >>> result = search_svc(X, y, C=[0.01, 1], gamma=["0.5x", "1x"], cv=3)
    >>> result.best.C, bool(result.best.score > 0.9)
    (1.0, True)
    >>> result.best_estimator.predict(X[:2])
    array([0, 0])
    """
    svc = RBFSVC() if svc is None else svc
    _require_rbfsvc(svc)
    grid = Grid(_listed(C), _listed(gamma), n_components)
    types = [np.float64, np.float32]
    samples, labels = check_X_y(X, y, dtype=types, ensure_all_finite=False, estimator="search_svc")
    check_classification_targets(labels)

    def maker(train: Array, held_out: Array) -> PartMaker:
        return lambda: Part(samples[train], labels[train], samples[held_out], labels[held_out])

    splits = check_cv(cv, labels, classifier=True).split(samples, labels)
    result = search_parts(svc, grid, [maker(*map(np.asarray, split)) for split in splits])
    if not refit:
        return result
    best, chosen = result.best, clone(svc)
    chosen.set_params(C=best.C, gamma=best.gamma)
    chosen.fit(X if best.n_components is None else samples[:, : best.n_components], labels)
    return replace(result, best_estimator=chosen)


def _listed(values: Any) -> Iterable[Any]:
    """Return one value as a list."""
    return [values] if isinstance(values, Real | str | Gamma) else values


def search_parts(svc: SVC, grid: Grid, makers: Sequence[PartMaker]) -> SearchResult:
    """Search a grid over parts that are made one at a time, each once; nothing is refitted.

    Parameters and errors as of `search_svc`.
    """
    _require_searchable(svc, makers)
    points, scored = grid.points, []
    times = {"features_s": 0.0, "solve_s": 0.0, "score_s": 0.0}
    for number, maker in enumerate(makers, 1):
        clock = perf_counter()
        part = maker()
        times["features_s"] += perf_counter() - clock
        name = f"split {number} of {len(makers)}, {len(points)} settings"
        total = len(points) * len(class_pairs(len(np.unique(part.y_train))))
        with stage(name, total, "pairs", bar=svc.verbose) as solving:
            scored.append(evaluate_points(part, points, svc, solving.advance))
        times["solve_s"] += scored[-1].solve_s
        times["score_s"] += scored[-1].score_s
        del part  # before the next is made
    result = make_result(grid, scored, times)
    _warn_unconverged(result, svc)
    return result


def _require_rbfsvc(svc: Any) -> None:
    if not isinstance(svc, SVC):
        name = " ".join(repr(svc).split())
        raise InputError(
            f"A search is of an RBFSVC. Got {name} instead. Transform the samples before, or use "
            f"sklearn.model_selection.GridSearchCV."
        )


def _require_searchable(svc: SVC, makers: Sequence[PartMaker]) -> None:
    """Raise InputError if the estimator or the splits cannot be searched with."""
    svc._validate_params()
    if svc.kernel != "rbf":
        raise InputError(
            f"A search is over the kernel 'rbf' alone. Got {svc.kernel!r} instead. "
            f"Use sklearn.model_selection.GridSearchCV for it."
        )
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


def _warn_unconverged(result: SearchResult, svc: SVC) -> None:
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
