"""One-vs-one problems, made from X and y, and their solutions: what backends take and return."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.class_weight import compute_class_weight

from svmcifar.compute.arrays import get_dtype, get_namespace, on_device_of, take_rows, to_host
from svmcifar.svm import validation
from svmcifar.svm.kernels.kernel import Kernel, Precision
from svmcifar.svm.moments import Moments, kernel_center, moments
from svmcifar.svm.one_vs_one import pair_number
from svmcifar.svm.rounding import first_precision
from svmcifar.svm.samples import (
    SampleBlocks,
    first_columns,
    gather_samples,
    is_memory_mapped,
    sample_blocks,
)

FloatArray = NDArray[np.float64]

# Called with the number of pairs that have just been solved.
Progress = Callable[[int], None]


@dataclass(frozen=True)
class OvOProblem:
    """All pairs of one multiclass problem.

    Attributes
    ----------
    samples : SampleBlocks
        Samples sorted by class, on the host or on a device.
    starts : tuple of int, length n_classes + 1
        Class c is the samples ``starts[c]`` to ``starts[c + 1] - 1``; none is empty.
    upper : ndarray of shape (n_samples,), float64
        Upper bound of each alpha: C times class weight and sample weight, > 0.
    kernel : Kernel
    precision : Precision
        With which it computes its values.
    tol : float
        Stopping tolerance on the KKT gap.
    max_iter : int
        Largest number of SMO steps a pair; -1 for the solver's own bound.
    before_centring : callable, optional
        Copies rows of samples from which the centre is not yet subtracted, and the centre; of
        those that are centred in float32, which rounds them.
    """

    samples: SampleBlocks
    starts: tuple[int, ...]
    upper: FloatArray
    kernel: Kernel
    precision: Precision
    tol: float
    max_iter: int
    before_centring: Callable[[slice], tuple[Any, Any]] | None = None

    def float64_samples(self, rows: slice) -> SampleBlocks:
        """Return samples on the host as float64, centred without rounding."""
        with on_device_of(self.samples.X):  # a thread has a current device of its own
            if self.before_centring is None:
                X, center = to_host(self.samples[rows].X), None
            else:
                X, center = self.before_centring(rows)
                X = to_host(X)
        X = X.astype(np.float64, copy=self.before_centring is not None)
        return sample_blocks(X, center, in_place=True)

    @property
    def stored_dtype(self) -> np.dtype:
        """The dtype that kernel values are kept in."""
        return self.kernel.dtype

    def diagonal(self) -> FloatArray | None:
        """Return the diagonal of the kernel matrix on the host, None if it is 1."""
        if self.kernel.has_unit_diagonal:
            return None
        return to_host(self.kernel.diagonal(self.samples))

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.starts) - 1

    @property
    def sizes(self) -> list[int]:
        """Number of samples of each class."""
        return [end - start for start, end in zip(self.starts, self.starts[1:], strict=False)]

    def upper_of(self, a: int, b: int) -> FloatArray:
        """Return the upper bounds of the alphas of the pair (a, b)."""
        return np.concatenate([self.upper[self.rows(a)], self.upper[self.rows(b)]])

    def rows(self, first: int, last: int | None = None) -> slice:
        """Return the rows of a class, or of the classes `first` to `last`."""
        return slice(self.starts[first], self.starts[(first if last is None else last) + 1])


@dataclass(frozen=True)
class TrainingSet:
    """A checked training set and the order of its samples by class; X may be on a device."""

    X: Any  # (n_samples, n_features), float32 or float64
    classes: NDArray[Any]
    class_weight: FloatArray  # (n_classes,)
    order: NDArray[np.intp]  # rows of X with a positive weight, sorted by class
    codes: NDArray[np.intp]  # class of each of these rows, as an index into `classes`
    sample_weight: FloatArray  # of each of these rows
    moments: Moments  # of X

    def upper(self, C: float) -> FloatArray:
        """Return the upper bound of each alpha: C times class weight and sample weight."""
        return C * self.class_weight[self.codes] * self.sample_weight

    def center(self, kernel: Kernel) -> NDArray[np.floating] | None:
        """Return what to subtract from samples, None for nothing (see `kernel_center`)."""
        return kernel_center(self.moments, get_dtype(self.X)) if kernel.is_shift_invariant else None

    def problems(
        self, kernels: Sequence[tuple[int, Kernel]], C: float, tol: float, max_iter: int
    ) -> list[OvOProblem]:
        """Build a problem for each (number of first features, kernel); the kernels are of one kind.

        They share one copy of the samples, where X is: narrower ones are views of the widest, and
        all get the highest precision that one of them needs.  Of a memory-mapped X rows are copied
        when they are used.
        """
        starts = (0, *np.cumsum(np.bincount(self.codes)).tolist())
        samples, precision = self._samples(kernels)
        for width, kernel in kernels:
            xp = get_namespace(samples[width].sq_norms)
            largest = np.array([float(xp.max(samples[width].sq_norms))])
            validation.require_kernel_values(kernel.name, float(kernel.sizes(largest)[0]) ** 2)
        upper, center = self.upper(C), self.center(kernels[0][1])

        def before_centring(width: int) -> Callable[[slice], tuple[Any, Any]] | None:
            if center is None or precision != Precision.FLOAT32:
                return None
            return lambda rows: (take_rows(self.X, self.order[rows])[:, :width], center[:width])

        return [
            OvOProblem(
                samples[width], starts, upper, kernel.at(precision), precision, tol, max_iter,
                before_centring(width),
            )
            for width, kernel in kernels
        ]  # fmt: skip

    def _samples(
        self, kernels: Sequence[tuple[int, Kernel]]
    ) -> tuple[dict[int, SampleBlocks], Precision]:
        """Copy the samples, sorted by class, with a view for each number of features."""
        xp, dtype = get_namespace(self.X), get_dtype(self.X)
        center = self.center(kernels[0][1])
        widths = sorted({width for width, _ in kernels})

        def prepare(dtype: np.dtype) -> dict[int, SampleBlocks]:
            if is_memory_mapped(self.X):
                whole = gather_samples(self.X, self.order, center, dtype)
            else:
                whole = sample_blocks(take_rows(self.X, self.order, dtype), center, in_place=True)
            return first_columns(whole, widths)

        samples = prepare(dtype)
        largest = {width: float(xp.max(samples[width].sq_norms)) for width in widths}
        precision = max(first_precision(dtype, kernel, largest[width]) for width, kernel in kernels)
        if precision.dtype == dtype:
            return samples, precision
        del samples
        return prepare(precision.dtype), precision


def sort_by_class(
    X: Any,
    y: NDArray[Any],
    class_weight: dict | str | None,
    smallest_C: float,
    sample_weight: FloatArray | None = None,
    n_odd: int = 0,
) -> TrainingSet:
    """Check a training set and sort it by class, without samples of weight 0.

    A class that has no others is left out.  With `n_odd` features that mirroring negates, moments
    are those of samples and mirror images.  Raise InputError if X has NaN, infinite or too large
    values, if fewer than two classes are left, or if `smallest_C` times a weight is not above 0.
    """
    classes, codes = np.unique(y, return_inverse=True)
    weight_of_class = np.ones(len(classes))
    if class_weight is not None:
        weight_of_class = compute_class_weight(class_weight, classes=classes, y=y)
    weight = np.ones(len(codes)) if sample_weight is None else sample_weight
    X_moments = moments(X)
    validation.require_finite(X, X_moments.mean_sq_norm)
    order = np.argsort(codes, kind="stable")
    order = order[weight[order] > 0]
    counts = np.bincount(codes[order], minlength=len(classes))
    kept = np.flatnonzero(counts)
    codes = np.repeat(np.arange(len(kept)), counts[kept])
    validation.require_classes(classes, kept)
    if n_odd:
        X_moments = X_moments.of_both_images(n_odd)
    training = TrainingSet(
        X, classes[kept], weight_of_class[kept], order, codes, weight[order], X_moments
    )
    validation.require_bounds(training.upper(smallest_C))
    return training


class PairSolution(NamedTuple):
    """The solution of one binary SVM."""

    beta: FloatArray  # signed coefficients ``y_i alpha_i``, (n_a + n_b,), class a first
    intercept: float  # added to ``K beta``; LIBSVM's ``-rho``
    objective: float  # dual, ``1/2 alpha' Q alpha - sum(alpha)``, as LIBSVM minimises it
    gap: float  # largest violation of the optimality conditions, as in the stopping rule
    n_iter: int  # SMO steps taken


@dataclass
class OvOSolution:
    """The solution of every pair.

    Attributes
    ----------
    coef : ndarray of shape (n_classes - 1, n_samples), float64
        ``y_i alpha_i`` in LIBSVM's layout (see `svmcifar.svm.one_vs_one`).
    intercept : ndarray of shape (n_pairs,), float64
    n_iter : ndarray of shape (n_pairs,), int64
    gap : ndarray of shape (n_pairs,), float64
        KKT gap at the end.
    objective : ndarray of shape (n_pairs,), float64
        Dual objective as LIBSVM minimises it.
    memory_plan : str or None
        How the solver divided its memory; None if it has no plan.
    """

    coef: FloatArray
    intercept: FloatArray
    n_iter: NDArray[np.int64]
    gap: FloatArray
    objective: FloatArray
    memory_plan: str | None = None

    @classmethod
    def empty(cls, problem: OvOProblem) -> "OvOSolution":
        """Build a solution without coefficients, in which no pair is solved."""
        n_pairs = problem.n_classes * (problem.n_classes - 1) // 2
        return cls(
            coef=np.zeros((problem.n_classes - 1, len(problem.samples))),
            intercept=np.full(n_pairs, np.nan),
            n_iter=np.zeros(n_pairs, dtype=np.int64),
            gap=np.full(n_pairs, np.inf),
            objective=np.full(n_pairs, np.nan),
        )

    def beta_of(self, problem: OvOProblem, a: int, b: int) -> FloatArray:
        """Return the signed coefficients of the pair (a, b), a < b."""
        return np.concatenate([self.coef[b - 1, problem.rows(a)], self.coef[a, problem.rows(b)]])

    def store(self, problem: OvOProblem, a: int, b: int, pair: PairSolution) -> None:
        """Write the solution of the pair (a, b), a < b, to its place."""
        in_a, in_b = problem.rows(a), problem.rows(b)
        n_a = in_a.stop - in_a.start
        number = pair_number(a, b, problem.n_classes)
        self.coef[b - 1, in_a] = pair.beta[:n_a]
        self.coef[a, in_b] = pair.beta[n_a:]
        self.intercept[number] = pair.intercept
        self.n_iter[number] = pair.n_iter
        self.gap[number] = pair.gap
        self.objective[number] = pair.objective
