"""How the blocked solver spends its memory."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf

from svmcifar.compute.memory import format_bytes
from svmcifar.errors import MemoryLimitError
from svmcifar.svm.kernels.blocks import BLOCK

_FLOAT32_BYTES = 4
_REMEDY = (
    ", train on fewer samples, or use the backend 'sklearn', which needs little memory but far "
    "more time"
)


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
        Largest working memory that the schedule takes.
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
        """List the pairs of classes of the tile between groups g and h."""
        (a_first, a_last), (b_first, b_last) = self.groups[g], self.groups[h]
        return [
            (a, b)
            for a in range(a_first, a_last + 1)
            for b in range(max(b_first, a + 1), b_last + 1)
        ]

    @property
    def shares_tiles(self) -> bool:
        """Whether there are too few tiles to go round, so that all workers share each."""
        return len(self.tiles) < self.n_workers

    def describe(self) -> str:
        """Tell in a few words how the memory is divided."""
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


# Costs a schedule: sizes of the classes, groups, workers, diagonals kept?, bytes of a distance.
Cost = Callable[[list[int], list[tuple[int, int]], int, bool, int], Plan]


def make_plan(
    sizes: list[int],
    n_workers: int,
    limit_bytes: int | None,
    itemsize: int,
    cost: Cost | None = None,
    what: str = "the kernel blocks",
    remedy: str = _REMEDY,
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
        Workers there are.
    limit_bytes : int or None
        Limit on the working memory: kernel blocks, not samples and model.
    itemsize : int
        Bytes of a distance: 4, or 8 where they are computed in float64.
    cost : callable, optional
        Makes a plan of a schedule; the solver's own by default.
    what : str, optional
        What is to fit, for the error.
    remedy : str, optional
        What the error tells to do besides raising the limit.

    Returns
    -------
    Plan

    Raises
    ------
    MemoryLimitError
        If no schedule fits.
    """
    plans = (
        (cost or _plan)(sizes, groups, workers, keep, itemsize)
        for groups in (_group_classes(sizes), [(c, c) for c in range(len(sizes))])
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
    named = format_bytes(1.001 * least_bytes)  # rounding must not take it below what is enough
    raise MemoryLimitError(
        f"The memory limit must be at least {named} for {what} "
        f"of the largest pair of classes ({max(sizes)} samples in the larger one). "
        f"Got {format_bytes(limit_bytes)} instead. Raise it{remedy}."
    )


def _group_classes(sizes: list[int]) -> list[tuple[int, int]]:
    """Join neighbouring classes while their samples fit one block of the matrix product."""
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


def _plan(
    sizes: list[int], groups: list[tuple[int, int]], workers: int, keep: bool, itemsize: int
) -> Plan:
    """Cost one schedule."""
    totals = sorted(sum(sizes[first : last + 1]) for first, last in groups)
    pair_totals = sorted(sizes)
    tile = totals[-1] * (totals[-2] if len(totals) > 1 else totals[-1])
    if any(first < last for first, last in groups):
        tile = max(tile, totals[-1] ** 2)
    # The tile, the transpose of one pair's block, and that block cut out of a larger tile.
    pair = pair_totals[-1] * pair_totals[-2]
    per_worker = tile + (2 * pair if tile > pair else pair)
    diagonals = sum(size**2 for size in sizes)
    if not keep:
        per_worker += min(diagonals, 2 * _largest_group_diagonals(sizes, groups))
        diagonals = 0
    # float64 distances cannot be made where the float32 kernel values go.
    block = min(BLOCK**2, max(tile, pair_totals[-1] ** 2))
    scratch = block * itemsize if itemsize > _FLOAT32_BYTES else 0
    plan = Plan(tuple(groups), workers, keep, 0)
    at_a_time = 1 if plan.shares_tiles else workers
    n_bytes = _FLOAT32_BYTES * (diagonals + at_a_time * per_worker) + workers * scratch
    return replace(plan, n_bytes=n_bytes)


def _largest_group_diagonals(sizes: list[int], groups: list[tuple[int, int]]) -> int:
    """Count the entries of the diagonal blocks of one group, at most."""
    return max(sum(size**2 for size in sizes[first : last + 1]) for first, last in groups)
