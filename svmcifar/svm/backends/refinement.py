"""Solutions whose kernel values were rounded too much, told the truth about and solved on."""

import numpy as np
from numpy.typing import NDArray

from svmcifar.compute.arrays import get_dtype, to_host
from svmcifar.compute.threads import run_tasks, worker_pool
from svmcifar.svm.backends.working_set import (
    RowPlan,
    least_rows_bytes,
    plan_rows,
    solve_on_demand,
)
from svmcifar.svm.kernels.kernel import Precision
from svmcifar.svm.one_vs_one import pair_arrays
from svmcifar.svm.problem import OvOProblem, OvOSolution
from svmcifar.svm.rounding import SHARE, doubtful_pairs, typical_value
from svmcifar.svm.samples import GatheredRows

_FLOAT32_ROUNDOFF = 2.0**-24


def least_refinement_bytes(problem: OvOProblem) -> int:
    """Return the least memory in which `refine` works, 0 if it never has to."""
    sq_norms, relative = _rounding(problem, problem.precision, _stored_roundoff(problem))
    sizes = problem.kernel.sizes(sq_norms)
    smaller, larger = sorted(problem.sizes)[-2:]
    n = smaller + larger
    with np.errstate(invalid="ignore"):  # infinity times 0
        largest = float((problem.upper * sizes).max() * sizes.max())
    if largest * np.sqrt(n + 1) * float(relative.max()) <= SHARE * problem.tol:
        return 0
    itemsize = 8 * problem.kernel.n_products
    return least_rows_bytes(n, problem.samples.X.shape[1], 1, itemsize, 8, _held_bytes(problem, n))


def refine(
    problem: OvOProblem,
    solution: OvOSolution,
    n_workers: int,
    limit_bytes: int | None = None,
    *,
    solve_on: bool = True,
) -> None:
    """Compute the gap anew, from float64 kernel values, of each pair that rounding may have moved.

    A pair is doubtful if the rounding of its kernel values may move its gradient by more than a
    tenth of the tolerance (`svmcifar.svm.rounding`).  With `solve_on` it is solved on until that
    gap is within the tolerance.
    """
    doubtful = _doubtful_at(problem.precision, problem, solution, _stored_roundoff(problem))
    if not len(doubtful):
        return
    need_exact = np.zeros(len(solution.gap), dtype=bool)
    need_exact[_doubtful_at(Precision.FLOAT64, problem, solution)] = True
    first, second = pair_arrays(problem.n_classes)
    cancelled = np.zeros(1, dtype=bool)
    n_features, itemsize = problem.samples.X.shape[1], 8 * problem.kernel.n_products

    def plan(n: int) -> RowPlan:
        return plan_rows(n, n_features, 1, limit_bytes, itemsize, 8, _held_bytes(problem, n))

    def work(number: int) -> None:
        a, b = int(first[number]), int(second[number])
        precision = Precision.EXACT if need_exact[number] else Precision.FLOAT64
        parts = problem.float64_samples(problem.rows(a)), problem.float64_samples(problem.rows(b))
        upper = problem.upper_of(a, b)
        n_iter = int(solution.n_iter[number])
        left = -1 if problem.max_iter < 0 else max(0, problem.max_iter - n_iter)
        solved = solve_on_demand(
            problem.kernel.at(precision),
            parts,
            upper,
            solution.beta_of(problem, a, b),
            plan=plan(len(upper)),
            dtype=np.float64,
            tol=problem.tol,
            max_iter=left if solve_on else 0,
            cancelled=cancelled,
        )
        solution.store(problem, a, b, solved._replace(n_iter=n_iter + solved.n_iter))

    n_operations = len(problem.samples) * problem.samples.X.size
    if limit_bytes is not None:
        held = _held_bytes(problem, 0)
        sizes = np.array(problem.sizes)
        most = plan(int((sizes[first] + sizes[second])[doubtful].max()))
        n_workers = min(n_workers, max(1, (limit_bytes - held) // (most.n_bytes - held)))
    with worker_pool(n_workers, n_operations) as pool:
        try:
            run_tasks(pool, work, ((int(number),) for number in doubtful), lambda _: None)
        finally:
            cancelled[0] = True


def _held_bytes(problem: OvOProblem, n: int) -> int:
    """Return the memory of the samples, and of copies of `n` of them as float64."""
    X, dtype = problem.samples.X, get_dtype(problem.samples.X)
    in_file, itemsize = isinstance(X, GatheredRows), dtype.itemsize
    copied = 8 if dtype != np.float64 or problem.before_centring is not None else 0
    if in_file or problem.before_centring is not None:
        copied += itemsize
    return (0 if in_file else X.size * itemsize) + n * X.shape[1] * copied


def _stored_roundoff(problem: OvOProblem) -> float:
    return _FLOAT32_ROUNDOFF if problem.stored_dtype == np.float32 else 0.0


def _rounding(
    problem: OvOProblem, precision: Precision, stored: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return squared norms, and errors of kernel values relative to the bounds of `sizes`."""
    sq_norms = to_host(problem.samples.sq_norms).astype(np.float64)
    return sq_norms, problem.kernel.at(precision).rounding(sq_norms, precision) + stored


def _doubtful_at(
    precision: Precision, problem: OvOProblem, solution: OvOSolution, stored: float = 0.0
) -> NDArray[np.intp]:
    """Return the pairs for which a precision is too low, with values rounded to be `stored`."""
    kernel = problem.kernel.at(precision)
    sq_norms, relative = _rounding(problem, precision, stored)

    def typical() -> float:
        return typical_value(kernel, problem.samples.X, None)

    sizes = kernel.sizes(sq_norms)
    return doubtful_pairs(solution.coef, problem.starts, relative, 0.0, problem.tol, typical, sizes)
