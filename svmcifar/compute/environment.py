"""Description of the software and the machine, for manifests and model cards."""

import os
import platform
import subprocess
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypedDict

import svmcifar
from svmcifar.compute.blas import blas_kernels

_PACKAGES = ("numpy", "scipy", "scikit-learn", "numba", "skops")


class Host(TypedDict):
    """The machine, as `describe_environment` describes it."""

    system: str
    processor: str
    cores: int | None  # unknown in files of older releases
    blas: list[str]


class Versions(TypedDict):
    """Of Python and of packages, among them at least this one."""

    svmcifar: str


def describe_environment() -> dict[str, Any]:
    """Describe software and machine, JSON-ready.

    ``versions``, ``git_commit`` (None outside a checkout) and ``host`` with the system, the
    processor, the number of its cores and the BLAS kernels in use.
    """
    versions = {"python": platform.python_version(), "svmcifar": svmcifar.__version__}
    for package in _PACKAGES:
        with suppress(PackageNotFoundError):  # fits and predictions do without skops
            versions[package] = version(package)
    return {
        "versions": versions,
        "git_commit": _git_commit(),
        "host": {
            "system": platform.platform(),
            "processor": processor_name(),
            "cores": os.cpu_count(),
            "blas": blas_kernels(),
        },
    }


def utc_now() -> str:
    """Return the time as ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def processor_name() -> str:
    """Return the processor's name, as far as the system knows it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _git_commit() -> str | None:
    """Return the commit of the checkout that the package runs from, or None."""
    root = Path(svmcifar.__file__).parents[1]
    if not (root / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "HEAD"],
            capture_output=True, text=True, timeout=5, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
