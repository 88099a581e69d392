"""Which schedule of kernel tiles fits a memory limit."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import combinations, combinations_with_replacement
from math import inf

from svmcifar.compute.memory import format_bytes
from svmcifar.svm.backends.working_set import RowPlan, least_rows_bytes, plan_rows, too_small
from svmcifar.svm.kernels.blocks import BLOCK

_NO_ROWS = RowPlan(0, 0, 0)
# Classes of at least so many samples with at most so many features are solved on rows made on
# demand: these cost less than to read rows that lie in memory.
_MANY_SAMPLES, _FEW_FEATURES = 5_000, 128


@dataclass(frozen=True)
class Plan:
    """A schedule of kernel tiles that fits a memory limit.

    A tile is the kernel between two groups of classes, or within one, and holds the blocks of all
    pairs between them.
    """

    groups: tuple[tuple[int, int], ...]  # first and last class of each
    n_workers: int  # threads
    keep_diagonals: bool  # compute blocks within classes once, not again for each tile
    n_bytes: int  # largest working memory
    # Classes whose pairs are solved on rows made on demand; each is a group of its own.
    on_demand: frozenset[int] = frozenset()
    rows: RowPlan = _NO_ROWS  # for these pairs

    @property
    def tiles(self) -> list[tuple[int, int]]:
        """Pairs of groups, as indices into `groups`; (g, g) is the tile within g."""
        tiles = combinations_with_replacement(self._resident, 2)
        return [(g, h) for (g, (first, last)), (h, _) in tiles if g < h or first < last]

    @property
    def n_tiles(self) -> int:
        """Number of `tiles`."""
        resident = self._resident
        within = sum(first < last for _, (first, last) in resident)
        return len(resident) * (len(resident) - 1) // 2 + within

    @property
    def _resident(self) -> list[tuple[int, tuple[int, int]]]:
        """Numbers and classes of the groups that are on tiles."""
        return [(g, group) for g, group in enumerate(self.groups) if group[0] not in self.on_demand]

    @property
    def pairs_on_demand(self) -> list[tuple[int, int]]:
        """Pairs that lie on no tile."""
        pairs = combinations(range(self.groups[-1][1] + 1), 2)
        return [(a, b) for a, b in pairs if a in self.on_demand or b in self.on_demand]

    def pairs(self, g: int, h: int) -> list[tuple[int, int]]:
        """Return the pairs of classes of the tile between groups g and h."""
        (a_first, a_last), (b_first, b_last) = self.groups[g], self.groups[h]
        return [
            (a, b)
            for a in range(a_first, a_last + 1)
            for b in range(max(b_first, a + 1), b_last + 1)
        ]

    @property
    def shares_tiles(self) -> bool:
        """Whether all workers share each tile, because there are fewer tiles than workers."""
        return self.n_tiles < self.n_workers

    def describe(self) -> str:
        """Describe in a few words how the memory is divided."""
        if len(self.groups) == 1:
            tiles = "whole kernel matrix"
        elif all(first == last for first, last in self.groups):
            tiles = "a tile for each pair of classes"
        else:
            tiles = f"tiles between {len(self.groups)} groups of classes"
        diagonals = "kept" if self.keep_diagonals else "computed again for each tile"
        parts = [f"{tiles}, blocks within classes {diagonals}"] if self.n_tiles else []
        if self.on_demand:
            parts.append(f"{len(self.pairs_on_demand)} pairs on kernel rows made on demand")
        return f"{', '.join(parts)}, {format_bytes(self.n_bytes)} at most"


@dataclass(frozen=True)
class Holding:
    """What a solver holds in memory while it works through tiles, in bytes."""

    tile: int  # for each entry of a tile
    kept: int  # for each entry of a block within a class, where those are kept
    made: int  # for each entry of the blocks within a tile's classes, where not
    # Of each worker, from the entries of the largest block and the samples of the largest group.
    scratch: Callable[[int, int], int]
    beside: int = 0  # for each entry of the blocks within a tile's classes, kept or not
    starts: int = 0  # for each sample of each pair of a tile
    cut: int = 4  # for each entry of a pair's block that is cut out of a tile
    pair: int = 0  # for each sample of a pair that is being solved
    pairs_at_once: bool = False  # whether workers that share a tile solve its pairs in parallel
    always: int = 0  # under any schedule


def make_plan(
    sizes: list[int],
    n_features: int,
    n_workers: int,
    limit_bytes: int | None,
    itemsize: int,
    stored: int = 4,
    in_file: bool = False,
    at_least: int = 0,
    n_products: int = 1,
) -> Plan:
    """Choose a schedule for one gamma and the `itemsize` of samples and distances.

    `stored` are the bytes of a kernel value, and `at_least` what else must fit the limit, after it;
    `n_products` are those of `svmcifar.svm.kernels.kernel.Kernel`.

    The limit is on the sorted copy of the samples too (see `choose_plan`), or, where they are read
    from a file, on the rows that are in use.  Where no schedule fits,
    the largest classes are solved on rows made on demand, as few as possible.  Raise
    MemoryLimitError if not even a few rows of the largest pair fit.
    """
    smaller, larger = sorted(sizes)[-2:]
    n, n_held = smaller + larger, sum(sizes)
    if in_file:
        n_held = min(n_held, 2 * n_workers * max(BLOCK, *sizes))
    held = n_held * n_features * itemsize
    of_products = n_products * itemsize
    if limit_bytes is not None:
        holding = replace(kernel_holding(of_products, stored), always=held)
        of_tiles = min(plan.n_bytes for plan in _schedules(sizes, 1, holding))
        of_rows = least_rows_bytes(n, n_features, n_workers, of_products, stored, held)
        least = max(at_least, min(of_tiles, of_rows))
        if limit_bytes < least:
            raise too_small(limit_bytes, least, n)
    many = _MANY_SAMPLES if n_features <= _FEW_FEATURES else max(sizes) + 1
    thresholds = [many, *sorted({size for size in sizes if size < many}, reverse=True)]
    for threshold in thresholds:
        on_demand = frozenset(c for c, size in enumerate(sizes) if size >= threshold)
        plan = make_tile_plan(sizes, n_workers, limit_bytes, of_products, on_demand, held, stored)
        if plan and not on_demand:
            return plan
        if plan:
            break
    rows = plan_rows(n, n_features, n_workers, limit_bytes, of_products, stored, held)
    assert plan is not None  # what has room for rows has room for no tiles
    return replace(plan, rows=rows, n_bytes=max(plan.n_bytes, rows.n_bytes))


def make_tile_plan(
    sizes: list[int],
    n_workers: int,
    limit_bytes: int | None,
    itemsize: int,
    on_demand: frozenset[int] = frozenset(),
    held: int = 0,
    stored: int = 4,
) -> Plan | None:
    """Choose a schedule for one gamma of the pairs between classes that are not `on_demand`.

    `held` are bytes of samples, which count under any schedule; None if none fits.
    """
    holding = replace(kernel_holding(itemsize, stored), always=held)
    return choose_plan(sizes, n_workers, limit_bytes, holding, on_demand)


def kernel_holding(itemsize: int, stored: int = 4) -> Holding:
    """Return what the backend "numba" holds: kernel values of `stored` bytes, and distances."""
    # float64 distances cannot be computed in the place of float32 kernel values.
    entry_bytes = itemsize if itemsize > stored else 0
    return Holding(
        tile=stored,
        kept=stored,
        made=stored,
        cut=stored,
        scratch=lambda block, group: entry_bytes * min(BLOCK**2, block),
        pair=8 * 16,  # vectors of the solver
        pairs_at_once=True,
    )


def choose_plan(
    sizes: list[int],
    n_workers: int,
    limit_bytes: int | None,
    holding: Holding,
    on_demand: frozenset[int] = frozenset(),
) -> Plan | None:
    """Choose the fastest schedule that fits, None if none does.

    In order of preference: small classes grouped into tiles that suit the
    matrix product, and diagonal blocks kept; fewer workers; diagonal blocks
    computed again for each tile; one class a group.  The grouping, which decides
    how float32 sums are rounded, does not depend on the number of workers.

    `sizes` are the samples of each class; the limit is on all that `holding` counts.  Classes
    `on_demand` are on no tile.
    """
    limit = inf if limit_bytes is None else limit_bytes
    plans = _schedules(sizes, n_workers, holding, on_demand)
    return next((plan for plan in plans if plan.n_bytes <= limit), None)


def _schedules(
    sizes: list[int], n_workers: int, holding: Holding, on_demand: frozenset[int] = frozenset()
) -> Iterator[Plan]:
    """Yield schedules, the fastest first."""
    for groups in (group_classes(sizes, on_demand), [(c, c) for c in range(len(sizes))]):
        for keep in (True, False):
            for workers in range(n_workers, 0, -1):
                yield cost_schedule(sizes, groups, workers, keep, holding, on_demand)


def group_classes(
    sizes: list[int], on_demand: frozenset[int] = frozenset()
) -> list[tuple[int, int]]:
    """Group neighbouring classes whose samples fit one block of the matrix product."""
    groups: list[tuple[int, int]] = []
    total = BLOCK + 1
    for c, size in enumerate(sizes):
        size = BLOCK + 1 if c in on_demand else size
        if total + size > BLOCK:
            groups.append((c, c))
            total = size
        else:
            groups[-1] = (groups[-1][0], c)
            total += size
    return groups


def cost_schedule(
    sizes: list[int],
    groups: list[tuple[int, int]],
    workers: int,
    keep: bool,
    holding: Holding,
    on_demand: frozenset[int] = frozenset(),
) -> Plan:
    """Return one schedule with the memory that it takes."""
    sizes = [0 if c in on_demand else size for c, size in enumerate(sizes)]
    totals = sorted(sum(sizes[first : last + 1]) for first, last in groups)
    tile = totals[-1] * (totals[-2] if len(totals) > 1 else totals[-1])
    if any(first < last for first, last in groups):
        tile = max(tile, totals[-1] ** 2)
    within = sum(size**2 for size in sizes)
    within_group = max(sum(size**2 for size in sizes[first : last + 1]) for first, last in groups)
    most_pairs = max(last + 1 - first for first, last in groups) ** 2
    smaller, larger = sorted(sizes)[-2:]

    per_tile = holding.tile * tile + holding.starts * (smaller + larger) * most_pairs
    per_entry = holding.beside + (0 if keep else holding.made)
    per_tile += per_entry * min(within, 2 * within_group)
    # The transpose of one pair's block, and that block cut out of a larger tile.
    cut = smaller * larger * (2 if tile > smaller * larger else 1)
    per_pair = holding.cut * cut + holding.pair * (smaller + larger)

    plan = Plan(tuple(groups), workers, keep, 0, on_demand)
    tiles_at_once = 1 if plan.shares_tiles else workers
    pairs_at_once = tiles_at_once
    if holding.pairs_at_once:
        pairs_at_once = max(tiles_at_once, min(workers, most_pairs))
    n_bytes = holding.always + (holding.kept * within if keep else 0)
    # A worker computes kernel values or solves pairs.
    scratch = workers * holding.scratch(max(tile, larger**2), totals[-1])
    n_bytes += tiles_at_once * per_tile + max(pairs_at_once * per_pair, scratch)
    return replace(plan, n_bytes=n_bytes)
