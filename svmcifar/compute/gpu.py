"""Why a GPU backend does not work here, and which GPU there is.

Each reason is one line, for `svmcifar info` and for the line that announces a fallback.  It comes
from trying the smallest real thing that a backend needs.  A package that is not installed is not
imported, and everything is tried once a process.
"""

import os
from functools import cache
from importlib import import_module, metadata
from importlib.util import find_spec
from typing import NamedTuple

from svmcifar.compute.memory import format_bytes

# RAPIDS for CUDA 13 starts at Turing.
_MIN_CAPABILITY = (7, 5)
_MIN_FREE_BYTES = 2**30
# Before 26.04 a plain `max_iter` did not always count SMO steps; this is what [gpu] asks for.
_MIN_CUML = (26, 6)
# The package's names on PyPI and in conda.
_CUML_NAMES = ("cuml-cu13", "cuml")
# What packages raise that do not fit each other, the libraries they need, or Python's or NumPy's.
IMPORT_ERRORS = (ImportError, OSError, RuntimeError, AttributeError, ValueError, TypeError)

_REMEDY = "pip install 'svmcifar[gpu]'"
_MAX_REASON_LENGTH = 160


class _Trial(NamedTuple):
    reason: str | None
    summary: str | None = None


def why_no_cupy() -> str | None:
    """Return why CuPy cannot compute here, in one line; None if it can."""
    return why_rounded() or _try_cupy().reason


def why_rounded() -> str | None:
    """Return why CuPy's matrix products would not be those of float32; None if they are.

    CuPy takes every number above 0 for a wish for TF32, and fails on what is no number.
    """
    value = os.environ.get("CUPY_TF32", "0")
    try:
        is_off = int(value) <= 0
    except ValueError:
        is_off = False
    if is_off:
        return None
    return (
        f"CUPY_TF32 must be 0 where svmcifar works on the GPU: with TF32 kernel values have 3 "
        f"digits, and CuPy fails on what is no number. Got {value!r}"
    )


@cache
def why_no_cuml() -> str | None:
    """Return why cuML cannot compute here, in one line; None if it can.

    It is not imported, since it then replaces CuPy's allocator in the whole process.
    """
    if find_spec("cuml") is None:
        return _not_installed("cuml")
    if (reason := why_no_cupy()) is not None:
        return reason
    version = _version_of_cuml()
    if version is None:
        return f"the version of the package cuml is not known ({_REMEDY})"
    if tuple(int(part) for part in version.split(".")[:2]) < _MIN_CUML:
        least = ".".join(f"{part:02}" for part in _MIN_CUML)
        return f"cuML {version} is too old: {least} is the least ({_REMEDY})"
    return None


def _version_of_cuml() -> str | None:
    for name in _CUML_NAMES:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return None


def device_summary() -> str | None:
    """Return name, compute capability, memory and CUDA versions of the GPU; None without one."""
    return _try_cupy().summary


@cache
def _try_cupy() -> _Trial:
    """Import CuPy, and multiply matrices on the GPU."""
    if find_spec("cupy") is None:
        return _Trial(_not_installed("cupy"))
    try:
        cupy = import_module("cupy")
        runtime, compilation_error = cupy.cuda.runtime, cupy.cuda.compiler.CompileException
    except IMPORT_ERRORS as error:
        return _Trial(f"the package cupy does not import ({one_line(error)})")
    summary = None
    try:
        if runtime.driverGetVersion() == 0:  # CUDA's answer without libcuda
            return _Trial("there is no NVIDIA driver")
        properties = runtime.getDeviceProperties(runtime.getDevice())
        name, capability = properties["name"].decode(), (properties["major"], properties["minor"])
        free, total = runtime.memGetInfo()
        summary = (
            f"{name}, compute capability {_dotted(capability)}, "
            f"{format_bytes(total)} of memory ({format_bytes(free)} free), "
            f"CUDA {_cuda_version(runtime.driverGetVersion())} driver, "
            f"CUDA {_cuda_version(runtime.runtimeGetVersion())} runtime"
        )
        if reason := _too_small(name, capability, free, total):
            return _Trial(reason, summary)
        ones = cupy.ones((2, 2), dtype="float32")  # compiles a kernel
        (ones @ ones).get()  # calls cuBLAS
    except (ImportError, OSError, RuntimeError, MemoryError, compilation_error) as error:
        return _Trial(f"CuPy cannot compute here ({one_line(error)})", summary)
    return _Trial(None, summary)


def _too_small(name: str, capability: tuple[int, int], free: int, total: int) -> str | None:
    """Return which of the least requirements a GPU does not meet."""
    if capability < _MIN_CAPABILITY:
        return (
            f"the {name} has compute capability {_dotted(capability)}: "
            f"{_dotted(_MIN_CAPABILITY)} is the least"
        )
    if free < _MIN_FREE_BYTES:
        return (
            f"{format_bytes(free)} of the {name}'s {format_bytes(total)} are free: "
            f"{format_bytes(_MIN_FREE_BYTES)} is the least"
        )
    return None


def _not_installed(package: str) -> str:
    return f"the package {package} is not installed ({_REMEDY})"


def one_line(error: BaseException) -> str:
    """Shorten an error to its kind and first line; CuPy frames the real one in a banner."""
    error = error.__cause__ or error
    lines = [line.strip() for line in str(error).splitlines()]
    text = next((line for line in lines if any(map(str.isalnum, line))), "")
    text = f"{type(error).__name__}: {text}".removesuffix(": ")
    return text if len(text) <= _MAX_REASON_LENGTH else f"{text[:_MAX_REASON_LENGTH]}..."


def _cuda_version(number: int) -> str:
    """Write CUDA's 12040 as 12.4."""
    return f"{number // 1000}.{number % 1000 // 10}"


def _dotted(numbers: tuple[int, int]) -> str:
    return ".".join(map(str, numbers))
