"""Why a GPU backend does not work here, and which GPU there is.

Each reason is one line, for `svmcifar info` and for the line that announces a fallback.  It comes
from trying the smallest real thing that a backend needs.  A package that is not installed is not
imported, and everything is tried once a process.
"""

from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import NamedTuple

from svmcifar.compute.memory import format_bytes

# RAPIDS for CUDA 13 starts at Turing.
_MIN_CAPABILITY = (7, 5)
_MIN_FREE_BYTES = 2**30
# Before 26.04 a plain `max_iter` did not always count SMO steps; this is what [gpu] asks for.
_MIN_CUML = (26, 6)

_REMEDY = "pip install 'svmcifar[gpu]'"
_MAX_REASON_LENGTH = 160


class _Trial(NamedTuple):
    reason: str | None
    summary: str | None = None


def why_no_cupy() -> str | None:
    """Return why CuPy cannot compute here, in one line; None if it can."""
    return _try_cupy().reason


@cache
def why_no_cuml() -> str | None:
    """Return why cuML cannot compute here, in one line; None if it can."""
    if find_spec("cuml") is None:
        return _not_installed("cuml")
    if (reason := why_no_cupy()) is not None:
        return reason
    try:
        version = import_module("cuml").__version__
        release = tuple(int(part) for part in version.split(".")[:2])
    except Exception as error:
        return f"the package cuml does not import ({_one_line(error)})"
    if release < _MIN_CUML:
        least = ".".join(f"{part:02}" for part in _MIN_CUML)
        return f"cuML {version} is too old: {least} is the least ({_REMEDY})"
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
        runtime = cupy.cuda.runtime
    except Exception as error:
        return _Trial(f"the package cupy does not import ({_one_line(error)})")
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
    except Exception as error:
        return _Trial(f"CuPy cannot compute here ({_one_line(error)})", summary)
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


def _one_line(error: BaseException) -> str:
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
