"""Array namespaces, and transfer between host and GPU.

Code for host and GPU is written against the array API standard, in the namespace of its arrays.
There are three kinds of arrays: NumPy's, on the host (with lists and all else that NumPy reads);
CuPy's, on the GPU; and array-api-strict's, which stand in for CuPy's where there is no GPU.
PyTorch's tensors are read by NumPy like lists, but where code is traced with them
(`traced_by_torch`).
"""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn._config import config_context
from sklearn.externals import array_api_compat
from sklearn.externals.array_api_compat import numpy as numpy_namespace

from svmcifar.errors import BackendUnavailableError, InputError, MemoryLimitError

_DEVICE_PACKAGES = {"cupy", "array_api_strict"}
_TRACED: ContextVar[bool] = ContextVar("traced", default=False)
_DISPATCH_VARIABLE = "SCIPY_ARRAY_API"
_ROWS_AT_ONCE = 64  # that are converted
# The status of errors of CUDA's libraries that are none of Python's MemoryError.
_OUT_OF_MEMORY = {"CUDARuntimeError": 2, "CUDADriverError": 2, "CUBLASError": 3}


def is_host(array: Any) -> bool:
    """Return whether an array is NumPy's, or something that NumPy reads."""
    return _package(array) == "numpy"


def _package(array: Any) -> str:
    package = type(array).__module__.partition(".")[0]
    is_known = package in _DEVICE_PACKAGES or (package == "torch" and _TRACED.get())
    return package if is_known else "numpy"


@contextmanager
def traced_by_torch() -> Iterator[None]:
    """Take PyTorch's tensors as arrays of a device: what they go through can be exported."""
    token = _TRACED.set(True)
    try:
        yield
    finally:
        _TRACED.reset(token)


def get_namespace(*arrays: Any) -> Any:
    """Return the namespace of arrays, a module with the functions of the array API standard.

    Raise InputError if the arrays are of several kinds, or on several devices.
    """
    first, *others = arrays
    for other in others:
        if _package(other) != _package(first) or get_device(other) != get_device(first):
            raise InputError(
                f"All arrays must be on one device. Got one on {_place(first)} and one on "
                f"{_place(other)}. Move them with svmcifar.compute.arrays.to_device or to_host."
            )
    return numpy_namespace if is_host(first) else array_api_compat.array_namespace(first)


def get_device(array: Any) -> Any:
    """Return the device of an array; "cpu" for the host."""
    return "cpu" if is_host(array) else array_api_compat.device(array)


def _place(array: Any) -> str:
    return "the host" if is_host(array) else f"{get_device(array)} of {_package(array)}"


def get_dtype(array: Any) -> np.dtype:
    """Return the dtype of an array of real numbers as NumPy's."""
    if is_host(array):
        return array.dtype
    xp = get_namespace(array)
    names = xp.__array_namespace_info__().dtypes(kind=("bool", "integral", "real floating"))
    return np.dtype(next(name for name, dtype in names.items() if dtype == array.dtype))


def to_host(array: Any) -> NDArray[Any]:
    """Move an array to the host; return NumPy's as it is."""
    if is_host(array):
        return np.asarray(array)
    if _package(array) == "cupy":
        return array.get()
    return np.asarray(array.to_device(get_namespace(array).Device("CPU_DEVICE")))


def to_device(array: Any) -> Any:
    """Move an array to the GPU, as one of CuPy; return one on a device as it is.

    Raise BackendUnavailableError if there is no CuPy or no GPU, or CuPy rounds matrix products
    to TF32, and MemoryLimitError if the array does not fit the GPU's memory.
    """
    if not is_host(array):
        return array
    refuse_tf32()
    try:
        import cupy  # type: ignore[import-not-found,unused-ignore]

        with named_out_of_memory():
            return cupy.asarray(np.asarray(array))
    except (ImportError, RuntimeError):  # CUDA's errors are the latter
        require_gpu()
        raise


def require_gpu() -> None:
    """Raise BackendUnavailableError, with the reason, if CuPy has no GPU to work on."""
    from svmcifar.compute.gpu import why_no_cupy

    if reason := why_no_cupy():
        raise BackendUnavailableError(
            f"The GPU cannot be used here: {reason}. Work on the CPU instead."
        )


def _is_out_of_memory(error: BaseException) -> bool:
    """Return whether the GPU has no memory left, or a plan finds that it has too little."""
    kind = type(error)
    if isinstance(error, MemoryError):  # CuPy's own and std::bad_alloc, but not NumPy's
        return kind.__module__.partition(".")[0] != "numpy"
    return _OUT_OF_MEMORY.get(kind.__name__) == getattr(error, "status", 0)


class _Work:
    """Work on a device; if its memory runs out, MemoryLimitError names the plan.

    No generator: its frames would keep the traceback, whose frames hold arrays of the device for as
    long as somebody has the error.
    """

    def __init__(self, plan: str, device: Any) -> None:
        self._plan, self._device = plan, device

    def __enter__(self) -> None:
        self._device.__enter__()

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        del trace
        self._device.__exit__(None, None, None)
        if error is None or not _is_out_of_memory(error):
            return
        error.with_traceback(None)
        if isinstance(error, MemoryLimitError):
            return
        by_plan = f" with the plan {self._plan!r}" if self._plan else ""
        reason = str(error) or type(error).__name__
        raise MemoryLimitError(
            f"The GPU ran out of memory{by_plan} ({reason}). Free some, set a lower memory limit, "
            f"take fewer images at a time, or work on the CPU."
        ) from error


def named_out_of_memory(plan: str = "") -> AbstractContextManager[None]:
    """Let MemoryLimitError name a plan if the GPU runs out of memory."""
    return _Work(plan, nullcontext())


def on_device_of(array: Any, plan: str = "") -> AbstractContextManager[None]:
    """Make the device of an array CuPy's current one, and name the error if its memory runs out.

    CuPy allocates on the current device, whatever `device` an array API function is given.  On the
    host nothing is done.
    """
    if is_host(array):
        return nullcontext()
    return _Work(plan, array.device if _package(array) == "cupy" else nullcontext())


def refuse_tf32() -> None:
    """Raise BackendUnavailableError if CuPy rounds matrix products to TF32."""
    from svmcifar.compute.gpu import why_rounded

    if reason := why_rounded():
        raise BackendUnavailableError(f"{reason}. Unset it.")


def move_beside(array: NDArray[Any], other: Any) -> Any:
    """Move a host array to the device of another array."""
    if is_host(other):
        return array
    with named_out_of_memory():
        return get_namespace(other).asarray(array, device=get_device(other))


def take_rows(X: Any, rows: NDArray[np.integer], dtype: np.dtype | None = None) -> Any:
    """Copy rows of an array on its device, of another dtype if given.

    Their indices are on the host.  There is no second copy in the array's own dtype.
    """
    xp = get_namespace(X)
    if dtype is None or get_dtype(X) == dtype:
        return xp.take(X, move_beside(rows, X), axis=0)
    taken = xp.empty((len(rows), X.shape[1]), dtype=getattr(xp, dtype.name), device=get_device(X))
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        part = slice(start, min(start + _ROWS_AT_ONCE, len(rows)))
        taken[part, :] = xp.astype(take_rows(X, rows[part]), taken.dtype)
    return taken


def free_gpu_bytes() -> int:
    """Return the free memory of the current GPU, after CuPy has released what it does not use.

    That is memory of the GPU, and memory of the host that transfers went through.
    """
    import cupy  # type: ignore[import-not-found,unused-ignore]

    cupy.get_default_memory_pool().free_all_blocks()
    cupy.cuda.get_current_stream().synchronize()
    cupy.cuda.alloc_pinned_memory(0)  # CuPy looks for transfers that are done
    cupy.get_default_pinned_memory_pool().free_all_blocks()
    return int(cupy.cuda.runtime.memGetInfo()[0])


def wait_for(array: Any) -> None:
    """Wait until an array has been computed, so that a timer does not count it to what follows."""
    if _package(array) == "cupy":
        import cupy  # type: ignore[import-not-found,unused-ignore]

        with array.device:
            cupy.cuda.get_current_stream().synchronize()


@contextmanager
def sklearn_dispatch(array: Any) -> Iterator[None]:
    """Let scikit-learn compute on the device of an array, and return arrays from transformers.

    scikit-learn requires ``SCIPY_ARRAY_API=1`` in the environment, which SciPy reads when it is
    imported.  What is used here (validation, `StandardScaler`, `PCA` by eigenvalues) calls SciPy
    with no arrays, so it may have been imported before; the variable is set meanwhile.
    """
    if is_host(array):
        with config_context(transform_output="default"):  # the caller's may be "pandas"
            yield
        return
    before = os.environ.get(_DISPATCH_VARIABLE)
    os.environ[_DISPATCH_VARIABLE] = "1"
    try:
        settings = {"array_api_dispatch": True, "transform_output": "default"}
        with config_context(**settings), on_device_of(array):
            yield
    finally:
        if before is None:
            del os.environ[_DISPATCH_VARIABLE]
        else:
            os.environ[_DISPATCH_VARIABLE] = before
