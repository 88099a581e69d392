"""The points of a search as one-vs-one problems that share samples and kernels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from svmcifar.svm.estimator import SVC
from svmcifar.svm.kernels.registry import make_kernel
from svmcifar.svm.moments import moments, resolve_gamma
from svmcifar.svm.one_vs_one import pair_number
from svmcifar.svm.path.grid import Point
from svmcifar.svm.problem import OvOProblem, TrainingSet, sort_by_class
from svmcifar.svm.samples import SampleBlocks

Array = NDArray[Any]


@dataclass(frozen=True)
class Path:
    """Points that differ in C alone, and room for their solutions.

    Coefficients ``y_i alpha_i`` are in LIBSVM's layout (see `svmcifar.svm.one_vs_one`), in the
    samples' dtype; `stats` are what `svmcifar.svm.backends.smo.solve_path` returns for each pair.
    """

    points: tuple[int, ...]  # indices into the points of the search
    C: Array  # (n_C,) float64, ascending
    problem: OvOProblem  # that of C = 1
    coef: Array  # (n_C, n_classes - 1, n_samples)
    stats: Array  # (n_C, n_pairs, 3) float64

    @classmethod
    def empty(cls, points: Sequence[int], C: Sequence[float], problem: OvOProblem) -> "Path":
        """Build a path with room for the solutions."""
        samples, n_classes = problem.samples, problem.n_classes
        coef = np.zeros((len(C), n_classes - 1, len(samples)), dtype=samples.X.dtype)
        stats = np.full((len(C), n_classes * (n_classes - 1) // 2, 3), np.nan)
        return cls(tuple(points), np.array(C, dtype=np.float64), problem, coef, stats)

    def store(self, a: int, b: int, betas: Array, stats: Array) -> None:
        """Write what `solve_path` returns for the pair (a, b), a < b, to its place."""
        in_a, in_b = self.problem.rows(a), self.problem.rows(b)
        n_a = in_a.stop - in_a.start
        self.coef[:, b - 1, in_a] = betas[:, :n_a]
        self.coef[:, a, in_b] = betas[:, n_a:]
        self.stats[:, pair_number(a, b, self.problem.n_classes)] = stats

    def coef_of(self, a: int, b: int) -> Array:
        """Return the coefficients of the pair (a, b), a < b, (n_C, n_a + n_b)."""
        in_a, in_b = self.problem.rows(a), self.problem.rows(b)
        return np.concatenate([self.coef[:, b - 1, in_a], self.coef[:, a, in_b]], axis=1)

    @property
    def samples(self) -> SampleBlocks:
        """The training samples."""
        return self.problem.samples

    @property
    def n_features(self) -> int:
        """Number of features in use."""
        return self.samples.X.shape[1]


@dataclass(frozen=True)
class SearchProblem:
    """All points of a search on one training part."""

    classes: Array
    center: Array | None  # (n_features,), subtracted from samples
    paths: tuple[Path, ...]  # fewest features first

    @property
    def sizes(self) -> list[int]:
        """Number of samples of each class."""
        return self.paths[0].problem.sizes

    @property
    def dtype(self) -> np.dtype:
        """Precision of samples and distances."""
        return self.paths[0].samples.X.dtype


def make_problem(X: Array, y: Array, points: Sequence[Point], svc: SVC) -> SearchProblem:
    """Build the problems of all points from a training part.

    "scale" is that of these samples; parameters besides C and gamma come from `svc`.  Raise
    InputError for what `RBFSVC.fit` does not accept.
    """
    widths = [point.n_components or X.shape[1] for point in points]
    X = X[:, : max(widths)]
    training = sort_by_class(X, y, svc.class_weight, min(point.C for point in points))
    scales = {width: _scale(X, width, training) for width in set(widths)}
    settings = [
        (width, point.gamma.resolve(scales[width]))
        for width, point in zip(widths, points, strict=True)
    ]
    kernels = [(width, make_kernel("rbf", gamma=gamma)) for width, gamma in sorted(set(settings))]
    problems = training.problems(kernels, 1.0, svc.tol, svc.max_iter)

    def path(setting: tuple[int, float], problem: OvOProblem) -> Path:
        places = [i for i, other in enumerate(settings) if other == setting]
        places.sort(key=lambda i: points[i].C)
        return Path.empty(places, [points[i].C for i in places], problem)

    paths = map(path, sorted(set(settings)), problems)
    return SearchProblem(training.classes, training.center(kernels[0][1]), tuple(paths))


def _scale(X: Array, width: int, training: TrainingSet) -> float:
    """Compute gamma="scale" of the first columns."""
    is_whole = width == X.shape[1]
    variance = (training.moments if is_whole else moments(X[:, :width])).variance
    return resolve_gamma("scale", width, variance)
