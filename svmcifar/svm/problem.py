"""What every backend takes and gives: a one-vs-one problem and its solution."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from svmcifar.compute.arrays import get_dtype, get_namespace, take_rows
from svmcifar.svm import kernel
from svmcifar.svm.kernel import SampleBlocks
from svmcifar.svm.one_vs_one import pair_number

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
    gamma : float
        Kernel coefficient, > 0.
    tol : float
        Stopping tolerance on the KKT gap.
    max_iter : int
        Largest number of SMO steps a pair; -1 for the solver's own bound.
    """

    samples: SampleBlocks
    starts: tuple[int, ...]
    upper: FloatArray
    gamma: float
    tol: float
    max_iter: int

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.starts) - 1

    @property
    def sizes(self) -> list[int]:
        """Number of samples of each class."""
        return [end - start for start, end in zip(self.starts, self.starts[1:], strict=False)]

    def rows(self, first: int, last: int | None = None) -> slice:
        """Find the samples of a class, or of the classes `first` to `last`."""
        return slice(self.starts[first], self.starts[(first if last is None else last) + 1])


def sort_by_class(
    X: Any, order: NDArray[np.intp], center: NDArray[np.floating] | None, gamma: float
) -> SampleBlocks:
    """Copy samples in the order of their classes, centred, in a precision that distances need.

    Parameters
    ----------
    X : array of shape (n_samples, n_features), float32 or float64
        On the host or on a device.
    order : ndarray of shape (n_used,)
        Rows of X.
    center : ndarray of shape (n_features,) or None
        As `kernel_center` gives it.
    gamma : float

    Returns
    -------
    SampleBlocks
        Where X is.
    """
    samples = kernel.sample_blocks(take_rows(X, order), center, in_place=True)
    xp, dtype = get_namespace(X), get_dtype(X)
    needed = kernel.distance_dtype(dtype, gamma, float(xp.max(samples.sq_norms)))
    if needed == dtype:
        return samples
    del samples
    rows = xp.astype(take_rows(X, order), getattr(xp, needed.name))
    return kernel.sample_blocks(rows, center, in_place=True)


@dataclass(frozen=True)
class PairSolution:
    """The solution of one binary SVM.

    Attributes
    ----------
    beta : ndarray of shape (n_a + n_b,), float64
        Signed coefficients ``y_i alpha_i``, class a first.
    intercept : float
        Added to ``K beta``; LIBSVM's ``-rho``.
    objective : float
        Dual objective ``1/2 alpha' Q alpha - sum(alpha)``, as LIBSVM minimises it.
    gap : float
        Largest violation of the optimality conditions, as in the stopping rule.
    n_iter : int
        SMO steps taken.
    """

    beta: FloatArray
    intercept: float
    objective: float
    gap: float
    n_iter: int


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
        How the solver divided its memory, in a few words; None if it has no plan.
    """

    coef: FloatArray
    intercept: FloatArray
    n_iter: NDArray[np.int64]
    gap: FloatArray
    objective: FloatArray
    memory_plan: str | None = None

    @classmethod
    def empty(cls, problem: OvOProblem) -> "OvOSolution":
        """Make room for the solution of `problem`: no coefficient set, no pair solved."""
        n_pairs = problem.n_classes * (problem.n_classes - 1) // 2
        return cls(
            coef=np.zeros((problem.n_classes - 1, len(problem.samples))),
            intercept=np.full(n_pairs, np.nan),
            n_iter=np.zeros(n_pairs, dtype=np.int64),
            gap=np.full(n_pairs, np.inf),
            objective=np.full(n_pairs, np.nan),
        )

    def put(self, problem: OvOProblem, a: int, b: int, pair: PairSolution) -> None:
        """Write the solution of the pair (a, b), a < b, to its place."""
        n_a = problem.sizes[a]
        number = pair_number(a, b, problem.n_classes)
        self.coef[b - 1, problem.rows(a)] = pair.beta[:n_a]
        self.coef[a, problem.rows(b)] = pair.beta[n_a:]
        self.intercept[number] = pair.intercept
        self.n_iter[number] = pair.n_iter
        self.gap[number] = pair.gap
        self.objective[number] = pair.objective
