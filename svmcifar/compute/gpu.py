"""Why a GPU backend does not work here, and which GPU there is.

Reasons are a few words for `svmcifar info` and for the line that announces a fallback.
A package that is not installed is not imported, and every answer is found once a process.
"""

import os
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from svmcifar.compute.memory import format_bytes

# RAPIDS for CUDA 13 starts at Turing.
_MIN_CAPABILITY = (7, 5)
_MIN_FREE_BYTES = 2**30
# Before 26.04 a plain `max_iter` did not always count SMO steps; this is what [gpu] asks for.
_MIN_CUML = (26, 6)
# The oldest driver of each CUDA major release.
_MIN_DRIVER = {12: 525, 13: 580}

# cudaError_t
_INSUFFICIENT_DRIVER = 35
_NO_DEVICE = 100

_REMEDY = "pip install 'svmcifar[gpu]'"
_MAX_REASON_LENGTH = 160


def why_no_cupy() -> str | None:
    """Tell why CuPy cannot compute here.

    Returns
    -------
    str or None
        A few words in one line; None if it can.
    """
    return _probe().reason


@cache
def why_no_cuml() -> str | None:
    """Tell why cuML cannot compute here.

    Returns
    -------
    str or None
        A few words in one line; None if it can.
    """
    if find_spec("cuml") is None:
        return _not_installed("cuml")
    if (reason := why_no_cupy()) is not None:
        return reason
    try:
        cuml = import_module("cuml")
        version = tuple(int(part) for part in cuml.__version__.split(".")[:2])
    except Exception as error:
        return _broken("cuml", error)
    if version < _MIN_CUML:
        least = ".".join(f"{part:02}" for part in _MIN_CUML)
        return f"cuML {cuml.__version__} is too old: {least} is the least ({_REMEDY})"
    return None


def why_no_numba_cuda() -> str | None:
    """Tell why our own CUDA kernels cannot be compiled here.

    Returns
    -------
    str or None
        A few words in one line; None if they can.
    """
    return None if find_spec("numba_cuda") else _not_installed("numba_cuda")


def device_summary() -> str | None:
    """Describe the GPU that backends would use.

    Returns
    -------
    str or None
        Name, compute capability, memory, and the CUDA versions of driver and CuPy; None if
        there is no CuPy or no GPU.
    """
    return _probe().summary


@dataclass(frozen=True)
class _Finding:
    reason: str | None
    summary: str | None = None


@cache
def _probe() -> _Finding:
    """Look for CuPy and a GPU."""
    if find_spec("cupy") is None:
        return _Finding(_not_installed("cupy"))
    try:
        cuda = import_module("cupy").cuda
        runtime = cuda.runtime
    except Exception as error:
        return _Finding(_broken("cupy", error))
    try:
        if runtime.driverGetVersion() == 0:  # how CUDA says that it finds no libcuda
            return _Finding("there is no NVIDIA driver")
        if runtime.getDeviceCount() == 0:
            return _Finding(_no_device())
        return _probe_device(cuda, runtime.getDevice())
    except runtime.CUDARuntimeError as error:
        return _Finding(_explain(error, runtime))


def _probe_device(cuda: Any, device: int) -> _Finding:
    """Describe one GPU, and tell why it cannot be used."""
    runtime = cuda.runtime
    properties = runtime.getDeviceProperties(device)
    name = properties["name"].decode()
    capability = properties["major"], properties["minor"]
    free, total = runtime.memGetInfo()
    summary = (
        f"{name}, compute capability {_dotted(capability)}, {format_bytes(total)} of memory "
        f"({format_bytes(free)} free), CUDA {_cuda_version(runtime.driverGetVersion())} driver, "
        f"CUDA {_cuda_version(runtime.runtimeGetVersion())} runtime"
    )
    if capability < _MIN_CAPABILITY:
        reason = (
            f"the {name} has compute capability {_dotted(capability)}: "
            f"{_dotted(_MIN_CAPABILITY)} is the least"
        )
        return _Finding(reason, summary)
    if free < _MIN_FREE_BYTES:
        reason = (
            f"{format_bytes(free)} of the {name}'s {format_bytes(total)} are free: "
            f"{format_bytes(_MIN_FREE_BYTES)} is the least"
        )
        return _Finding(reason, summary)
    try:
        # CuPy loads both when they are first needed; its wheels come without them.
        cuda.nvrtc.getVersion()
        _ = cuda.cublas
    except Exception as error:
        reason = f"CuPy lacks libraries of CUDA ({_one_line(error)}): {_REMEDY} adds them"
        return _Finding(reason, summary)
    return _Finding(None, summary)


def _explain(error: Any, runtime: Any) -> str:
    """Say what a CUDARuntimeError means."""
    if error.status == _INSUFFICIENT_DRIVER:
        needed = runtime.runtimeGetVersion() // 1000
        remedy = f"to {_MIN_DRIVER[needed]} or newer" if needed in _MIN_DRIVER else "it"
        return (
            f"the NVIDIA driver is for CUDA {_cuda_version(runtime.driverGetVersion())} and CuPy "
            f"needs CUDA {needed}: update {remedy}"
        )
    if error.status == _NO_DEVICE:
        return _no_device()
    return f"CUDA does not start ({error})"


def _no_device() -> str:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return "there is no NVIDIA GPU"
    return f"no GPU is visible: CUDA_VISIBLE_DEVICES is {visible!r}"


def _not_installed(package: str) -> str:
    return f"the package {package} is not installed ({_REMEDY})"


def _broken(package: str, error: Exception) -> str:
    return f"the package {package} does not import ({_one_line(error)})"


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
