"""Two devices with memory and streams, for machines without a GPU; stricter than real ones.

A stream does what it has been given no sooner than somebody waits for it, or gives it what it
cannot put off.  What one stream has written is not there for another, or on another device than
the current one.  Memory holds what nobody can use before it is written and after it is freed.  An
allocation can be made to fail.
"""

import threading
from contextlib import contextmanager
from functools import partial
from typing import ClassVar

import numpy as np

N_DEVICES = 2
POISON = 0xFF  # as floats it is NaN


class StreamError(AssertionError):
    """A stream reads what another may not have written yet."""


class OutOfMemoryError(MemoryError):
    """As CuPy's."""


class Stream:
    """As CuPy's, one that does not wait for the null stream, nor that for it."""

    def __init__(self, null=False, non_blocking=False, device_id=None):
        self.device_id = current.device if device_id is None else device_id
        self.queue, self.n_given, self.n_done = [], 0, 0
        self._lock = threading.RLock()

    def __enter__(self):
        assert self.device_id == current.device
        current.streams[self.device_id].append(self)
        return self

    def __exit__(self, *error):
        current.streams[self.device_id].pop()

    def give(self, work):
        """Put off a launch, or what comes behind one."""
        self.queue.append(work)

    def catch_up(self):
        """Do all that has been put off; others do not see it yet."""
        with self._lock:
            while self.queue:
                self.queue.pop(0)()

    def synchronize(self):
        self.catch_up()
        self.n_done = self.n_given


class _Current(threading.local):
    """Device and streams of a thread."""

    def __init__(self):
        self.device = 0
        self.streams = [[null] for null in NULL_STREAMS]


class Memory:
    """What is allocated, in bytes by device, and when the next allocation fails; for tests."""

    in_use: ClassVar[list] = [0] * N_DEVICES
    n_allocations = 0
    fails_at = 0  # number of the allocation that fails


class Block:
    """Memory of the current device, of which arrays are views."""

    def __init__(self, n_bytes):
        Memory.n_allocations += 1
        if Memory.n_allocations == Memory.fails_at:
            raise OutOfMemoryError(f"Out of memory allocating {n_bytes:,} bytes")
        self.device, self.stream = current.device, current_stream()
        self.bytes = np.full(n_bytes, POISON, dtype=np.uint8)
        self.writer, self.ticket = self.stream, 0
        Memory.in_use[self.device] += n_bytes

    @property
    def __array_interface__(self):
        return self.bytes.__array_interface__

    def __del__(self):
        if not hasattr(self, "bytes"):
            return
        Memory.in_use[self.device] -= self.bytes.nbytes
        self.stream.give(partial(self.bytes.fill, POISON))  # behind what uses it

    def check(self):
        """Raise if the current stream must not use it."""
        if self.device != current.device:
            raise ValueError(
                f"Array device must be same as the current device: array device = {self.device} "
                f"while current = {current.device}"
            )
        if self.writer is not current_stream() and self.ticket > self.writer.n_done:
            raise StreamError("a stream reads what another may not have written yet")

    def write(self):
        """Note that the current stream writes it."""
        self.writer = current_stream()
        self.writer.n_given += 1
        self.ticket = self.writer.n_given


def current_stream():
    return current.streams[current.device][-1]


@contextmanager
def use_device(number):
    before, current.device = current.device, number
    try:
        yield
    finally:
        current.device = before


def block_of(host):
    """Return the block that an array is a view of, None if it is another's."""
    while isinstance(host, np.ndarray):
        host = host.base
    return host if isinstance(host, Block) else None


def empty(shape, dtype, order="C"):
    """Allocate an array on the current device."""
    n_bytes = np.empty(shape, dtype).nbytes
    memory = np.asarray(Block(max(n_bytes, 1)))
    return np.ndarray(shape, dtype, buffer=memory[:n_bytes], order=order)


def copy(host, order="K"):
    """Copy an array to the current device, in its order."""
    is_f = order == "F" or (order in ("K", None) and host.flags.f_contiguous)
    there = empty(host.shape, host.dtype, "F" if is_f and not host.flags.c_contiguous else "C")
    there[...] = host
    block_of(there).write()
    return there


NULL_STREAMS = [Stream(device_id=number) for number in range(N_DEVICES)]
current = _Current()
