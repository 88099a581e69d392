"""Scores of the points of a search on one split."""

import warnings
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from svmcifar.compute.memory import default_memory_limit, parse_bytes
from svmcifar.compute.threads import count_workers
from svmcifar.errors import InputError
from svmcifar.svm.backends.smo_numba import GAP, N_ITER
from svmcifar.svm.estimator import SVC
from svmcifar.svm.kernels.kernel import Precision
from svmcifar.svm.path.grid import Point
from svmcifar.svm.path.memory_plan import make_search_plan, samples_bytes
from svmcifar.svm.path.predict import predict_points
from svmcifar.svm.path.problem import Path, make_problem
from svmcifar.svm.path.schedule import solve_paths
from svmcifar.svm.problem import Progress
from svmcifar.svm.rounding import doubtful_pairs, typical_value

Array = NDArray[Any]


class Part(NamedTuple):
    """Samples to train on and to score on, of one split.

    X has one or more rows a label: successive rows are views of one sample.  On held-out samples
    the pairs' decision values are averaged over the views.
    """

    X_train: Array  # (n_train * n_train_views, n_features), float32 or float64
    y_train: Array  # (n_train,)
    X_held_out: Array  # (n_held_out * n_held_out_views, n_features), same dtype
    y_held_out: Array  # (n_held_out,)

    @property
    def n_train_views(self) -> int:
        """Views of each training sample."""
        return len(self.X_train) // len(self.y_train)

    @property
    def n_held_out_views(self) -> int:
        """Views of each held-out sample."""
        return len(self.X_held_out) // len(self.y_held_out)


# Makes a part; features of images are fitted when it is called.
PartMaker = Callable[[], Part]


class Scored(NamedTuple):
    """Scores of the points on one split; arrays are of shape (n_points,)."""

    accuracy: Array  # float64
    gamma: Array  # kernel coefficients in use, float64
    n_iter: Array  # SMO steps, int64
    unconverged: Array  # pairs that ended with a gap above tol, int64
    n_support: Array  # support vectors, int64
    n_train: int  # samples
    n_held_out: int
    memory_plan: str
    solve_s: float  # seconds
    score_s: float


def evaluate_points(
    part: Part,
    points: Sequence[Point],
    svc: SVC,
    progress: Progress = lambda n_solved: None,
) -> Scored:
    """Train at every point, each once, on the training samples, and score on the held-out ones.

    Parameters besides C and gamma come from `svc`; `progress` is called with the number of pairs
    just solved, counted for each point.  Raise InputError if samples are not what `RBFSVC.fit`
    accepts or have fewer features than a point uses, MemoryLimitError if not even one point
    fits the memory limit.
    """
    _require_features(part.X_train, points)
    _require_held_out(part.X_held_out, part.X_train)
    clock = perf_counter()
    y = np.repeat(part.y_train, part.n_train_views)
    problem = make_problem(part.X_train, y, points, svc)
    if svc.memory_limit is None:
        limit = default_memory_limit(samples_bytes(problem))
    else:
        limit = parse_bytes(svc.memory_limit)
    gamma = [path.problem.kernel.gamma for path in problem.paths for _ in path.points]
    in_order = np.argsort(np.concatenate([path.points for path in problem.paths]))
    gamma_of_point = np.array(gamma)[in_order]
    plan = make_search_plan(problem, count_workers(svc.n_jobs), limit)
    if plan is None:
        del problem
        return _score_each_alone(part, points, svc, gamma_of_point, progress)
    solve_paths(problem, plan, progress)
    solve_s = perf_counter() - clock
    predicted = predict_points(problem, plan, part.X_held_out, part.n_held_out_views)
    score_s = perf_counter() - clock - solve_s
    stats = np.concatenate([path.stats for path in problem.paths])
    coef = [coef for path in problem.paths for coef in path.coef]
    scored = Scored(
        accuracy=(predicted == part.y_held_out).mean(axis=1),
        gamma=gamma_of_point,
        n_iter=stats[in_order, :, N_ITER].sum(axis=1).astype(np.int64),
        unconverged=(stats[in_order, :, GAP] > svc.tol).sum(axis=1),
        n_support=np.array([(c != 0).any(axis=0).sum() for c in coef])[in_order],
        n_train=len(part.y_train),
        n_held_out=len(part.y_held_out),
        memory_plan=plan.describe(),
        solve_s=solve_s,
        score_s=score_s,
    )
    for path in problem.paths:
        for place, point in enumerate(path.points):
            if _is_doubtful(path, place):
                _score_alone(part, points[point], svc, scored, point)
    return scored


def _score_each_alone(
    part: Part, points: Sequence[Point], svc: SVC, gamma: Array, progress: Progress
) -> Scored:
    """Fit and score the points one by one, where they do not fit the memory together."""
    clock = perf_counter()
    scored = Scored(
        accuracy=np.empty(len(points)),
        gamma=gamma,
        n_iter=np.empty(len(points), dtype=np.int64),
        unconverged=np.empty(len(points), dtype=np.int64),
        n_support=np.empty(len(points), dtype=np.int64),
        n_train=len(part.y_train),
        n_held_out=len(part.y_held_out),
        memory_plan="",
        solve_s=0.0,
        score_s=0.0,
    )
    for number, point in enumerate(points):
        model = _score_alone(part, point, svc, scored, number)
        progress(len(model.gap_))
    plan = f"each setting by itself: {model.memory_plan_}"
    return scored._replace(memory_plan=plan, solve_s=perf_counter() - clock)


def _is_doubtful(path: Path, place: int) -> bool:
    """Return whether rounding may move decision values of a point (`svmcifar.svm.rounding`)."""
    problem, samples = path.problem, path.samples
    sums = problem.precision.unit_roundoff
    relative = problem.kernel.rounding(samples.sq_norms.astype(np.float64), problem.precision)
    # Kernel values are float32 while a path is solved, and coefficients have the samples' dtype.
    doubtful = doubtful_pairs(
        path.coef[place],
        problem.starts,
        relative + Precision.FLOAT32.unit_roundoff + sums,
        sums,
        problem.tol,
        lambda: typical_value(problem.kernel, samples.X, None),
    )
    return len(doubtful) > 0


def _score_alone(part: Part, point: Point, svc: SVC, scored: Scored, number: int) -> SVC:
    """Fit and score one point by the estimator, which takes the precision that it needs."""
    columns = slice(0, point.n_components)
    parameters = {"C": point.C, "gamma": float(scored.gamma[number]), "verbose": False}
    model = clone(svc).set_params(**parameters)
    with warnings.catch_warnings():
        # A search counts what has not converged.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(part.X_train[:, columns], np.repeat(part.y_train, part.n_train_views))
    X = part.X_held_out[:, columns]
    predicted, _ = model.predict_with_decisions(X, n_views=part.n_held_out_views)
    scored.accuracy[number] = (predicted == part.y_held_out).mean()
    scored.n_iter[number] = model.n_iter_.sum()
    scored.unconverged[number] = (model.gap_ > svc.tol).sum()
    scored.n_support[number] = model.n_support_.sum()
    return model


def _require_held_out(X: Array, X_train: Array) -> None:
    if X.ndim != 2 or len(X) == 0 or X.shape[1] != X_train.shape[1] or not np.isfinite(X).all():
        raise InputError(
            f"Held-out samples must be one or more, finite, with the {X_train.shape[1]} features "
            f"of those that are trained on. Got shape {X.shape}"
            f"{', NaN or infinity among them' if X.size and X.ndim == 2 else ''} instead."
        )


def _require_features(X: Array, points: Sequence[Point]) -> None:
    if X.ndim != 2:
        raise InputError(
            f"Samples to search on must be of shape (n_samples, n_features). Got {X.shape} instead."
        )
    n_features, most = X.shape[1], max(point.n_components or 1 for point in points)
    if most > n_features:
        raise InputError(
            f"A number of components to search must be at most {n_features}, the features there "
            f"are. Got {most} instead."
        )
