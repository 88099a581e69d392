"""How a model was made: versions, machine, times, convergence, and a hash of its content."""

import hashlib
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

import svmcifar
from svmcifar.blas import blas_kernels
from svmcifar.svc import RBFSVC

_PACKAGES = ("numpy", "scipy", "scikit-learn", "numba", "skops")

# Settings that change how a model is computed, not what it is.
_NOT_CONTENT = {"n_jobs", "verbose", "memory_limit", "memory_plan_"}


def content_hash(*parts: Any) -> str:
    """Hash estimators, arrays and plain values.

    Two models have the same hash if their parameters and fitted arrays are the
    same to the bit; worker counts, memory limits and verbosity do not count.

    Parameters
    ----------
    *parts
        Estimators, arrays, dicts, lists, tuples and plain values.

    Returns
    -------
    str
        SHA-256 in hexadecimal.

    Raises
    ------
    TypeError
        If a part holds something else.
    """
    digest = hashlib.sha256()
    _update(digest, list(parts))
    return digest.hexdigest()


def _update(digest: "hashlib._Hash", value: Any) -> None:
    """Feed one value to the digest, with its type and size so that no two read alike."""
    if isinstance(value, np.ndarray) and value.dtype != object:
        digest.update(f"array {value.dtype.str} {value.shape};".encode())
        digest.update(np.ascontiguousarray(value).data)
    elif isinstance(value, np.ndarray | list | tuple):
        digest.update(f"list {len(value)};".encode())
        for item in value:
            _update(digest, item)
    elif isinstance(value, dict):
        digest.update(f"dict {len(value)};".encode())
        for key in sorted(value, key=repr):
            _update(digest, key)
            _update(digest, value[key])
    elif isinstance(value, BaseEstimator):
        digest.update(f"estimator {type(value).__name__};".encode())
        _update(digest, {k: v for k, v in vars(value).items() if k not in _NOT_CONTENT})
    elif isinstance(value, np.generic):
        _update(digest, value.item())
    elif value is None or isinstance(value, bool | int | float | str):
        digest.update(f"{type(value).__name__} {value!r};".encode())
    else:
        raise TypeError(f"cannot hash a {type(value).__name__}")


def plain(value: Any) -> Any:
    """Turn NumPy scalars, also in dicts and lists, into Python's own, for JSON."""
    if isinstance(value, dict):
        return {plain(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def describe_environment() -> dict[str, Any]:
    """Describe the software and the machine.

    Returns
    -------
    dict
        JSON-ready: ``versions``, ``git_commit`` (None outside a checkout) and
        ``host`` with the system, the processor and the BLAS kernels in use.
    """
    versions = {"python": platform.python_version(), "svmcifar": svmcifar.__version__}
    versions |= {package: version(package) for package in _PACKAGES}
    return {
        "versions": versions,
        "git_commit": _git_commit(),
        "host": {
            "system": platform.platform(),
            "processor": processor_name(),
            "blas": blas_kernels(),
        },
    }


def describe_fit(svc: RBFSVC) -> dict[str, Any]:
    """Describe how a fit went.

    Parameters
    ----------
    svc : RBFSVC
        Fitted.

    Returns
    -------
    dict
        JSON-ready: backend and its memory plan, gamma in use, pairs, SMO steps,
        largest KKT gap, pairs that did not converge, support vectors.
    """
    return {
        "backend": svc.backend_,
        "memory_plan": svc.memory_plan_,
        "gamma": svc.gamma_,
        "n_samples": svc.shape_fit_[0],
        "n_features": svc.shape_fit_[1],
        "n_pairs": len(svc.gap_),
        "n_iter": int(svc.n_iter_.sum()),
        "largest_gap": float(svc.gap_.max()),
        "unconverged_pairs": int((svc.gap_ > svc.tol).sum()),
        "n_support": int(svc.n_support_.sum()),
    }


def utc_now() -> str:
    """Give the time as ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def processor_name() -> str:
    """Name the processor, as well as the system tells."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _git_commit() -> str | None:
    """Find the commit of the checkout that the package runs from, if it does."""
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
