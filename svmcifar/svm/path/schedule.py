"""Solving every point of a search over one pass of the distances.

The schedule is that of `svmcifar.svm.backends.tiles`.  The inner products of a tile are computed
once, extended from the fewest features to the most, and turned into the kernel of each gamma.  Each
pair is solved for every C in turn with warm starts: from the solution for the previous C, or for
the first C from that for the previous gamma.
"""

from concurrent.futures import Executor
from functools import partial
from itertools import groupby
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

import svmcifar
from svmcifar.io.content_hash import content_hash
from svmcifar.io.kept_parts import Arrays, KeptParts
from svmcifar.svm.backends.memory_plan import Plan
from svmcifar.svm.backends.smo import solve_path
from svmcifar.svm.backends.tiles import Map, TiledRun
from svmcifar.svm.kernels.kernel import Kernel
from svmcifar.svm.one_vs_one import pair_number
from svmcifar.svm.path.problem import Path, SearchProblem
from svmcifar.svm.path.products import STRIP, extend_products
from svmcifar.svm.problem import Progress
from svmcifar.svm.samples import SampleBlocks

Array = NDArray[Any]
# Each pair's coefficients for the smallest C and the previous gamma.
Starts = dict[tuple[int, int], Array]


def solve_paths(
    problem: SearchProblem, plan: Plan, progress: Progress = lambda n_solved: None
) -> None:
    """Solve every pair of every point, and write the solutions into the paths.

    `plan` is from `svmcifar.svm.path.memory_plan.make_search_plan`; solutions do not depend on its
    number of workers.  `progress` is called with the number of pairs just solved, counted for each
    point, by one thread at a time.
    """
    with KeptParts(lambda: _hash(problem, plan)) as parts:
        _Run(problem, plan, progress).solve(lambda _: None, parts)


def _hash(problem: SearchProblem, plan: Plan) -> str:
    """Hash all that solutions depend on."""
    widest = problem.paths[-1].problem
    of_paths = [
        [path.n_features, path.problem.kernel.gamma, path.C, path.points] for path in problem.paths
    ]
    of_plan = [plan.groups, plan.keep_diagonals]
    of_pairs = [widest.starts, widest.upper, int(widest.precision), widest.tol, widest.max_iter]
    return content_hash(
        "search", svmcifar.__version__, widest.samples.X, of_paths, of_plan, of_pairs
    )


class _Run(TiledRun):
    """The schedule with inner products that all kernels share."""

    def __init__(self, problem: SearchProblem, plan: Plan, progress: Progress) -> None:
        widest = problem.paths[-1].problem
        super().__init__(widest, plan)
        self.kernel, self.samples = widest.kernel, widest.samples
        self.progress = progress
        self.lock = Lock()
        self.paths = problem.paths
        self.by_width = [
            (width, list(paths)) for width, paths in groupby(problem.paths, lambda p: p.n_features)
        ]
        # Inner products within each class, by class and number of features.
        self.diagonals: dict[tuple[int, int], Array] = {}

    def compute_diagonals(self, classes: list[int], pool: Executor) -> None:
        """Compute the inner products within classes."""
        for products in pool.map(self._products_within, classes):
            self.diagonals |= products

    def collect(self, pairs: list[tuple[int, int]]) -> Arrays:
        """Return coefficients and statistics of pairs for the points of each kernel."""
        numbers = [pair_number(a, b, len(self.class_rows)) for a, b in pairs]
        arrays = {}
        for i, path in enumerate(self.paths):
            arrays[f"coef{i}"] = np.concatenate([path.coef_of(a, b) for a, b in pairs], axis=1)
            arrays[f"stats{i}"] = path.stats[:, numbers]
        return arrays

    def store(self, pairs: list[tuple[int, int]], solutions: Arrays) -> int:
        """Write what `collect` returned to its places, and count it as progress."""
        for i, path in enumerate(self.paths):
            sizes = [len(path.problem.upper_of(a, b)) for a, b in pairs]
            parts = np.split(solutions[f"coef{i}"], np.cumsum(sizes)[:-1], axis=1)
            for number, (pair, coef) in enumerate(zip(pairs, parts, strict=True)):
                path.store(*pair, coef, solutions[f"stats{i}"][:, number])
            self.progress(len(path.points) * len(pairs))
        return len(pairs)

    def _products_within(self, c: int) -> dict[tuple[int, int], Array]:
        """Compute the inner products within class c, for each number of features."""
        by_width: dict[tuple[int, int], Array] = {}
        products, done = self._empty_within(c), 0
        for width, _ in self.by_width:
            self._extend_within({c: products}, slice(done, width), c)
            by_width[c, width], done = products, width
            if width != self.by_width[-1][0]:
                products = products.copy()
        return by_width

    def _empty_within(self, c: int) -> Array:
        n = self.class_rows[c].stop - self.class_rows[c].start
        return np.empty((n, n), dtype=self.samples.X.dtype)

    def _extend_within(self, within: dict[int, Array], columns: slice, c: int) -> None:
        A = self.samples[self.class_rows[c]].X
        extend_products(self.kernel, A, A, columns, within[c])

    def solve_tile(self, g: int, h: int, map_parts: Map = map) -> int:
        """Solve the pairs between groups g and h for every point; return their number."""
        rows, columns = self.group_rows[g], self.group_rows[h]
        A = self.samples[rows].X
        B = A if g == h else self.samples[columns].X
        products = np.empty((len(A), len(B)), dtype=A.dtype)
        K = np.empty(products.shape, dtype=np.float32)
        classes = sorted({c for pair in self.plan.pairs(g, h) for c in pair})
        within: dict[int, Array] = {}
        if not self.plan.keep_diagonals:
            within = {c: self._empty_within(c) for c in classes}
        done = 0
        for width, paths in self.by_width:
            extend_products(self.kernel, A, B, slice(done, width), products, map_parts)
            if self.plan.keep_diagonals:
                within = {c: self.diagonals[c, width] for c in classes}
            else:
                extend = partial(self._extend_within, within, slice(done, width))
                for _ in map_parts(extend, classes):
                    pass
            done = width
            starts: Starts = {}
            for path in paths:
                of_a, of_b = path.samples[rows], path.samples[columns]
                _fill_kernel(path.problem.kernel, of_a, of_b, products, K, map_parts)
                self._solve_path(path, g, h, K, within, starts, map_parts)
        return len(self.plan.pairs(g, h))

    def _solve_path(
        self,
        path: Path,
        g: int,
        h: int,
        K: Array,
        products_within: dict[int, Array],
        starts: Starts,
        map_parts: Map,
    ) -> None:
        """Solve the pairs between groups g and h for the points of one kernel."""
        kernels = map_parts(partial(self._kernel_within, path, products_within), products_within)
        within = dict(zip(products_within, kernels, strict=True))

        def solve(pair: tuple[int, int]) -> None:
            if self.cancelled[0]:
                return
            a, b = pair
            betas, stats, _ = solve_path(
                self.cut_pair(K, g, h, pair, within),
                path.C,
                path.problem.upper_of(a, b),
                starts.get(pair),
                tol=path.problem.tol,
                max_iter=path.problem.max_iter,
                cancelled=self.cancelled,
            )
            path.store(a, b, betas, stats)
            starts[pair] = betas[0].copy()  # not a view that keeps all of them
            with self.lock:
                self.progress(len(betas))

        for _ in map_parts(solve, self.plan.pairs(g, h)):
            pass

    def _kernel_within(self, path: Path, within: dict[int, Array], c: int) -> Array:
        """Compute the kernel within class c from its inner products."""
        products = within[c]
        samples = path.samples[self.class_rows[c]]
        K = np.empty(products.shape, dtype=np.float32)
        _fill_kernel(path.problem.kernel, samples, samples, products, K)
        np.fill_diagonal(K, path.problem.kernel.diagonal(samples))
        return K


def _fill_kernel(
    kernel: Kernel,
    A: SampleBlocks,
    B: SampleBlocks,
    products: Array,
    K: Array,
    map_parts: Map = map,
) -> None:
    """Turn the products of a tile into kernel values, a strip of rows at a time."""

    def fill(start: int) -> None:
        strip = slice(start, start + STRIP)
        kernel.write(products[strip], A.sq_norms[strip], B.sq_norms, K[strip])

    for _ in map_parts(fill, range(0, len(K), STRIP)):
        pass
