"""CuPy made of NumPy, for machines without a GPU; CUDA sources are compiled for the host.

On the path (PYTHONPATH) of a process it takes CuPy's place: the package then finds a GPU and works
on it.  An array here is no NumPy array, and mixes with none: as CuPy's, it raises TypeError.
Results without dimensions are arrays too.  array-api-compat takes it for CuPy and wraps it.
"""

import builtins
import operator
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np

# Beside this folder, which is on the path.
sys.path.append(str(Path(__file__).parents[2]))
from cuda_on_host import MOST_SHARED_BYTES, RawModule  # noqa: F401

__version__ = "0.0 (NumPy)"


class ndarray(np.lib.mixins.NDArrayOperatorsMixin):  # noqa: N801
    """An array on the device."""

    def __init__(self, host):
        self._host = host

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **kwargs):
        if out is not None:
            kwargs["out"] = tuple(_unwrap(array) for array in out)
        result = getattr(ufunc, method)(*map(_unwrap, inputs), **kwargs)
        return out[0] if out is not None and len(out) == 1 else _wrap(result)

    def __array_function__(self, function, types, args, kwargs):
        return _wrap(function(*_unwrap(args), **_unwrap(kwargs)))

    def __array__(self, *args, **kwargs):
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Use `.get()`.")

    @property
    def __cuda_array_interface__(self):
        return {**self._host.__array_interface__, "version": 3, "stream": 1}

    @property
    def device(self):
        return cuda.Device(0)

    @property
    def T(self):  # noqa: N802
        return ndarray(self._host.T)

    def __getattr__(self, name):
        value = getattr(self._host, name)
        return _on_device(value) if callable(value) else value

    def __getitem__(self, key):
        return _wrap(self._host[_unwrap(key)])

    def __setitem__(self, key, value):
        self._host[_unwrap(key)] = _unwrap(value)

    def __len__(self):
        return len(self._host)

    def __iter__(self):
        return map(_wrap, self._host)

    def get(self):
        return self._host.copy()

    def __float__(self):
        return float(self._host)

    def __int__(self):
        return int(self._host)

    def __bool__(self):
        return builtins.bool(self._host)  # the module's own is NumPy's

    def __index__(self):
        return operator.index(self._host.item())

    def __repr__(self):
        return f"{self._host!r} on the device"


def _unwrap(value):
    """Give NumPy's arrays for the device's; refuse the host's."""
    if isinstance(value, ndarray):
        return value._host
    if isinstance(value, np.ndarray) and value.ndim:
        raise TypeError("Unsupported type <class 'numpy.ndarray'>")
    if isinstance(value, tuple | list):
        return type(value)(map(_unwrap, value))
    if isinstance(value, dict):
        return {key: _unwrap(item) for key, item in value.items()}
    return value


def _wrap(value):
    if isinstance(value, np.ndarray | np.generic):
        return ndarray(np.asarray(value))
    return tuple(map(_wrap, value)) if type(value) is tuple else value


def _on_device(function):
    def call(*args, **kwargs):
        return _wrap(function(*_unwrap(args), **_unwrap(kwargs)))

    return call


def _fill(module, source):
    """Give a module the functions of one of NumPy's, and its types and constants."""
    for name in dir(source):
        value = getattr(source, name)
        if not name.startswith("_") and not isinstance(value, ModuleType) and name != "ndarray":
            as_is = isinstance(value, type) or not callable(value)
            module.setdefault(name, value if as_is else _on_device(value))


def asarray(array, dtype=None, order=None, copy=None, **kwargs):
    """Send an array from the host, or keep one of the device."""
    if isinstance(array, ndarray):
        return _wrap(np.asarray(array._host, dtype=dtype, order=order, copy=copy))
    return ndarray(np.array(array, dtype=dtype, order=order))


array = ascontiguousarray = asarray


def empty(shape, dtype=float, order="C"):
    """Memory holds what nobody can use."""
    memory = np.full(np.empty(shape, dtype=dtype).nbytes, 0xFF, dtype=np.uint8)
    return ndarray(np.ndarray(shape, dtype=dtype, buffer=memory, order=order))


def asnumpy(array):
    """Fetch an array."""
    return array.get()


class _Device:
    id = 0

    def __init__(self, number=0):
        pass

    def __eq__(self, other):
        return isinstance(other, _Device)

    def __hash__(self):
        return 0

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def synchronize(self):
        pass

    @property
    def attributes(self):
        return {"MaxSharedMemoryPerBlockOptin": MOST_SHARED_BYTES}


class _Error(RuntimeError):
    status = 0


_memory = {"free": 2**30}


def _mem_get_info():
    """Tell of a little less at every call, as if something had been taken in between."""
    _memory["free"] = builtins.max(_memory["free"] - 1024, 2**30 - 2**24)
    return _memory["free"] + 2**24, 2**31


_PROPERTIES = {"name": b"simulated GPU", "major": 9, "minor": 0, "multiProcessorCount": 1}
cuda = ModuleType("cupy.cuda")
vars(cuda).update(
    Device=_Device,
    device=ModuleType("cupy.cuda.device"),
    cublas=object(),
    nvrtc=SimpleNamespace(getVersion=lambda: (13, 0)),
    get_current_stream=lambda: SimpleNamespace(synchronize=lambda: None),
    runtime=SimpleNamespace(
        CUDARuntimeError=_Error,
        driverGetVersion=lambda: 13000,
        runtimeGetVersion=lambda: 13000,
        getDeviceCount=lambda: 1,
        getDevice=lambda: 0,
        getDeviceProperties=lambda number: _PROPERTIES,
        memGetInfo=_mem_get_info,
    ),
)


cuda.device.Device = _Device
sys.modules |= {"cupy.cuda": cuda, "cupy.cuda.device": cuda.device}


def get_default_memory_pool():
    """Give a pool that holds nothing."""
    return SimpleNamespace(free_all_blocks=lambda: None)


for _name in ("linalg", "fft"):
    _module = ModuleType(f"cupy.{_name}")
    _fill(vars(_module), getattr(np, _name))
    _module.__all__ = [_n for _n in vars(_module) if not _n.startswith("_")]
    sys.modules[_module.__name__] = globals()[_name] = _module
_fill(globals(), np)
