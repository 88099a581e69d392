"""Run CUDA kernels thread by thread, in any order between barriers, and watch for races.

The simulator of numba-cuda starts a Python thread for each CUDA thread, and which of them runs
when is left to chance: a missing barrier shows now and then or never.  Here each thread is a
generator that stops at its barriers, so the order is the caller's, and every access to memory is
recorded: two threads that touch the same place between two barriers, one of them writing, raise
`RaceError` in whatever order they come.  Where there is none, every interleaving that the
hardware may choose gives what this one gave.

Barriers at which the threads of a block do not all arrive, an index below zero or past the end,
and memory that is used by two blocks are errors too.  Shared memory starts as NaN.
"""

import ast
from types import SimpleNamespace

import numpy as np

BARRIERS = ("syncthreads", "syncthreads_or")


class RaceError(AssertionError):
    """Two threads touch one place, and no barrier says in which order."""


class DivergenceError(AssertionError):
    """The threads of a block wait at different barriers, or some have ended."""


def _is_barrier(node):
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in BARRIERS
    )


def _makes_kernel(decorator):
    """Tell ``cuda.jit(...)`` from ``cuda.jit(device=True, ...)``."""
    return all(keyword.arg != "device" for keyword in decorator.keywords)


class _YieldAtBarriers(ast.NodeTransformer):
    """Make generators of the kernels, and of the device functions that have a barrier."""

    def __init__(self, functions):
        self.generators = set()
        before = None
        while before != len(self.generators):
            before = len(self.generators)
            self.generators |= {f.name for f in functions if any(map(self._waits, ast.walk(f)))}

    def _waits(self, node):
        return _is_barrier(node) or (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in self.generators
        )

    def visit_FunctionDef(self, node):
        node.decorator_list = []
        return self.generic_visit(node)

    def visit_Call(self, node):
        waits = self._waits(node)
        self.generic_visit(node)
        if _is_barrier(node):
            # What the barrier is told, and where it is.
            vote = node.args[0] if node.args else ast.Constant(value=0)
            return ast.Yield(ast.Tuple([vote, ast.Constant(node.lineno)], ast.Load()))
        return ast.YieldFrom(node) if waits else node


class Block:
    """What the threads of the running block share: ``cuda`` in the kernel's source."""

    def __init__(self):
        self.threadIdx = SimpleNamespace(x=0)
        self.blockIdx = SimpleNamespace(x=0)
        self.blockDim = SimpleNamespace(x=0)
        self.shared = SimpleNamespace(array=self._shared_array)
        self.to_device, self.device_array = to_device, device_array
        self.writers, self.readers = {}, {}
        self.block_of = {}

    def start(self, number, n_threads, shared_bytes):
        self.blockIdx.x, self.blockDim.x = number, n_threads
        self.memory = np.full(shared_bytes, 0xFF, dtype=np.uint8)
        self.end_of_interval()

    def end_of_interval(self):
        self.writers.clear()
        self.readers.clear()

    def _shared_array(self, shape, dtype):
        assert shape == 0, "dynamic shared memory alone is known here"
        dtype = np.dtype(str(dtype))
        whole = len(self.memory) // dtype.itemsize * dtype.itemsize
        return Watched(self.memory[:whole].view(dtype), self)

    def touch(self, cell, writes, is_shared):
        t = self.threadIdx.x
        owner = self.writers.get(cell, t)
        others = self.readers.get(cell, {t}) - {t} if writes else ()
        if owner != t or others:
            raise RaceError(f"thread {t} and {sorted({owner, *others} - {t})} at {cell}")
        if writes:
            self.writers[cell] = t
            if not is_shared and self.block_of.setdefault(cell, self.blockIdx.x) != self.blockIdx.x:
                raise RaceError(f"two blocks write {cell}")
        else:
            self.readers.setdefault(cell, set()).add(t)
            if self.block_of.get(cell, self.blockIdx.x) != self.blockIdx.x:
                raise RaceError(f"a block reads what another one wrote at {cell}")


class Watched:
    """An array that reports every access; slices and rows are watched too."""

    def __init__(self, array, block):
        self.array, self.block = array, block
        self.base = array.__array_interface__["data"][0]
        self.is_shared = np.may_share_memory(array, block.memory)

    def _check(self, key):
        if not 0 <= key < len(self.array):
            raise IndexError(key)

    def _touch(self, key, writes):
        size = self.array.itemsize
        first = self.base + int(key) * size
        # Words of four bytes, as far as an element has as many.
        for address in range(first, first + size, 4):
            self.block.touch(address, writes, self.is_shared)

    def __getitem__(self, key):
        if isinstance(key, tuple):
            return self[key[0]][key[1]]
        if isinstance(key, slice):
            for bound in (key.start, key.stop):
                if bound is not None and not 0 <= bound <= len(self.array):
                    raise IndexError(key)
            return Watched(self.array[key], self.block)
        self._check(key)
        if self.array.ndim > 1:
            return Watched(self.array[key], self.block)
        self._touch(key, writes=False)
        return self.array[key]

    def __setitem__(self, key, value):
        self._check(key)
        self._touch(key, writes=True)
        self.array[key] = value


class _Configurable:
    """A kernel that is launched as ``kernel[blocks, threads, stream, shared_bytes](...)``."""

    def __init__(self, lockstep, name, function):
        self.lockstep, self.name, self.function = lockstep, name, function

    def __getitem__(self, configuration):
        def launch(*arguments):
            self.lockstep.launches.append((self.name, *configuration))
            self.lockstep.run(self.function, configuration, arguments)

        return launch


def _resume(thread, answer):
    """Run a thread up to its next barrier; tell its vote and the line, None at the end."""
    try:
        return thread.send(answer)
    except StopIteration:
        return 0, None


class DeviceArray(np.ndarray):
    """An array that the launcher takes for one on the device."""

    def copy_to_host(self):
        return np.array(self)


def to_device(array):
    return np.array(array).view(DeviceArray)


def device_array(shape, dtype):
    """Memory holds what it held before."""
    array = np.empty(shape, dtype).view(DeviceArray)
    array.view(np.uint8)[...] = 0xFF
    return array


def forward(n_threads):
    return range(n_threads)


class Lockstep:
    """A module with kernels; its functions are attributes.

    Parameters
    ----------
    source : str
        The module's source, with ``cuda`` from numba for the device.
    order : callable
        Gives the order in which the threads run, from their number; asked at each barrier.
    merged : collection of int
        Line numbers of barriers that keep no accesses apart.
    """

    def __init__(self, source, order=forward, merged=()):
        tree = ast.parse(source)
        functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
        kernels = [f.name for f in functions if any(map(_makes_kernel, f.decorator_list))]
        tree = ast.fix_missing_locations(_YieldAtBarriers(functions).visit(tree))
        self.order, self.merged = order, set(merged)
        self.launches, self.block = [], Block()
        self.names = {"__name__": "lockstep"}
        exec(compile(tree, "lockstep", "exec"), self.names)
        self.names["cuda"] = self.block
        for name in kernels:
            self.names[name] = _Configurable(self, name, self.names[name])

    def __getattr__(self, name):
        return self.names[name]

    def run(self, kernel, configuration, arguments):
        n_blocks, n_threads, _, shared_bytes = configuration
        self.block.block_of.clear()
        for number in range(n_blocks):
            self.block.start(number, n_threads, shared_bytes)
            watched = [
                Watched(a, self.block) if isinstance(a, np.ndarray) else a for a in arguments
            ]
            threads = [kernel(*watched) for _ in range(n_threads)]
            answer, line = None, 0
            while line is not None:
                arrived = {}
                for t in self.order(n_threads):
                    self.block.threadIdx.x = t
                    arrived[t] = _resume(threads[t], answer)
                votes, lines = zip(*arrived.values(), strict=True)
                if len(set(lines)) > 1:
                    raise DivergenceError(f"threads wait at the lines {set(lines)}")
                answer, line = int(any(votes)), lines[0]
                if line not in self.merged:
                    self.block.end_of_interval()
