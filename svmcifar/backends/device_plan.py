"""How much of the kernel matrix is on a GPU at a time."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

from svmcifar.errors import MemoryLimitError
from svmcifar.memory import format_bytes

_KERNEL_BYTES = 4
# Of each sample in each pair of a launch: coefficient, flags and, for large pairs, gradient.
_STATE_BYTES = 17


@dataclass(frozen=True)
class DevicePlan:
    """A partition of the classes into groups; the kernel of two groups is held at a time.

    Attributes
    ----------
    groups : tuple of (int, int)
        First and last class of each group.  With one group the whole kernel
        matrix is held.
    n_bytes : int
        Memory that the largest tile takes, with the solver's state.
    """

    groups: tuple[tuple[int, int], ...]
    n_bytes: int

    def tiles(self) -> Iterator[tuple[list[int], list[tuple[int, int]]]]:
        """Give each tile: the classes in it, ascending, and the pairs to be solved on it.

        Each pair is solved on one tile.  Pairs within a group are solved on the
        first tile that holds the group.
        """
        members = [list(range(first, last + 1)) for first, last in self.groups]
        if len(members) == 1:
            yield members[0], list(combinations(members[0], 2))
            return
        seen: set[int] = set()
        for g, h in combinations(range(len(members)), 2):
            pairs = [(a, b) for a in members[g] for b in members[h]]
            for group in (g, h):
                if group not in seen:
                    pairs += combinations(members[group], 2)
                    seen.add(group)
            yield members[g] + members[h], pairs


def make_device_plan(sizes: list[int], limit_bytes: int) -> DevicePlan:
    """Choose the fewest groups whose tiles fit.

    Parameters
    ----------
    sizes : list of int
        Samples of each class.
    limit_bytes : int
        Memory for kernel values and the solver's state.

    Returns
    -------
    DevicePlan

    Raises
    ------
    MemoryLimitError
        If the kernel of the largest pair of classes does not fit.
    """
    # Two groups would be one tile, the whole matrix.
    for n_groups in [1, *range(3, len(sizes) + 1)]:
        groups = _split(sizes, n_groups)
        n_bytes = _tile_bytes(sizes, groups)
        if n_bytes <= limit_bytes:
            return DevicePlan(tuple(groups), n_bytes)
    named = format_bytes(1.001 * n_bytes)  # rounding must not take it below what is enough
    raise MemoryLimitError(
        f"The GPU memory for kernel values must be at least {named} for the largest pair of "
        f"classes. Got {format_bytes(limit_bytes)} instead. Free some, raise the memory limit, or "
        f"use the backend 'numba', which works in the computer's own memory."
    )


def _split(sizes: list[int], n_groups: int) -> list[tuple[int, int]]:
    """Cut the classes into runs of about the same number of samples, none empty."""
    groups: list[tuple[int, int]] = []
    first, total, done = 0, sum(sizes), 0
    for c, size in enumerate(sizes):
        done += size
        left = n_groups - len(groups) - 1
        is_full = done * n_groups >= (len(groups) + 1) * total
        if c == len(sizes) - 1 or len(sizes) - 1 - c == left or (left and is_full):
            groups.append((first, c))
            first = c + 1
    return groups


def _tile_bytes(sizes: list[int], groups: list[tuple[int, int]]) -> int:
    """Count the memory of the largest tile."""
    totals = sorted(sum(sizes[first : last + 1]) for first, last in groups)
    n_samples = sum(totals[-2:])
    most_classes = sum(sorted(last - first + 1 for first, last in groups)[-2:])
    return _KERNEL_BYTES * n_samples**2 + _STATE_BYTES * n_samples * max(most_classes - 1, 1)
