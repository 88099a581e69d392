"""Sizes in bytes: parsing, formatting, and the memory that is available."""

import os
import re
from math import inf
from pathlib import Path

from svmcifar.errors import InputError

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

    On Linux that is the lesser of what the machine has available and what the control group
    leaves; on other POSIX systems the machine's whole memory.
    """
    bounds = []
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                bounds.append(int(line.split()[1]) * 1024)
    except OSError:
        pass
    try:
        group = Path("/sys/fs/cgroup")
        limit = (group / "memory.max").read_text().strip()
        if limit != "max":
            bounds.append(int(limit) - int((group / "memory.current").read_text()))
    except (OSError, ValueError):
        pass
    if not bounds and hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        bounds.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return max(min(bounds), 1) if bounds else None


def default_memory_limit() -> int | None:
    """Return nine tenths of the available memory; None if it is unknown."""
    available = available_bytes()
    return None if available is None else available * 9 // 10
