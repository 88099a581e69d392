"""CuPy made of NumPy, for machines without a GPU; CUDA sources are compiled for the host.

On the path (PYTHONPATH) of a process it takes CuPy's place: the package then finds a GPU and works
on it.  An array here is no NumPy array, and mixes with none: as CuPy's, it raises TypeError.
Results without dimensions are arrays too.  array-api-compat takes it for CuPy and wraps it.
There are two devices; see tests/simulated_device.py for how strict their streams and memory are.
"""

import builtins
import operator
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np

# Beside this folder, which is on the path.
sys.path.append(str(Path(__file__).parents[2]))
import simulated_device as simulated
from cuda_on_host import MOST_SHARED_BYTES, RawModule, Watch  # noqa: F401

__version__ = "0.0 (NumPy)"


class ndarray(np.lib.mixins.NDArrayOperatorsMixin):  # noqa: N801
    """An array on the device."""

    def __init__(self, host):
        self._host = host
        self._block = simulated.block_of(host)

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **kwargs):
        if out is not None:
            kwargs["out"] = tuple(_unwrap(array) for array in out)
        result = getattr(ufunc, method)(*map(_unwrap, inputs), **kwargs)
        for array in out or ():
            array._block.write()
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
        return cuda.Device(self._block.device)

    @property
    def T(self):  # noqa: N802
        return ndarray(self._host.T)

    def __getattr__(self, name):
        value = getattr(self._host, name)
        if not callable(value):
            return value
        return lambda *args, **kwargs: _on_device(getattr(_unwrap(self), name))(*args, **kwargs)

    def __getitem__(self, key):
        key = _unwrap(key)
        is_view = type(key) is not np.ndarray
        return _wrap((self._host if is_view else _unwrap(self))[key])

    def __setitem__(self, key, value):
        _unwrap(self)[_unwrap(key)] = _unwrap(value)
        self._block.write()

    def __len__(self):
        return len(self._host)

    def __iter__(self):
        return map(_wrap, self._host)

    def get(self):
        with self.device:
            self._block.check()
            simulated.current_stream().synchronize()
            return self._host.copy()

    def __float__(self):
        return float(self.get())

    def __int__(self):
        return int(self.get())

    def __bool__(self):
        return builtins.bool(self.get())  # the module's own is NumPy's

    def __index__(self):
        return operator.index(self.get().item())

    def __repr__(self):
        return f"{self._host!r} on the device"


def _unwrap(value):
    """Give NumPy's arrays for the device's; refuse the host's."""
    if isinstance(value, ndarray):
        value._block.check()
        simulated.current_stream().catch_up()
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
        value = np.asarray(value)
        is_there = simulated.block_of(value) is not None
        return ndarray(value if is_there else simulated.copy(value))
    return tuple(map(_wrap, value)) if isinstance(value, tuple) else value


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
    if not isinstance(array, ndarray):
        host = np.array(array, dtype=dtype, order=order)
        there, stream = ndarray(simulated.copy(host)), simulated.current_stream()
        _pinned.in_transfer.append((stream, stream.n_given, host.nbytes))
        return there
    if array.device != cuda.Device():
        with array.device:
            host = _unwrap(array)
        array = ndarray(simulated.copy(host))
    return _wrap(np.asarray(_unwrap(array), dtype=dtype, order=order, copy=copy))


array = ascontiguousarray = asarray


def empty(shape, dtype=float, order="C"):
    """Memory holds what nobody can use."""
    return ndarray(simulated.empty(shape, dtype, order))


def asnumpy(array):
    """Fetch an array."""
    return array.get()


def _start(launch, args):
    """Put off a launch on the current stream."""
    for array in args:
        if isinstance(array, ndarray):
            array._block.check()
            array._block.write()
    simulated.current_stream().give(launch)


Watch.start = staticmethod(_start)


class _Device:
    def __init__(self, device=None):
        self.id = simulated.current.device if device is None else int(device)
        self._entered = []

    def __int__(self):
        return self.id

    def __eq__(self, other):
        return isinstance(other, _Device) and self.id == other.id

    def __hash__(self):
        return self.id

    def __repr__(self):
        return f"<CUDA Device {self.id}>"

    def __enter__(self):
        stack = ExitStack()
        stack.enter_context(simulated.use_device(self.id))
        self._entered.append(stack)
        return self

    def __exit__(self, *error):
        self._entered.pop().close()

    def synchronize(self):
        for stream in simulated.current.streams[self.id]:
            stream.synchronize()

    @property
    def attributes(self):
        return {"MaxSharedMemoryPerBlockOptin": MOST_SHARED_BYTES}


class _PinnedPool:
    """Memory of the host that transfers go through: kept until they are done, and then still."""

    def __init__(self):
        self.in_transfer, self.n_free_bytes = [], 0

    def look(self, size):
        done = [part for part in self.in_transfer if part[1] <= part[0].n_done]
        self.in_transfer = [part for part in self.in_transfer if part[1] > part[0].n_done]
        self.n_free_bytes += builtins.sum(n_bytes for *_, n_bytes in done)

    def free_all_blocks(self):
        self.n_free_bytes = 0


_pinned = _PinnedPool()


class _Error(RuntimeError):
    status = 0


_memory = {"free": 2**30}
asked_of: list[int] = []  # devices whose free memory was asked for


def _mem_get_info():
    """Tell of a little less at every call, as if something had been taken in between."""
    asked_of.append(simulated.current.device)
    _memory["free"] = builtins.max(_memory["free"] - 1024, 2**30 - 2**24)
    return _memory["free"] + 2**24, 2**31


_PROPERTIES = {"name": b"simulated GPU", "major": 9, "minor": 0, "multiProcessorCount": 1}
cuda = ModuleType("cupy.cuda")
_allocators = ["the pool's"]


@contextmanager
def _using_allocator(allocator):
    _allocators.append(allocator)
    yield
    _allocators.pop()


vars(cuda).update(
    Device=_Device,
    device=ModuleType("cupy.cuda.device"),
    cublas=object(),
    nvrtc=SimpleNamespace(getVersion=lambda: (13, 0)),
    compiler=SimpleNamespace(CompileException=type("CompileException", (Exception,), {})),
    Stream=simulated.Stream,
    get_current_stream=simulated.current_stream,
    alloc_pinned_memory=lambda size: _pinned.look(size),
    get_allocator=lambda: _allocators[-1],
    set_allocator=lambda allocator: _allocators.__setitem__(-1, allocator),
    using_allocator=_using_allocator,
    runtime=SimpleNamespace(
        CUDARuntimeError=_Error,
        driverGetVersion=lambda: 13000,
        runtimeGetVersion=lambda: 13000,
        getDeviceCount=lambda: simulated.N_DEVICES,
        getDevice=lambda: simulated.current.device,
        getDeviceProperties=lambda number: _PROPERTIES,
        memGetInfo=_mem_get_info,
    ),
)


cuda.device.Device = _Device
sys.modules |= {"cupy.cuda": cuda, "cupy.cuda.device": cuda.device}


def get_default_memory_pool():
    """Give a pool that holds nothing."""
    return SimpleNamespace(free_all_blocks=lambda: None)


def get_default_pinned_memory_pool():
    """Give the pool of the host."""
    return _pinned


for _name in ("linalg", "fft"):
    _module = ModuleType(f"cupy.{_name}")
    _fill(vars(_module), getattr(np, _name))
    _module.__all__ = [_n for _n in vars(_module) if not _n.startswith("_")]
    sys.modules[_module.__name__] = globals()[_name] = _module
_fill(globals(), np)
