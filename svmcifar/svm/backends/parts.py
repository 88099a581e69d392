"""The parts of a fit that can be solved apart, in any order and by any process, to the same bits.

A part is a tile of the schedule with all pairs on it (`svmcifar.svm.backends.tiles`), or a pair
that is solved on rows made on demand.  What a block of the kernel matrix is rounded to depends on
the plan's groups of classes alone, and a pair on its blocks alone.
"""

from collections.abc import Iterable, Sequence
from threading import BoundedSemaphore, Lock
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from svmcifar.compute.threads import single_threaded_blas
from svmcifar.svm.backends.memory_plan import Plan
from svmcifar.svm.backends.numba_ovo import BlockedRun, Within
from svmcifar.svm.backends.smo_numba import GAP, INTERCEPT, N_ITER, OBJECTIVE
from svmcifar.svm.one_vs_one import pair_number
from svmcifar.svm.problem import OvOProblem, OvOSolution, PairSolution

_TILE, _PAIR = "tile", "pair"
# Of what is left, a bundle has one of so many shares for each thread.
_SHARES = 3
# Most kernel values of a bundle: a second of a core with some 600 features.
_MOST_VALUES = 2**26


class Part(NamedTuple):
    """A tile, by its groups of classes, or a pair on rows made on demand, by its classes."""

    kind: str
    first: int
    second: int

    @property
    def name(self) -> str:
        """Its name in files."""
        return f"{self.kind}-{self.first}-{self.second}"

    def pairs(self, plan: Plan) -> list[tuple[int, int]]:
        """Return its pairs of classes."""
        if self.kind == _PAIR:
            return [(self.first, self.second)]
        return plan.pairs(self.first, self.second)


def list_parts(plan: Plan, sizes: list[int]) -> list[Part]:
    """Return all parts of a plan for classes of these sizes, those with most to do first."""
    parts = [Part(_TILE, g, h) for g, h in plan.tiles]
    parts += [Part(_PAIR, a, b) for a, b in plan.pairs_on_demand]
    return sorted(parts, key=lambda part: -_count_values(part, plan, sizes))


def bundle_parts(
    parts: Iterable[Part], plan: Plan, sizes: list[int], n_threads: int
) -> list[list[Part]]:
    """Put parts together so that what each bundle costs beside its work is little.

    A bundle has its share of what is left, less and less, so that all threads end at about the same
    time (guided self-scheduling, Polychronopoulos and Kuck 1987), and no more than a second's work
    or so, which a worker that dies may lose.
    """
    work = [(part, _count_values(part, plan, sizes)) for part in parts]
    left = sum(n_values for _, n_values in work)
    bundles: list[list[Part]] = []
    room = 0.0
    for part, n_values in work:
        if n_values > room:
            bundles.append([])
            room = min(left / (_SHARES * n_threads), _MOST_VALUES)
        bundles[-1].append(part)
        room -= n_values
        left -= n_values
    return bundles


def _count_values(part: Part, plan: Plan, sizes: list[int]) -> int:
    """Count the kernel values of a part, for the most of them within its tile."""
    if part.kind == _PAIR:
        return sizes[part.first] * sizes[part.second]
    of_group = [sum(sizes[first : last + 1]) for first, last in plan.groups]
    return of_group[part.first] * of_group[part.second]


class PartSolution(NamedTuple):
    """The solutions of a part's pairs, in its order."""

    stats: NDArray[np.float64]  # (n_pairs, 4), columns as in `solve_pairs`
    betas: NDArray[np.float64]  # signed coefficients of each pair, one pair after the other

    @classmethod
    def of(cls, pairs: list[PairSolution]) -> "PartSolution":
        """Join the solutions of pairs."""
        stats = np.empty((len(pairs), 4))
        for row, pair in zip(stats, pairs, strict=True):
            row[[INTERCEPT, GAP]] = pair.intercept, pair.gap
            row[[N_ITER, OBJECTIVE]] = pair.n_iter, pair.objective
        return cls(stats, np.concatenate([pair.beta for pair in pairs]))

    def store(
        self, problem: OvOProblem, pairs: list[tuple[int, int]], solution: OvOSolution
    ) -> None:
        """Write the solutions to their places."""
        sizes, start = problem.sizes, 0
        for (a, b), row in zip(pairs, self.stats, strict=True):
            stop = start + sizes[a] + sizes[b]
            pair = PairSolution(
                self.betas[start:stop], row[INTERCEPT], row[OBJECTIVE], row[GAP], int(row[N_ITER])
            )
            solution.store(problem, a, b, pair)
            start = stop


class PartSolver:
    """Solves parts on the CPU as `svmcifar.svm.backends.numba_ovo` does, in several threads.

    It keeps the kernel within classes from part to part, if the plan does.
    """

    def __init__(self, plan: Plan, n_classes: int) -> None:
        self.plan = plan
        self._kept: Within | None = None
        self._is_filled = [False] * n_classes
        self._locks = [Lock() for _ in range(n_classes)]
        self._making = Lock()
        # The plan may have memory for fewer parts at a time than there are threads.
        self._room = BoundedSemaphore(plan.n_workers)

    def solve(self, problem: OvOProblem, parts: Sequence[Part]) -> list[PartSolution]:
        """Solve parts of a problem, the same in every call, with one thread."""
        with self._room, single_threaded_blas():
            run = BlockedRun(problem, self.plan, OvOSolution.empty(problem))
            return [self._solve(run, part) for part in parts]

    def _solve(self, run: BlockedRun, part: Part) -> PartSolution:
        """Solve a part."""
        if part.kind == _PAIR:
            return PartSolution.of([run.solve_pair_on_demand(part.first, part.second)])
        pairs = part.pairs(self.plan)
        if self.plan.keep_diagonals and len(self.plan.groups) > 1:
            run.kept = self._within(run, np.unique(pairs).tolist())
        run.solve_tile(part.first, part.second)
        return PartSolution(**run.collect(pairs))

    def _within(self, run: BlockedRun, classes: list[int]) -> Within:
        """Return the kernel within classes, after computing what is not there yet."""
        with self._making:
            if self._kept is None:
                resident = set(range(len(self._locks))) - self.plan.on_demand
                self._kept = run.make_within(sorted(resident))
        for c in classes:
            with self._locks[c]:
                if not self._is_filled[c]:
                    run.fill_within(self._kept, c)
                    self._is_filled[c] = True
        return self._kept


def solve_on_gpu(problem: OvOProblem, plan: Plan, part: Part) -> PartSolution:
    """Solve a part on the GPU, as `svmcifar.svm.backends.cupy_ovo` solves a tile."""
    from svmcifar.svm.backends.cupy_ovo import solve_tiles

    pairs = part.pairs(plan)
    solution = OvOSolution.empty(problem)
    solve_tiles(problem, [(np.unique(pairs).tolist(), pairs)], solution)
    numbers = [pair_number(a, b, problem.n_classes) for a, b in pairs]
    fields = (solution.intercept, solution.objective, solution.gap, solution.n_iter)
    return PartSolution.of(
        [
            PairSolution(solution.beta_of(problem, a, b), *(field[number] for field in fields))
            for (a, b), number in zip(pairs, numbers, strict=True)
        ]
    )
