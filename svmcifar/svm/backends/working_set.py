"""One binary SVM on kernel rows made on demand: for pairs too large for a resident matrix.

This is decomposition.  The samples that violate the optimality conditions most, and half of the
previous ones, are the working set; its own kernel matrix is resident, and SMO solves it
(`svmcifar.svm.backends.smo`).  The rows of its samples then update the negative gradient of all
samples.  It stops by the rule of SMO on a resident matrix.  Rows are kept as far as the memory
allows, those used last the longest.

References
----------
Z. Wen, J. Shi, Q. Li, B. He, J. Chen, "ThunderSVM: A fast SVM library on GPUs and CPUs", JMLR 19
(2018), section 2.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from svmcifar.compute.jit import njit
from svmcifar.compute.memory import format_bytes, format_least
from svmcifar.errors import MemoryLimitError
from svmcifar.svm.backends.smo import STEPS_PER_CALL, step_limit
from svmcifar.svm.backends.smo_numba import dual_objective, end_state, solve_within
from svmcifar.svm.kernels.blocks import BLOCK, compute_kernel, kernel_block
from svmcifar.svm.kernels.kernel import Kernel
from svmcifar.svm.problem import FloatArray, PairSolution
from svmcifar.svm.samples import SampleBlocks

Array = NDArray[Any]
Map = Callable[..., Iterable[Any]]

# Samples in the working set: more need more rows at a time, fewer more rounds over all samples.
_MOST_WORKING, _LEAST_WORKING = 2048, 16
# Memory for rows, if the limit allows: what is made again costs less than what waits for memory.
_ROW_BYTES = 160 * 2**20
# Of the gap that is left, what the working set is solved to: closer is undone by the next one.
_INNER_SHARE = 0.1


@dataclass(frozen=True)
class RowPlan:
    """How many kernel rows of a pair are in memory."""

    n_working: int  # samples of the working set
    n_rows: int  # rows that are kept, at least those of the working set
    n_bytes: int  # working memory


def plan_rows(
    n: int,
    n_features: int,
    n_workers: int,
    limit_bytes: int | None,
    itemsize: int,
    stored: int = 4,
    held: int = 0,
) -> RowPlan:
    """Plan for a pair of n samples, whose distances and rows have these sizes of an entry.

    `held` bytes of samples count besides.  Raise MemoryLimitError if not even a small working set
    fits.
    """

    def n_bytes(n_working: int, n_rows: int) -> int:
        return held + _rows_bytes(n, n_features, n_workers, itemsize, stored, n_working, n_rows)

    limit = 2**62 if limit_bytes is None else limit_bytes
    n_working = min(n, _MOST_WORKING)
    while n_bytes(n_working, n_working) > limit and n_working > _LEAST_WORKING:
        n_working = max(n_working // 2, _LEAST_WORKING)
    least = n_bytes(n_working, n_working)
    if least > limit:
        raise too_small(limit, least, n)
    room = min(limit - least, _ROW_BYTES) // (n * stored)
    n_rows = min(n, max(n_working, room))
    return RowPlan(n_working, n_rows, n_bytes(n_working, n_rows))


def least_rows_bytes(
    n: int, n_features: int, n_workers: int, itemsize: int, stored: int = 4, held: int = 0
) -> int:
    """Return the least limit that `plan_rows` takes."""
    least = min(n, _LEAST_WORKING)
    return held + _rows_bytes(n, n_features, n_workers, itemsize, stored, least, least)


def _rows_bytes(
    n: int, n_features: int, n_workers: int, itemsize: int, stored: int, n_working: int, n_rows: int
) -> int:
    vectors = 16 * 8 * n
    within = n_working**2 * (3 * stored + itemsize)
    made = n_working * (n_features + n_workers * min(BLOCK, n)) * itemsize
    return n_rows * n * stored + vectors + within + made


def too_small(limit_bytes: int, least_bytes: int, n: int) -> MemoryLimitError:
    """Return the error for a limit that does not do for a largest pair of n samples."""
    return MemoryLimitError(
        f"The memory limit must be at least {format_least(least_bytes)} for samples and kernel "
        f"rows of the largest pair of classes ({n} samples). Got {format_bytes(limit_bytes)} "
        f"instead. Raise it, or train on fewer samples."
    )


class _Rows:
    """Kernel rows of one pair."""

    def __init__(
        self,
        kernel: Kernel,
        parts: tuple[SampleBlocks, SampleBlocks],
        n_rows: int,
        dtype: Any,
        map_blocks: Map,
    ) -> None:
        self.kernel = kernel
        self.parts = parts
        self.n_a = len(parts[0])
        self.n = self.n_a + len(parts[1])
        self.map_blocks = map_blocks
        self.values = np.empty((min(n_rows, self.n), self.n), dtype=dtype)
        self.place = np.full(self.n, -1)  # of each sample's row in `values`, -1 for none
        self.sample = np.full(len(self.values), -1)  # whose row lies in each place
        self.last_used = np.zeros(len(self.values), dtype=np.int64)
        self.clock = 0

    def places(self, samples: Array) -> Array:
        """Return where in `values` the rows of samples are, after making those that are not."""
        self.clock += 1
        present = self.place[samples]
        self.last_used[present[present >= 0]] = self.clock
        missing = samples[present < 0]
        if len(missing):
            free = np.argpartition(self.last_used, len(missing) - 1)[: len(missing)]
            before = self.sample[free]
            self.place[before[before >= 0]] = -1
            self.place[missing], self.sample[free] = free, missing
            self.last_used[free] = self.clock
            self._make(missing, free)
        return self.place[samples]

    def take(self, samples: Array) -> tuple[SampleBlocks, SampleBlocks]:
        """Copy samples, in ascending order, of each class."""
        n_of_a = np.searchsorted(samples, self.n_a)
        of_class = samples[:n_of_a], samples[n_of_a:] - self.n_a
        a, b = (
            SampleBlocks(part.X[rows], part.sq_norms[rows])
            for part, rows in zip(self.parts, of_class, strict=True)
        )
        return a, b

    def within(self, samples: Array) -> tuple[Array, Array, Array, Array, Array | None]:
        """Compute the kernel between samples, in ascending order, as the blocks of a pair.

        The last is its diagonal, None if that is 1.
        """
        A, B = self.take(samples)
        aa, ab, bb = (
            compute_kernel(self.kernel, P, Q, np.empty((len(P), len(Q)), self.values.dtype))
            for P, Q in ((A, A), (A, B), (B, B))
        )
        diagonal = None
        if not self.kernel.has_unit_diagonal:
            diagonal = np.concatenate([np.diag(aa), np.diag(bb)]).astype(np.float64)
        return aa, ab, np.ascontiguousarray(ab.T), bb, diagonal

    def add_products(self, samples: Array, change: FloatArray, v: FloatArray) -> None:
        """Add ``change @ K[samples]`` to `v`; the rows of `samples` are made first."""
        places = self.places(samples)

        def add(block: slice) -> None:
            _add_products(self.values, places, change, v, block.start, block.stop)

        for _ in self.map_blocks(add, _cut(self.n)):
            pass

    def _make(self, samples: Array, places: Array) -> None:
        """Compute the rows of samples into places."""
        order = np.argsort(samples)
        samples, places = samples[order], places[order]
        chosen = self.take(samples)
        rows = SampleBlocks(
            np.concatenate([part.X for part in chosen]),
            np.concatenate([part.sq_norms for part in chosen]),
        )

        def fill(block: tuple[int, slice]) -> None:
            number, columns = block
            part, first = self.parts[number][columns], number * self.n_a + columns.start
            self.values[places, first : first + len(part)] = kernel_block(self.kernel, rows, part)

        blocks = [(number, cut) for number in (0, 1) for cut in _cut(len(self.parts[number]))]
        for _ in self.map_blocks(fill, blocks):
            pass
        self.values[places, samples] = self.kernel.diagonal(rows)


def solve_on_demand(
    kernel: Kernel,
    parts: tuple[SampleBlocks, SampleBlocks],
    upper: FloatArray,
    start: FloatArray | None = None,
    *,
    plan: RowPlan,
    dtype: Any = np.float32,
    tol: float,
    max_iter: int,
    cancelled: NDArray[np.bool_],
    map_blocks: Map = map,
) -> PairSolution:
    """Solve the binary SVM between the samples of two classes.

    Kernel values have `dtype`; `start` are feasible signed coefficients to begin with.  `max_iter`
    limits the steps, 0 takes none and tells the state of `start`.  `cancelled`, (1,) bool, ends the
    work.  An executor's ``map`` for `map_blocks` makes rows in parallel.
    """
    rows = _Rows(kernel, parts, plan.n_rows, dtype, map_blocks)
    n, n_a = rows.n, rows.n_a
    y = np.where(np.arange(n) < n_a, 1.0, -1.0)
    low, high = np.where(y > 0, 0.0, -upper), np.where(y > 0, upper, 0.0)
    beta = np.zeros(n) if start is None else start.copy()
    product = np.zeros(n)
    support = np.flatnonzero(beta)
    for part in range(0, len(support), plan.n_working):
        chosen = support[part : part + plan.n_working]
        rows.add_products(chosen, beta[chosen], product)
    v = y - product
    most_steps, n_iter = step_limit(max_iter, n), 0
    working = np.empty(0, dtype=np.intp)
    while n_iter < most_steps and not cancelled[0]:
        rising, falling = np.where(beta < high, v, -np.inf), np.where(beta > low, v, np.inf)
        gap = rising.max() - falling.min()
        if gap <= tol:
            break
        working = _choose(rising, falling, working, plan.n_working)
        solved = beta[working]
        n_iter += solve_within(
            *rows.within(working), solved, v[working], low[working], high[working],
            max(tol, _INNER_SHARE * gap), min(STEPS_PER_CALL, most_steps - n_iter),
        )  # fmt: skip
        change = solved - beta[working]
        beta[working] = solved
        moved = change != 0
        rows.add_products(working[moved], -change[moved], v)
    intercept, gap = end_state(beta, v, n_a, upper)
    return PairSolution(beta, intercept, dual_objective(beta, v), gap, n_iter)


def _cut(n: int) -> list[slice]:
    """Cut n samples into blocks, whatever the number of workers."""
    return [slice(start, min(start + BLOCK, n)) for start in range(0, n, BLOCK)]


def _choose(rising: FloatArray, falling: FloatArray, before: Array, n_working: int) -> Array:
    """Choose the working set: the worst violators, and half of the one before, in ascending order.

    `rising` and `falling` are the negative gradient where a coefficient may rise and fall, and
    infinite elsewhere; both worst ones are always chosen.
    """
    n_working = min(n_working, len(rising))
    n_new = max(n_working // 2, 2) if len(before) else n_working
    chosen = np.zeros(len(rising), dtype=bool)
    for values, n_more in ((-rising, (n_new + 1) // 2), (falling, n_new // 2)):
        worst = np.argpartition(values, n_more - 1)[:n_more]
        chosen[worst[np.isfinite(values[worst])]] = True
    kept = before[~chosen[before]]
    # Of those before, the ones that may still move both ways.
    free = np.isfinite(rising[kept]) & np.isfinite(falling[kept])
    kept = kept[np.argsort(~free, kind="stable")][: n_working - int(chosen.sum())]
    chosen[kept] = True
    return np.flatnonzero(chosen)


@njit(nogil=True, cache=True, fastmath={"nnan", "nsz", "reassoc", "contract"}, error_model="numpy")
def _add_products(rows, places, change, v, first, last):  # type: ignore[no-untyped-def]
    """Add the product of changes and rows to ``v`` of the samples `first` to `last`."""
    total = np.zeros(last - first)
    for k in range(len(places)):
        row = rows[places[k]]
        for j in range(last - first):
            total[j] += change[k] * row[first + j]
    for j in range(last - first):
        v[first + j] += total[j]
