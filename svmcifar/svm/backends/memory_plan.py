"""Which schedule of kernel tiles fits a memory limit."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf

from svmcifar.compute.memory import format_bytes, format_least
from svmcifar.errors import MemoryLimitError
from svmcifar.svm.kernels.blocks import BLOCK

_FLOAT32_BYTES = 4


@dataclass(frozen=True)
class Plan:
    """A schedule of kernel tiles that fits a memory limit.

    Attributes
    ----------
    groups : tuple of (int, int)
        First and last class of each group.  A tile is the kernel between two
        groups, or within one, and holds the blocks of all pairs between them.
    n_workers : int
        Threads to work with.
    keep_diagonals : bool
        Whether the blocks within each class are computed once and kept, or
        again for each tile.
    n_bytes : int
        Largest working memory of the schedule.
    """

    groups: tuple[tuple[int, int], ...]
    n_workers: int
    keep_diagonals: bool
    n_bytes: int

    @property
    def tiles(self) -> list[tuple[int, int]]:
        """Pairs of groups, as indices into `groups`; (g, g) is the tile within g."""
        n = len(self.groups)
        return [(g, h) for g in range(n) for h in range(g, n) if g < h or not self._single(g)]

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
        return len(self.tiles) < self.n_workers

    def describe(self) -> str:
        """Describe in a few words how the memory is divided."""
        if len(self.groups) == 1:
            tiles = "whole kernel matrix"
        elif all(first == last for first, last in self.groups):
            tiles = "a tile for each pair of classes"
        else:
            tiles = f"tiles between {len(self.groups)} groups of classes"
        diagonals = "kept" if self.keep_diagonals else "computed again for each tile"
        return f"{tiles}, blocks within classes {diagonals}, {format_bytes(self.n_bytes)} at most"

    def _single(self, group: int) -> bool:
        first, last = self.groups[group]
        return first == last


@dataclass(frozen=True)
class Holding:
    """What a solver holds in memory while it works through tiles, in bytes.

    Attributes
    ----------
    tile : int
        For each entry of a tile.
    kept : int
        For each entry of a block within a class, where those are kept.
    made : int
        For each entry of the blocks within a tile's classes, where they are computed again.
    scratch : callable
        Of each worker, from the entries of the largest block and the samples of the largest group.
    beside : int, default=0
        For each entry of the blocks within a tile's classes, kept or not.
    starts : int, default=0
        For each sample of each pair of a tile.
    pair : int, default=0
        For each sample of a pair that is being solved.
    pairs_at_once : bool, default=False
        Whether workers that share a tile solve its pairs at the same time.
    always : int, default=0
        Under any schedule.
    """

    tile: int
    kept: int
    made: int
    scratch: Callable[[int, int], int]
    beside: int = 0
    starts: int = 0
    pair: int = 0
    pairs_at_once: bool = False
    always: int = 0


def make_plan(sizes: list[int], n_workers: int, limit_bytes: int | None, itemsize: int) -> Plan:
    """Choose the fastest schedule for the kernel values of one gamma (see `choose_plan`).

    `itemsize` is the bytes of a distance: 4, or 8 where they are computed in float64.
    """
    return choose_plan(
        sizes,
        n_workers,
        limit_bytes,
        kernel_holding(itemsize),
        "the kernel blocks",
        ", train on fewer samples, or use the backend 'sklearn', which needs little memory but far "
        "more time",
    )


def kernel_holding(itemsize: int) -> Holding:
    """Return what the backend "numba" holds: float32 kernel values, and distances in float64."""

    def scratch(block: int, group: int) -> int:
        # float64 distances cannot be made where the float32 kernel values go.
        return itemsize * min(BLOCK**2, block) if itemsize > _FLOAT32_BYTES else 0

    return Holding(_FLOAT32_BYTES, _FLOAT32_BYTES, _FLOAT32_BYTES, scratch)


def choose_plan(
    sizes: list[int],
    n_workers: int,
    limit_bytes: int | None,
    holding: Holding,
    what: str,
    remedy: str,
) -> Plan:
    """Choose the fastest schedule that fits.

    In order of preference: small classes grouped into tiles that suit the
    matrix product, and diagonal blocks kept; fewer workers; diagonal blocks
    computed again for each tile; one class a group.  The grouping, which decides
    how float32 sums are rounded, does not depend on the number of workers.

    Parameters
    ----------
    sizes : list of int
        Samples of each class.
    n_workers : int
        Largest number of workers.
    limit_bytes : int or None
        Limit on the working memory: kernel blocks, not samples and model.
    holding : Holding
    what : str
        What has to fit, for the error.
    remedy : str
        What to do besides raising the limit, for the error.

    Returns
    -------
    Plan

    Raises
    ------
    MemoryLimitError
        If no schedule fits.
    """
    plans = (
        cost_schedule(sizes, groups, workers, keep, holding)
        for groups in (group_classes(sizes), [(c, c) for c in range(len(sizes))])
        for keep in (True, False)
        for workers in range(n_workers, 0, -1)
    )
    if limit_bytes is None:
        return next(plans)
    least_bytes = inf
    for plan in plans:
        if plan.n_bytes <= limit_bytes:
            return plan
        least_bytes = min(least_bytes, plan.n_bytes)
    raise MemoryLimitError(
        f"The memory limit must be at least {format_least(least_bytes)} for {what} "
        f"of the largest pair of classes ({max(sizes)} samples in the larger one). "
        f"Got {format_bytes(limit_bytes)} instead. Raise it{remedy}."
    )


def group_classes(sizes: list[int]) -> list[tuple[int, int]]:
    """Group neighbouring classes whose samples fit one block of the matrix product."""
    groups: list[tuple[int, int]] = []
    total = BLOCK + 1
    for c, size in enumerate(sizes):
        if total + size > BLOCK:
            groups.append((c, c))
            total = size
        else:
            groups[-1] = (groups[-1][0], c)
            total += size
    return groups


def cost_schedule(
    sizes: list[int], groups: list[tuple[int, int]], workers: int, keep: bool, holding: Holding
) -> Plan:
    """Return one schedule with the memory that it takes."""
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
    per_pair = _FLOAT32_BYTES * cut + holding.pair * (smaller + larger)

    plan = Plan(tuple(groups), workers, keep, 0)
    tiles_at_once = 1 if plan.shares_tiles else workers
    pairs_at_once = workers if holding.pairs_at_once else tiles_at_once
    n_bytes = holding.always + (holding.kept * within if keep else 0)
    n_bytes += tiles_at_once * per_tile + pairs_at_once * per_pair
    n_bytes += workers * holding.scratch(max(tile, larger**2), totals[-1])
    return replace(plan, n_bytes=n_bytes)
