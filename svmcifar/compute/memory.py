"""Sizes in bytes: reading them, printing them, and what this machine has left."""

import os
import re
from math import inf
from pathlib import Path

from svmcifar.errors import InputError

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}


def parse_bytes(size: int | float | str) -> int:
    """Read a size such as ``3_000_000``, ``"3GB"`` or ``"2.5 GiB"``.

    Parameters
    ----------
    size : int, float or str
        A number of bytes, or a number with one of the units B, kB, MB, GB,
        KiB, MiB, GiB.

    Returns
    -------
    int

    Raises
    ------
    InputError
        If it is not such a size, or not above zero.
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
    """Write a size in the largest binary unit that leaves a number of at least 1."""
    for unit in ("B", "KiB", "MiB"):
        if n_bytes < 1024:
            return f"{n_bytes:.4g} {unit}"
        n_bytes /= 1024
    return f"{n_bytes:.4g} GiB"


def format_least(n_bytes: float) -> str:
    """Write a size that a limit must have, such that what is written is enough."""
    return format_bytes(1.001 * n_bytes)


def available_bytes() -> int | None:
    """Ask how much memory a process may still take here.

    Returns
    -------
    int or None
        The least of what the machine has available and what the control
        group leaves (Linux); the machine's whole memory on other POSIX
        systems; None where neither can be told.
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
    """Take nine tenths of what is available; None where it cannot be told."""
    available = available_bytes()
    return None if available is None else available * 9 // 10
