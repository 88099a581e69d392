"""All pairs over one kernel matrix on the CPU (schedule: `svmcifar.svm.backends.tiles`)."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from svmcifar.compute.memory import default_memory_limit
from svmcifar.svm.backends.memory_plan import Plan, make_plan
from svmcifar.svm.backends.smo import PairKernel, solve_pair
from svmcifar.svm.backends.tiles import Map, TiledRun
from svmcifar.svm.kernels.blocks import compute_kernel
from svmcifar.svm.problem import OvOProblem, OvOSolution, Progress

KernelArray = NDArray[np.float32]


def solve_blocked(
    problem: OvOProblem,
    *,
    n_workers: int,
    memory_limit_bytes: int | None = None,
    progress: Progress = lambda n_pairs: None,
) -> OvOSolution:
    """Solve every pair on the CPU, in nine tenths of the available memory by default (a `Solver`).

    Raise MemoryLimitError if the blocks of one pair do not fit the limit.
    """
    limit = default_memory_limit() if memory_limit_bytes is None else memory_limit_bytes
    plan = make_plan(problem.sizes, n_workers, limit, problem.samples.X.dtype.itemsize)
    solution = OvOSolution.empty(problem)
    solution.memory_plan = plan.describe()
    _Run(problem, plan, solution).solve(progress)
    return solution


def check_memory(sizes: list[int], memory_limit_bytes: int | None) -> None:
    """Raise MemoryLimitError if classes of these sizes do not fit, whatever their features."""
    limit = default_memory_limit() if memory_limit_bytes is None else memory_limit_bytes
    make_plan(sizes, n_workers=1, limit_bytes=limit, itemsize=4)


class _Run(TiledRun):
    """The schedule with the kernel values of one gamma."""

    def __init__(self, problem: OvOProblem, plan: Plan, solution: OvOSolution) -> None:
        super().__init__(problem, plan)
        self.problem = problem
        self.solution = solution
        self.diagonals: dict[int, KernelArray] = {}

    def compute_diagonals(self, pool: ThreadPoolExecutor) -> None:
        """Compute the kernel within each class."""
        classes = range(self.problem.n_classes)
        if len(classes) >= self.plan.n_workers:
            self.diagonals = dict(enumerate(pool.map(self._kernel_within, classes)))
        else:
            self.diagonals = {c: self._kernel_within(c, pool.map) for c in classes}

    def _kernel_within(self, c: int, map_blocks: Map = map) -> KernelArray:
        return self._kernel(self.class_rows[c], self.class_rows[c], map_blocks)

    def _kernel(self, rows: slice, columns: slice, map_blocks: Map) -> KernelArray:
        samples = self.problem.samples
        A = samples[rows]
        B = A if rows == columns else samples[columns]
        return compute_kernel(self.problem.kernel, A, B, map_blocks=map_blocks)

    def solve_tile(self, g: int, h: int, map_parts: Map = map) -> int:
        """Solve the pairs between groups g and h; return their number."""
        K = self._kernel(self.group_rows[g], self.group_rows[h], map_parts)
        pairs = self.plan.pairs(g, h)
        diagonals = self.diagonals or {c: self._kernel_within(c) for c in sorted({*sum(pairs, ())})}

        def solve_pairs(pairs: list[tuple[int, int]]) -> None:
            for a, b in pairs:
                if self.cancelled[0]:
                    return
                self._solve_pair(a, b, self.cut_pair(K, g, h, (a, b), diagonals))

        # One pair at a time, as the plan counts them; in a thread of the pool where all share the
        # tile, so that an interrupt is seen while compiled code runs.
        for _ in map_parts(solve_pairs, [pairs]):
            pass
        return len(pairs)

    def _solve_pair(self, a: int, b: int, K: PairKernel) -> None:
        """Solve one pair and write its part of the solution."""
        upper, tol, max_iter = self.problem.upper_of(a, b), self.problem.tol, self.problem.max_iter
        solved = solve_pair(K, upper, tol=tol, max_iter=max_iter, cancelled=self.cancelled)
        self.solution.store(self.problem, a, b, solved)
