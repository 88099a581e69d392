"""Working through the kernel matrix tile by tile: the class-blocked schedule.

With the samples sorted by class, pair (a, b) needs three blocks of the kernel matrix: (a, a),
(b, b) and (a, b).  Each off-diagonal block serves one pair and each diagonal block serves
n_classes - 1 of them, so with the diagonal blocks kept every kernel value is computed once, by
matrix products.  Tiles of blocks are worked on in parallel; BLAS runs single-threaded inside each,
so that the rounding of a result does not depend on the number of workers.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from svmcifar.compute.threads import run_tasks, worker_pool
from svmcifar.svm.backends.memory_plan import Plan
from svmcifar.svm.backends.smo import PairKernel
from svmcifar.svm.problem import OvOProblem

Map = Callable[..., Iterable[Any]]


class TiledRun(ABC):
    """One run of the schedule."""

    def __init__(self, problem: OvOProblem, plan: Plan) -> None:
        self.plan = plan
        self.class_rows = [problem.rows(c) for c in range(problem.n_classes)]
        self.group_rows = [problem.rows(*group) for group in plan.groups]
        self.n_operations = len(problem.samples) * problem.samples.X.size
        # An array, so that compiled code sees it change.
        self.cancelled = np.zeros(1, dtype=bool)

    def solve(self, done: Callable[[Any], None]) -> None:
        """Work through the tiles, largest first, and call `done` with what each returns."""
        with worker_pool(self.plan.n_workers, self.n_operations) as pool:
            try:
                if self.plan.keep_diagonals:
                    self.compute_diagonals(pool)
                tiles = sorted(self.plan.tiles, key=self._tile_size, reverse=True)
                if self.plan.shares_tiles:
                    for g, h in tiles:
                        done(self.solve_tile(g, h, pool.map))
                else:
                    run_tasks(pool, self.solve_tile, tiles, done)
                self.solve_rest(pool.map, done)
            finally:
                self.cancelled[0] = True

    @abstractmethod
    def compute_diagonals(self, pool: Executor) -> None:
        """Compute what is kept of the blocks within each class."""

    @abstractmethod
    def solve_tile(self, g: int, h: int, map_parts: Map = map) -> Any:
        """Solve the pairs between groups g and h, its parts run by `map_parts`."""

    def solve_rest(self, map_blocks: Map, done: Callable[[Any], None]) -> None:
        """Solve what is left when the tiles are done."""
        return

    def cut_pair(
        self, K: NDArray[Any], g: int, h: int, pair: tuple[int, int], within: Mapping[int, Any]
    ) -> PairKernel:
        """Cut a pair's blocks out of the tile between g and h and the blocks within classes."""
        a, b = pair
        first_row, first_column = self.group_rows[g].start, self.group_rows[h].start
        in_a, in_b = self.class_rows[a], self.class_rows[b]
        ab = K[
            in_a.start - first_row : in_a.stop - first_row,
            in_b.start - first_column : in_b.stop - first_column,
        ]
        return PairKernel(
            within[a], within[b], np.ascontiguousarray(ab), np.ascontiguousarray(ab.T)
        )

    def _tile_size(self, tile: tuple[int, int]) -> int:
        rows, columns = (self.group_rows[g] for g in tile)
        return (rows.stop - rows.start) * (columns.stop - columns.start)
