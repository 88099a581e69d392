"""All pairs over one kernel matrix on the CPU (schedule: `svmcifar.svm.backends.tiles`).

Pairs with a class that is too large for a resident matrix, or whose rows are cheaper made than
kept, are solved on rows made on demand (`svmcifar.svm.backends.working_set`).
"""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

import svmcifar
from svmcifar.compute.memory import default_memory_limit
from svmcifar.io.content_hash import content_hash
from svmcifar.io.kept_parts import Arrays, KeptParts
from svmcifar.svm.backends.memory_plan import Plan, make_plan
from svmcifar.svm.backends.refinement import least_refinement_bytes, refine
from svmcifar.svm.backends.smo import STEPS_PER_CALL, step_limit
from svmcifar.svm.backends.smo_numba import GAP, INTERCEPT, N_ITER, OBJECTIVE, solve_pairs
from svmcifar.svm.backends.tiles import Map, TiledRun
from svmcifar.svm.backends.working_set import solve_on_demand
from svmcifar.svm.kernels.blocks import compute_kernel
from svmcifar.svm.moments import row_batches
from svmcifar.svm.one_vs_one import pair_number
from svmcifar.svm.problem import OvOProblem, OvOSolution, PairSolution, Progress
from svmcifar.svm.samples import GatheredRows

KernelArray = NDArray[np.floating]

# So few have any kernel matrix in memory: to ask how much there is takes longer than a small fit.
_FEW_SAMPLES = 1000


def solve_blocked(
    problem: OvOProblem,
    *,
    n_workers: int,
    memory_limit_bytes: int | None = None,
    progress: Progress = lambda n_pairs: None,
) -> OvOSolution:
    """Solve every pair on the CPU, in nine tenths of the available memory by default (a `Solver`).

    Raise MemoryLimitError if not even a few kernel rows of the largest pair fit the limit.
    """
    X, limit = problem.samples.X, memory_limit_bytes
    in_file = isinstance(X, GatheredRows)
    if limit is None and len(X) > _FEW_SAMPLES:
        limit = default_memory_limit(0 if in_file else X.nbytes)
    stored = problem.stored_dtype.itemsize
    size = X.dtype.itemsize
    at_least = least_refinement_bytes(problem)
    plan = make_plan(
        problem.sizes, X.shape[1], n_workers, limit, size, stored, in_file, at_least,
        problem.kernel.n_products,
    )  # fmt: skip
    solution = OvOSolution.empty(problem)
    solution.memory_plan = plan.describe()
    with KeptParts(lambda: _hash(problem, plan)) as parts:
        BlockedRun(problem, plan, solution).solve(progress, parts)
    refine(problem, solution, n_workers, limit)
    return solution


def _hash(problem: OvOProblem, plan: Plan) -> str:
    """Hash all that solutions depend on; memory and threads are not among that."""
    kernel, precision = problem.kernel, int(problem.precision)
    of_kernel = [kernel.name, asdict(kernel), precision]  # type: ignore[call-overload]
    of_pairs = [problem.starts, problem.upper, problem.tol, problem.max_iter]
    of_plan = [plan.groups, sorted(plan.on_demand), plan.rows.n_working]
    of_samples = [content_hash(rows) for rows in row_batches(problem.samples.X)]
    return content_hash("fit", svmcifar.__version__, of_kernel, of_pairs, of_plan, of_samples)


def check_memory(
    sizes: list[int],
    n_features: int,
    n_workers: int,
    memory_limit_bytes: int | None,
    n_products: int = 1,
) -> None:
    """Raise MemoryLimitError if float32 samples of classes of these sizes do not fit."""
    limit = default_memory_limit() if memory_limit_bytes is None else memory_limit_bytes
    make_plan(sizes, n_features, n_workers, limit, itemsize=4, n_products=n_products)


@dataclass(frozen=True)
class Within:
    """The kernel within some classes, flat and one after the other."""

    values: KernelArray
    starts: NDArray[np.int64]  # of each class; of those that are not here without meaning

    def of(self, c: int, n: int) -> KernelArray:
        """Return the kernel within class c of n samples."""
        return self.values[self.starts[c] : self.starts[c] + n * n].reshape(n, n)


class BlockedRun(TiledRun):
    """The schedule with the kernel values of one gamma."""

    def __init__(self, problem: OvOProblem, plan: Plan, solution: OvOSolution) -> None:
        super().__init__(problem, plan)
        self.problem = problem
        self.solution = solution
        self.starts = np.array(problem.starts)
        self.diagonal = problem.diagonal()
        # As `solve_pairs` writes them.
        self.pair_stats = np.zeros((len(solution.gap), 4))
        self.kept: Within | None = None

    def compute_diagonals(self, classes: list[int], pool: Executor) -> None:
        """Compute the kernel within classes, unless it lies in a single tile."""
        if len(self.plan.groups) > 1:
            self.kept = self._compute_within(classes, pool.map)

    def make_within(self, classes: Sequence[int]) -> Within:
        """Make room for the kernel within classes, which `fill_within` computes."""
        sizes = np.zeros(self.problem.n_classes, dtype=np.int64)
        sizes[classes] = np.diff(self.starts)[classes] ** 2
        ends = sizes.cumsum()
        return Within(np.empty(int(ends[-1]), self.problem.stored_dtype), ends - sizes)

    def fill_within(self, within: Within, c: int, map_blocks: Map = map) -> None:
        """Compute the kernel within a class."""
        samples = self.problem.samples[self.class_rows[c]]
        out = within.of(c, len(samples))
        compute_kernel(self.problem.kernel, samples, samples, out, map_blocks)

    def _compute_within(self, classes: list[int], map_blocks: Map) -> Within:
        within = self.make_within(classes)
        if len(classes) >= self.plan.n_workers:
            for _ in map_blocks(partial(self.fill_within, within), classes):
                pass
        else:
            for c in classes:
                self.fill_within(within, c, map_blocks)
        return within

    def _cut_within(self, K: KernelArray) -> Within:
        """Cut the kernel within each class out of that of all samples."""
        blocks = [K[rows, rows].ravel() for rows in self.class_rows]
        ends = np.cumsum([block.size for block in blocks])
        return Within(np.concatenate(blocks), ends - [block.size for block in blocks])

    def solve_tile(self, g: int, h: int, map_parts: Map = map) -> int:
        """Solve the pairs between groups g and h; return their number."""
        pairs = np.array(self.plan.pairs(g, h))
        rows, columns = self.group_rows[g], self.group_rows[h]
        A = self.problem.samples[rows]
        B = A if g == h else self.problem.samples[columns]
        K = np.empty((len(A), len(B)), self.problem.stored_dtype)
        compute_kernel(self.problem.kernel, A, B, K, map_parts)
        if len(self.plan.groups) == 1:
            within = self._cut_within(K)
        else:
            within = self.kept or self._compute_within(np.unique(pairs).tolist(), map)

        max_iter = step_limit(self.problem.max_iter, len(self.problem.samples))

        def work(pairs: NDArray[np.intp]) -> None:
            solve_pairs(
                K, rows.start, columns.start, within.values, within.starts, self.diagonal, pairs,
                self.starts, self.problem.upper, self.problem.tol, max_iter, STEPS_PER_CALL,
                self.cancelled, self.solution.coef, self.pair_stats,
            )  # fmt: skip

        # In threads of the pool where all share the tile, so that an interrupt is seen while
        # compiled code runs.
        n_parts = min(self.plan.n_workers, len(pairs)) if self.plan.shares_tiles else 1
        for _ in map_parts(work, [pairs[part::n_parts] for part in range(n_parts)]):
            pass
        return len(pairs)

    def collect(self, pairs: list[tuple[int, int]]) -> Arrays:
        """Return the coefficients of pairs, one pair after the other, and their statistics."""
        numbers = [pair_number(a, b, self.problem.n_classes) for a, b in pairs]
        betas = [self.solution.beta_of(self.problem, a, b) for a, b in pairs]
        return {"betas": np.concatenate(betas), "stats": self.pair_stats[numbers]}

    def store(self, pairs: list[tuple[int, int]], solutions: Arrays) -> int:
        """Write what `collect` returned to its places."""
        start = 0
        for (a, b), stats in zip(pairs, solutions["stats"], strict=True):
            stop = start + len(self.problem.upper_of(a, b))
            self._store_pair(a, b, solutions["betas"][start:stop], stats)
            start = stop
        return len(pairs)

    def _store_pair(self, a: int, b: int, beta: KernelArray, stats: KernelArray) -> None:
        """Write a solution where `solve_pairs` writes those of a tile."""
        in_a, in_b = self.problem.rows(a), self.problem.rows(b)
        self.solution.coef[b - 1, in_a] = beta[: in_a.stop - in_a.start]
        self.solution.coef[a, in_b] = beta[in_a.stop - in_a.start :]
        self.pair_stats[pair_number(a, b, self.problem.n_classes)] = stats

    def solve_rest(self, map_blocks: Map, done: Progress, parts: KeptParts) -> None:
        """Solve the other pairs on rows made on demand, and store what is said of all."""
        self.kept = None  # its memory is for rows
        for a, b in self.plan.pairs_on_demand:
            collect = partial(self.collect, [(a, b)])
            if found := parts.find(f"pair-{a}-{b}", collect):
                self.store([(a, b)], found)
            else:
                pair = self.solve_pair_on_demand(a, b, map_blocks)
                stats = np.empty(4)
                stats[[INTERCEPT, GAP]] = pair.intercept, pair.gap
                stats[[N_ITER, OBJECTIVE]] = pair.n_iter, pair.objective
                self._store_pair(a, b, pair.beta, stats)
                parts.add(f"pair-{a}-{b}", collect)
            done(1)
        solution, of_all = self.solution, self.pair_stats
        solution.intercept[:], solution.gap[:] = of_all[:, INTERCEPT], of_all[:, GAP]
        solution.objective[:] = of_all[:, OBJECTIVE]
        solution.n_iter[:] = of_all[:, N_ITER]

    def solve_pair_on_demand(self, a: int, b: int, map_blocks: Map = map) -> PairSolution:
        """Solve a pair that lies on no tile."""
        problem = self.problem
        return solve_on_demand(
            problem.kernel,
            (problem.samples[problem.rows(a)], problem.samples[problem.rows(b)]),
            problem.upper_of(a, b),
            plan=self.plan.rows,
            dtype=problem.stored_dtype,
            tol=problem.tol,
            max_iter=problem.max_iter,
            cancelled=self.cancelled,
            map_blocks=map_blocks,
        )
