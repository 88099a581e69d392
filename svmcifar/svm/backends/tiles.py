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
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from svmcifar.compute.threads import run_tasks, worker_pool
from svmcifar.io.kept_parts import Arrays, KeptParts
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

    def solve(self, done: Callable[[int], None], parts: KeptParts) -> None:
        """Work through the tiles that are not among finished parts, largest first.

        `done` is called with the number of pairs just solved, counted for each point of a search.
        """

        def solve_tile(g: int, h: int, map_parts: Map = map) -> int:
            n_solved = self.solve_tile(g, h, map_parts)
            if not self.cancelled[0]:  # else it is not finished
                parts.add(f"tile-{g}-{h}", partial(self.collect, self.plan.pairs(g, h)))
            return n_solved

        with worker_pool(self.plan.n_workers, self.n_operations) as pool:
            try:
                tiles = [tile for tile in self.plan.tiles if not self._restore(*tile, done, parts)]
                if self.plan.keep_diagonals:
                    pairs = (pair for tile in tiles for pair in self.plan.pairs(*tile))
                    self.compute_diagonals(sorted({c for pair in pairs for c in pair}), pool)
                tiles.sort(key=self._tile_size, reverse=True)
                if self.plan.shares_tiles:
                    for g, h in tiles:
                        done(solve_tile(g, h, pool.map))
                else:
                    run_tasks(pool, solve_tile, tiles, done)
                self.solve_rest(pool.map, done, parts)
            finally:
                self.cancelled[0] = True

    def _restore(self, g: int, h: int, done: Callable[[int], None], parts: KeptParts) -> bool:
        """Return whether the pairs between groups g and h were kept, and write them if so."""
        pairs = self.plan.pairs(g, h)
        found = parts.find(f"tile-{g}-{h}", partial(self.collect, pairs))
        if found is None:
            return False
        done(self.store(pairs, found))
        return True

    @abstractmethod
    def compute_diagonals(self, classes: list[int], pool: Executor) -> None:
        """Compute what is kept of the blocks within these classes."""

    @abstractmethod
    def solve_tile(self, g: int, h: int, map_parts: Map = map) -> int:
        """Solve the pairs between groups g and h, its parts run by `map_parts`; count them."""

    @abstractmethod
    def collect(self, pairs: list[tuple[int, int]]) -> Arrays:
        """Return the solutions of pairs as arrays, to be kept."""

    @abstractmethod
    def store(self, pairs: list[tuple[int, int]], solutions: Arrays) -> int:
        """Write what `collect` returned to its places; return what `solve_tile` does."""

    def solve_rest(self, map_blocks: Map, done: Callable[[int], None], parts: KeptParts) -> None:
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
