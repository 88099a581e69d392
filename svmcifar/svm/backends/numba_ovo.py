"""All pairs over one kernel matrix: the class-blocked schedule.

With the samples sorted by class, pair (a, b) needs three blocks of the kernel
matrix: (a, a), (b, b) and (a, b).  Each off-diagonal block serves one pair and
each diagonal block serves n_classes - 1 of them, so with the diagonal blocks
kept every kernel value is computed once, by matrix products.  Tiles of blocks
are worked on in parallel; BLAS runs single-threaded inside each, so that the
rounding of a result does not depend on the number of workers.
"""

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import numpy as np
from numpy.typing import NDArray

from svmcifar.compute.memory import default_memory_limit
from svmcifar.compute.threads import run_tasks, single_threaded_blas
from svmcifar.svm.backends.memory_plan import Plan, make_plan
from svmcifar.svm.backends.smo import PairKernel, solve_pair
from svmcifar.svm.kernel import rbf_kernel
from svmcifar.svm.problem import OvOProblem, OvOSolution, Progress

KernelArray = NDArray[np.float32]


def solve_blocked(
    problem: OvOProblem,
    *,
    n_workers: int,
    memory_limit_bytes: int | None = None,
    progress: Progress = lambda n_pairs: None,
) -> OvOSolution:
    """Solve every pair of a one-vs-one problem on the CPU.

    Parameters
    ----------
    problem : OvOProblem
    n_workers : int
        Threads to work with, >= 1.  The result does not depend on it.
    memory_limit_bytes : int, optional
        Limit on the kernel blocks held at a time; nine tenths of the memory
        available by default.
    progress : callable, optional
        Called with the number of pairs just solved.

    Returns
    -------
    OvOSolution

    Raises
    ------
    MemoryLimitError
        If the blocks of one pair do not fit the limit.
    """
    itemsize = problem.samples.X.dtype.itemsize
    limit = default_memory_limit() if memory_limit_bytes is None else memory_limit_bytes
    plan = make_plan(problem.sizes, n_workers, limit, itemsize)
    solution = OvOSolution.empty(problem)
    solution.memory_plan = plan.describe()
    with single_threaded_blas(), ThreadPoolExecutor(plan.n_workers) as pool:
        run = _Run(problem, plan, solution, pool)
        try:
            if plan.keep_diagonals:
                run.keep_diagonals()
            run.solve_tiles(progress)
        finally:
            run.cancel.set()
    return solution


class _Run:
    """One run of the schedule."""

    def __init__(
        self, problem: OvOProblem, plan: Plan, solution: OvOSolution, pool: ThreadPoolExecutor
    ) -> None:
        self.problem = problem
        self.plan = plan
        self.solution = solution
        self.pool = pool
        self.cancel = Event()
        self.diagonals: dict[int, KernelArray] = {}

    def keep_diagonals(self) -> None:
        """Compute the kernel within each class."""
        if self.problem.n_classes >= self.plan.n_workers:
            blocks = self.pool.map(self._kernel_within, range(self.problem.n_classes))
            self.diagonals = dict(enumerate(blocks))
        else:
            for c in range(self.problem.n_classes):
                self.diagonals[c] = self._kernel_between(self.problem.rows(c), self.problem.rows(c))

    def solve_tiles(self, progress: Progress) -> None:
        """Work through the tiles, largest first, and write the solution."""
        tiles = sorted(self.plan.tiles, key=self._tile_size, reverse=True)
        if self.plan.shares_tiles:
            for g, h in tiles:
                # Not given a name, so that it is gone when the next one is computed.
                progress(
                    self._solve_tile(
                        g, h, self._kernel_between(self._group_rows(g), self._group_rows(h))
                    )
                )
            return
        run_tasks(self.pool, self._solve_tile, tiles, progress)

    def _group_rows(self, group: int) -> slice:
        return self.problem.rows(*self.plan.groups[group])

    def _tile_size(self, tile: tuple[int, int]) -> int:
        rows, columns = (self._group_rows(g) for g in tile)
        return (rows.stop - rows.start) * (columns.stop - columns.start)

    def _kernel_between(self, rows: slice, columns: slice) -> KernelArray:
        """Compute one tile with every worker."""
        samples = self.problem.samples
        A = samples[rows]
        B = A if rows == columns else samples[columns]
        return rbf_kernel(A, B, self.problem.gamma, map_blocks=self.pool.map)

    def _kernel_within(self, c: int) -> KernelArray:
        """Compute the kernel within class c."""
        A = self.problem.samples[self.problem.rows(c)]
        return rbf_kernel(A, A, self.problem.gamma)

    def _solve_tile(self, g: int, h: int, K: KernelArray | None = None) -> int:
        """Solve the pairs between groups g and h; return their number."""
        rows, columns = self._group_rows(g), self._group_rows(h)
        if K is None:
            A = self.problem.samples[rows]
            B = A if g == h else self.problem.samples[columns]
            K = rbf_kernel(A, B, self.problem.gamma)
        pairs = self.plan.pairs(g, h)
        diagonals = self.diagonals or {c: self._kernel_within(c) for c in sorted({*sum(pairs, ())})}
        for a, b in pairs:
            if self.cancel.is_set():
                break
            in_a, in_b = self.problem.rows(a), self.problem.rows(b)
            ab = K[
                in_a.start - rows.start : in_a.stop - rows.start,
                in_b.start - columns.start : in_b.stop - columns.start,
            ]
            self._solve_one(a, b, diagonals[a], diagonals[b], ab)
        return len(pairs)

    def _solve_one(self, a: int, b: int, aa: KernelArray, bb: KernelArray, ab: KernelArray) -> None:
        """Solve the pair (a, b) and write its part of the solution."""
        in_a, in_b = self.problem.rows(a), self.problem.rows(b)
        kernel = PairKernel(aa, bb, np.ascontiguousarray(ab), np.ascontiguousarray(ab.T))
        upper = np.concatenate([self.problem.upper[in_a], self.problem.upper[in_b]])
        pair = solve_pair(
            kernel,
            upper,
            tol=self.problem.tol,
            max_iter=self.problem.max_iter,
            cancelled=self.cancel.is_set,
        )
        self.solution.put(self.problem, a, b, pair)
