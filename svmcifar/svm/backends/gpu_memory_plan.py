"""Which tiles of the kernel matrix fit a GPU."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

from svmcifar.compute.memory import format_bytes, format_least
from svmcifar.errors import MemoryLimitError

# For each sample of each pair of a launch: coefficient and gradient.
_STATE_BYTES = 16


@dataclass(frozen=True)
class DevicePlan:
    """A partition of the classes into groups; the kernel of two groups is held at a time."""

    groups: tuple[tuple[int, int], ...]  # first and last class of each; one is the whole matrix
    n_bytes: int  # the largest tile and the solver's state

    def describe(self) -> str:
        """Describe in a few words how the memory is divided."""
        if len(self.groups) == 1:
            return f"whole kernel matrix, {format_bytes(self.n_bytes)}"
        return f"{len(self.groups)} groups of classes, tiles of {format_bytes(self.n_bytes)}"

    def tiles(self) -> Iterator[tuple[list[int], list[tuple[int, int]]]]:
        """Yield each tile: its classes, ascending, and the pairs that are solved on it.

        Each pair is solved on one tile; a pair within a group, on the first tile of the group.
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


def make_device_plan(
    sizes: list[int],
    limit_bytes: int,
    room_bytes: int | None = None,
    sample_bytes: int = 0,
    kernel_bytes: int = 4,
) -> DevicePlan:
    """Choose the fewest groups whose tiles fit; raise MemoryLimitError if the largest pair doesn't.

    `sizes` are the samples of each class, `limit_bytes` is for kernel values and the solver's
    state, and `room_bytes` for these and, unless a tile is the whole matrix, copies of its samples,
    of `sample_bytes` each.  A kernel value has `kernel_bytes`.
    """
    # Two groups would be one tile, the whole matrix.
    for n_groups in [1, *range(3, len(sizes) + 1)]:
        groups = _split(sizes, n_groups)
        n_samples, n_bytes = _largest_tile(sizes, groups, kernel_bytes)
        left = limit_bytes
        if n_groups > 1 and room_bytes is not None:
            left = min(limit_bytes, max(room_bytes - n_samples * sample_bytes, 0))
        if n_bytes <= left:
            return DevicePlan(tuple(groups), n_bytes)
    raise MemoryLimitError(
        f"The GPU memory for kernel values must be at least {format_least(n_bytes)} for the "
        f"largest pair of classes. Got {format_bytes(left)} instead. Free some, raise the memory "
        f"limit, or use the backend 'numba', which works in the computer's own memory."
    )


def _split(sizes: list[int], n_groups: int) -> list[tuple[int, int]]:
    """Divide the classes into consecutive groups of about as many samples, none empty."""
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


def _largest_tile(
    sizes: list[int], groups: list[tuple[int, int]], kernel_bytes: int
) -> tuple[int, int]:
    """Return the samples and the memory of the largest tile."""
    totals = sorted(sum(sizes[first : last + 1]) for first, last in groups)
    n_samples = sum(totals[-2:])
    most_classes = sum(sorted(last - first + 1 for first, last in groups)[-2:])
    state = _STATE_BYTES * n_samples * max(most_classes - 1, 1)
    return n_samples, kernel_bytes * n_samples**2 + state
