"""From a training part and points to one-vs-one problems that share samples and kernels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.class_weight import compute_class_weight

from svmcifar.svm import validation
from svmcifar.svm.estimator import RBFSVC
from svmcifar.svm.kernel import SampleBlocks, distance_dtype, sample_blocks
from svmcifar.svm.moments import Moments, kernel_center, moments, resolve_gamma
from svmcifar.svm.one_vs_one import pair_number
from svmcifar.svm.path.grid import Point
from svmcifar.svm.problem import OvOProblem, PairSolution

Array = NDArray[Any]
# Columns of `Path.solved`.
INTERCEPT, OBJECTIVE, GAP, N_ITER = range(4)


@dataclass(frozen=True)
class Path:
    """Points that differ in C alone, and room for their solutions.

    Attributes
    ----------
    numbers : tuple of int
        Which of the points they are.
    C : ndarray of shape (n_C,), float64
        Ascending.
    problem : OvOProblem
        That of C = 1.
    coef : ndarray of shape (n_C, n_classes - 1, n_samples), float32 or float64
        ``y_i alpha_i`` in LIBSVM's layout (see `svmcifar.svm.one_vs_one`), as precise as
        prediction has them.
    solved : ndarray of shape (n_C, n_pairs, 4), float64
        Columns `INTERCEPT`, `OBJECTIVE`, `GAP` and `N_ITER`, as in
        `svmcifar.svm.problem.PairSolution`.
    """

    numbers: tuple[int, ...]
    C: Array
    problem: OvOProblem
    coef: Array
    solved: Array

    @classmethod
    def empty(cls, numbers: Sequence[int], C: Sequence[float], problem: OvOProblem) -> "Path":
        """Make room for the solutions."""
        samples, n_classes = problem.samples, problem.n_classes
        coef = np.zeros((len(C), n_classes - 1, len(samples)), dtype=samples.X.dtype)
        solved = np.full((len(C), n_classes * (n_classes - 1) // 2, 4), np.nan)
        return cls(tuple(numbers), np.array(C, dtype=np.float64), problem, coef, solved)

    def upper_bounds(self, a: int, b: int) -> Array:
        """Return the upper bounds of a pair's alphas, shape (n_C, n_a + n_b)."""
        weight = np.concatenate([self.problem.upper[self.problem.rows(c)] for c in (a, b)])
        return self.C[:, None] * weight

    def put(self, a: int, b: int, solutions: Sequence[PairSolution]) -> None:
        """Write the solutions of the pair (a, b), a < b, one for each C, to their place."""
        in_a, in_b = self.problem.rows(a), self.problem.rows(b)
        n_a = in_a.stop - in_a.start
        number = pair_number(a, b, self.problem.n_classes)
        for k, pair in enumerate(solutions):
            self.coef[k, b - 1, in_a] = pair.beta[:n_a]
            self.coef[k, a, in_b] = pair.beta[n_a:]
            self.solved[k, number] = pair.intercept, pair.objective, pair.gap, pair.n_iter

    @property
    def samples(self) -> SampleBlocks:
        """The samples that they are trained on."""
        return self.problem.samples

    @property
    def n_features(self) -> int:
        """How many columns of the samples they use."""
        return self.samples.X.shape[1]


@dataclass(frozen=True)
class SearchProblem:
    """All points of a search on one training part.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
    center : ndarray of shape (n_features,) or None
        Subtracted from samples.
    paths : tuple of Path
        Fewest features first.
    """

    classes: Array
    center: Array | None
    paths: tuple[Path, ...]

    @property
    def sizes(self) -> list[int]:
        """Number of samples of each class."""
        return self.paths[0].problem.sizes

    @property
    def dtype(self) -> np.dtype:
        """Precision of samples and distances."""
        return self.paths[0].samples.X.dtype


def make_problem(X: Array, y: Array, points: Sequence[Point], svc: RBFSVC) -> SearchProblem:
    """Sort samples by class and lay the points out as problems.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), float32 or float64
        The training part.
    y : ndarray of shape (n_samples,)
    points : sequence of Point
        Multiples of "scale" are of these samples' own.
    svc : RBFSVC
        Its parameters besides C and gamma.

    Returns
    -------
    SearchProblem

    Raises
    ------
    InputError
        If samples, classes or bounds are not what `RBFSVC.fit` takes.
    """
    widths = sorted({_width(point, X) for point in points})
    X = X[:, : widths[-1]]
    found = moments(X)
    validation.require_finite(X, found.mean_sq_norm)
    classes, codes = np.unique(y, return_inverse=True)
    sizes = np.bincount(codes)
    validation.require_classes(classes, sizes)
    weight = compute_class_weight(svc.class_weight, classes=classes, y=y)
    order = np.argsort(codes, kind="stable")
    center = kernel_center(found, X.dtype)
    scales = {width: _scale(X, width, found) for width in widths}
    gammas = [(_width(point, X), point.gamma.resolve(scales[_width(point, X)])) for point in points]
    blocks = _sample_blocks(X, order, center, widths, gammas)
    starts = (0, *np.cumsum(sizes).tolist())

    upper = weight[codes[order]]
    validation.require_bounds(min(point.C for point in points) * upper)

    def path(width: int, gamma: float) -> Path:
        numbers = [i for i, kernel in enumerate(gammas) if kernel == (width, gamma)]
        numbers.sort(key=lambda i: points[i].C)
        problem = OvOProblem(blocks[width], starts, upper, gamma, svc.tol, svc.max_iter)
        return Path.empty(numbers, [points[i].C for i in numbers], problem)

    return SearchProblem(classes, center, tuple(path(*kernel) for kernel in sorted(set(gammas))))


def _width(point: Point, X: Array) -> int:
    return X.shape[1] if point.n_components is None else point.n_components


def _scale(X: Array, width: int, found: Moments) -> float:
    """Compute gamma="scale" of the first columns."""
    variance = found.variance if width == X.shape[1] else moments(X[:, :width]).variance
    return resolve_gamma("scale", width, variance)


def _sample_blocks(
    X: Array,
    order: Array,
    center: Array | None,
    widths: list[int],
    gammas: list[tuple[int, float]],
) -> dict[int, SampleBlocks]:
    """Copy samples in the order of their classes; narrower ones are views of the widest.

    Distances are in float64 for all if they have to be for one.
    """
    whole = sample_blocks(X[order], center, in_place=True)
    blocks = first_columns(whole, widths)
    most = {width: float(blocks[width].sq_norms.max()) for width in widths}
    needed = {distance_dtype(X.dtype, gamma, most[width]) for width, gamma in gammas}
    if max(needed, key=lambda dtype: dtype.itemsize) == X.dtype:
        return blocks
    whole = sample_blocks(X[order].astype(np.float64), center, in_place=True)
    return first_columns(whole, widths)


def first_columns(samples: SampleBlocks, widths: Sequence[int]) -> dict[int, SampleBlocks]:
    """Take the first columns of samples, with their squared norms.

    Parameters
    ----------
    samples : SampleBlocks
    widths : sequence of int
        Numbers of columns.

    Returns
    -------
    dict of int to SampleBlocks
        Views of the samples.
    """
    return {
        width: samples
        if width == samples.X.shape[1]
        else SampleBlocks(samples.X[:, :width], sample_blocks(samples.X[:, :width], None).sq_norms)
        for width in widths
    }
