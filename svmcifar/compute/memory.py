"""Sizes in bytes: parsing, formatting, and the memory that is available."""

import os
import re
from collections.abc import Iterator
from itertools import accumulate
from math import inf

from svmcifar.errors import InputError

# Of each version of control groups: where its memory controller is mounted, its name in
# /proc/self/cgroup, files with limits and usage, and what of the usage can be taken back: pages of
# files that were not used lately.
_CONTROL_GROUPS = (
    ("/sys/fs/cgroup", "", ("memory.max", "memory.high"), "memory.current", "inactive_file"),
    (
        "/sys/fs/cgroup/memory", "memory", ("memory.limit_in_bytes",),
        "memory.usage_in_bytes", "total_inactive_file",
    ),
)  # fmt: skip
_UNLIMITED = 2**62  # as version 1 writes it, but for a page

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}


def parse_bytes(size: int | float | str) -> int:
    """Parse a number of bytes, or a size such as ``"3GB"`` or ``"2.5 GiB"``, into bytes.

    Units are B, kB, MB, GB, KiB, MiB and GiB.  Raise InputError if it is not a size above zero.
    """
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+(?:e[0-9]+)?)\s*([kmg]?i?)b?\s*", str(size).lower())
    n_bytes = float(match[1]) * _UNITS.get(match[2], 0) if match else 0.0
    if not 1 <= n_bytes < inf:
        raise InputError(
            f"A memory limit must be a number of bytes above 0, or such as '3GB' or '512MiB'. "
            f"Got {size!r} instead."
        )
    return int(n_bytes)


def format_bytes(n_bytes: float) -> str:
    """Format a size in the largest binary unit in which it is at least 1."""
    for unit in ("B", "KiB", "MiB"):
        if n_bytes < 1024:
            return f"{n_bytes:.4g} {unit}"
        n_bytes /= 1024
    return f"{n_bytes:.4g} GiB"


def format_least(n_bytes: float) -> str:
    """Format the least value of a limit: rounded up, so that the size that is named is enough."""
    return format_bytes(1.001 * n_bytes)


def available_bytes() -> int | None:
    """Return the memory that this process may still take; None if it is unknown.

    On Linux that is the least of what the machine has available, what each control group around
    the process leaves (versions 1 and 2), and what its own limits leave (``ulimit -v`` and ``-d``);
    on other POSIX systems the machine's whole memory.
    """
    bounds = [*_machine_bounds(), *_group_bounds(), *_process_bounds()]
    if not bounds and hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        bounds.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return max(min(bounds), 1) if bounds else None


def _machine_bounds() -> Iterator[int]:
    """Yield what the machine has available."""
    for line in _read_lines("/proc/meminfo"):
        if line.startswith("MemAvailable:"):
            yield int(line.split()[1]) * 1024


def _group_bounds() -> Iterator[int]:
    """Yield what the process's control groups leave, from the root that it sees to its own."""
    path_of = {"": "/", "memory": "/"}
    for line in _read_lines("/proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        path_of.update(dict.fromkeys(controllers.split(","), path))
    for root, controller, limit_names, usage_name, reclaimable_name in _CONTROL_GROUPS:
        names = filter(None, path_of[controller].split("/"))
        for group in accumulate(names, "{}/{}".format, initial=root):
            limits = [_read_line(f"{group}/{name}") for name in limit_names]
            limit = min((int(text) for text in limits if text.isdigit()), default=_UNLIMITED)
            usage = _read_line(f"{group}/{usage_name}") if limit < _UNLIMITED else ""
            if usage.isdigit():
                stat = dict(line.split() for line in _read_lines(f"{group}/memory.stat"))
                yield limit - max(int(usage) - int(stat.get(reclaimable_name, 0)), 0)


def _process_bounds() -> Iterator[int]:
    """Yield what the limits on the process's own address space and data leave."""
    for line in _read_lines("/proc/self/statm"):
        import resource  # POSIX alone has it

        pages = line.split()
        for limit, place in ((resource.RLIMIT_AS, 0), (resource.RLIMIT_DATA, 5)):
            soft, _ = resource.getrlimit(limit)
            if soft != resource.RLIM_INFINITY:
                yield soft - int(pages[place]) * resource.getpagesize()


def _read_lines(path: str) -> list[str]:
    """Return the lines of a file, none if it cannot be read."""
    try:
        with open(path, "rb", buffering=0) as file:  # several times as fast as Path.read_text
            return file.read().decode().splitlines()
    except OSError:
        return []


def _read_line(path: str) -> str:
    """Return the first line of a file, "" if it cannot be read."""
    return next(iter(_read_lines(path)), "").strip()


def default_memory_limit(held: int = 0) -> int | None:
    """Return nine tenths of the available memory; None if it is unknown.

    `held` are bytes that are taken already and count toward the limit.
    """
    available = available_bytes()
    return None if available is None else available * 9 // 10 + held
