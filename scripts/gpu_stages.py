"""Clocks, counters and hardware limits for benchmarks on a GPU.

Nothing here is in the package: a fit is watched from outside, by the functions it is made of.
"""

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any
from unittest.mock import patch

# The product and the copy that the limits are measured with, where an eighth of the free memory
# holds them.
_GEMM_SIZE = 8192
_COPY_BYTES = 2**31
_SAMPLE_S = 0.01


def synchronize() -> None:
    """Wait until the GPU has done all that any library in this process asked of it."""
    import cupy

    cupy.cuda.Device().synchronize()


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Time some work on an idle GPU, until the GPU has done it.

    Returns
    -------
    seconds : float
    result
        What `work` returns.
    """
    synchronize()
    clock = perf_counter()
    result = work()
    synchronize()
    return perf_counter() - clock, result


def best_of(repeats: int, work: Callable[[], Any]) -> float:
    """Return the shortest of some times, in s, of work that has been done once before."""
    work()
    return min(timed(work)[0] for _ in range(repeats))


def hardware_limits() -> dict[str, float]:
    """Measure what this GPU reaches in a float32 matrix product and in a copy.

    Returns
    -------
    dict
        ``gemm_size``, ``gemm_flops`` (per s), ``copy_bytes`` and ``copy_bytes_per_s``, which
        counts bytes read and bytes written.
    """
    import cupy

    cupy.get_default_memory_pool().free_all_blocks()
    room = cupy.cuda.runtime.memGetInfo()[0] // 8
    return _measure_gemm(min(_GEMM_SIZE, math.isqrt(room // 12) // 512 * 512)) | _measure_copy(
        min(_COPY_BYTES, room)
    )


def _measure_gemm(n: int) -> dict[str, float]:
    import cupy
    import numpy as np

    # Random numbers: products of zeros take less power, and may be faster for it.
    A, B = (
        cupy.asarray(np.random.default_rng(seed).random((n, n), dtype=np.float32))
        for seed in range(2)
    )
    return {"gemm_size": n, "gemm_flops": 2.0 * n**3 / best_of(5, lambda: A @ B)}


def _measure_copy(n_bytes: int) -> dict[str, float]:
    import cupy
    import numpy as np

    values = cupy.asarray(np.arange(n_bytes // 8, dtype=np.uint32))  # as much is written
    seconds = best_of(10, values.copy)
    return {"copy_bytes": values.nbytes, "copy_bytes_per_s": 2.0 * values.nbytes / seconds}


class PeakMemory:
    """How much of the GPU's memory gets used in a block, beyond what was before it.

    Sampled every 10 ms by what the driver says is free, so it counts every library's memory, and
    other processes' too.
    """

    def __init__(self) -> None:
        self.n_bytes = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "PeakMemory":
        import cupy

        cupy.get_default_memory_pool().free_all_blocks()
        self._mem_get_info = cupy.cuda.runtime.memGetInfo
        self._before = self._mem_get_info()[0]
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()
        self._look()

    def _look(self) -> None:
        self.n_bytes = max(self.n_bytes, self._before - self._mem_get_info()[0])

    def _watch(self) -> None:
        while not self._stop.wait(_SAMPLE_S):
            self._look()


@dataclass
class FitStages:
    """What was seen of one fit.

    Attributes
    ----------
    seconds : dict of str to float
        By function and CUDA kernel; those of ``kernel_matrix`` include its ``rbf_float32``, and
        those of ``launch_smo`` its ``smo_...``.
    tiles : list of int
        Samples of each kernel matrix.
    launches : list of (ndarray, ndarray)
        Samples and steps of each pair, a launch each.
    planned_bytes : int
        Of the GPU's memory, beyond the samples: kernel values and solver by the plan, and two
        blocks of matrix products.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    tiles: list[int] = field(default_factory=list)
    launches: list[tuple[Any, Any]] = field(default_factory=list)
    planned_bytes: int = 0

    def add(self, name: str, work: Callable[[], Any]) -> Any:
        """Do some work and add its time to that of `name`."""
        seconds, result = timed(work)
        self.seconds[name] = self.seconds.get(name, 0.0) + seconds
        return result

    @property
    def smo_kernels(self) -> list[str]:
        """The SMO kernels that were launched."""
        return sorted(name for name in self.seconds if name.startswith("smo_"))

    @property
    def smo_s(self) -> float:
        """Time of the SMO kernels by themselves."""
        return sum(self.seconds[name] for name in self.smo_kernels)


class _TimedKernel:
    """A CUDA kernel that is timed at each launch."""

    def __init__(self, kernel: Any, name: str, stages: FitStages) -> None:
        self.__dict__.update(_kernel=kernel, _name=name, _stages=stages)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._kernel, name, value)

    def __call__(self, *arguments: Any, **settings: Any) -> None:
        self._stages.add(self._name, lambda: self._kernel(*arguments, **settings))


@contextmanager
def watch_fit() -> Iterator[FitStages]:
    """Time the stages of the fits in a block with the backend 'cupy'.

    Yields
    ------
    FitStages
        Filled in as the fit goes on.  Watching makes a fit slower: the GPU is waited for at
        every stage.
    """
    import numpy as np

    from svmcifar.compute.cuda_source import load_kernel
    from svmcifar.svm.backends import cupy_ovo, smo_cuda
    from svmcifar.svm.kernels import rbf_cuda

    stages = FitStages()
    kernel_matrix, launch_smo = cupy_ovo.kernel_matrix, cupy_ovo.launch_smo
    solve_on_device = cupy_ovo.solve_on_device

    def watched_solve(problem: Any, plan: Any, *arguments: Any) -> Any:
        blocks = 2 * cupy_ovo._BLOCK**2 * problem.samples.X.dtype.itemsize
        stages.planned_bytes = plan.n_bytes + blocks
        return solve_on_device(problem, plan, *arguments)

    def watched_matrix(kernel: Any, X: Any, *arguments: Any) -> Any:
        stages.tiles.append(X.shape[0])
        return stages.add("kernel_matrix", lambda: kernel_matrix(kernel, X, *arguments))

    def watched_launch(K: Any, upper: Any, pairs: Any, **settings: Any) -> Any:
        solved = stages.add("launch_smo", lambda: launch_smo(K, upper, pairs, **settings))
        n_iter = np.array([pair.n_iter for pair in solved])
        stages.launches.append((pairs.sizes.sum(axis=1), n_iter))
        return solved

    def watched_load(path: Any, name: str, *options: str) -> Any:
        return _TimedKernel(load_kernel(path, name, *options), name, stages)

    with ExitStack() as stack:
        for module, name, watched in (
            (cupy_ovo, "kernel_matrix", watched_matrix),
            (cupy_ovo, "launch_smo", watched_launch),
            (cupy_ovo, "solve_on_device", watched_solve),
        ):
            stack.enter_context(patch.object(module, name, watched))
        for module in (rbf_cuda, smo_cuda):
            stack.enter_context(patch.object(module, "load_kernel", watched_load))
        yield stages


def smo_bytes(n_samples: Any, n_iter: Any, kernel: str) -> tuple[int, int]:
    """Count the bytes of global memory that an SMO kernel for float32 values reads and writes.

    A step passes over all samples of its pair twice: choosing j reads row i of the kernel matrix,
    updating reads row j, and row i again where it is not kept in registers, 4 bytes a sample each.
    In global memory, the gradient is read by both and written by the second, and both read
    coefficients and bounds, 8 bytes each.  A pair ends with one choice more than it has steps.

    Parameters
    ----------
    n_samples, n_iter : ndarray of shape (n_pairs,), int
        Samples and steps of each pair.
    kernel : str
        Its name.

    Returns
    -------
    requested : int
        All reads and writes.
    distinct : int
        Two rows a step, each counted once: row i may be read twice, the second time from a cache.
    """
    choice, update = 4, 8
    if kernel == "smo_global":
        choice, update = 4 + 24, 8 + 32
    elif kernel != "smo_shared":
        update = 4
    requested = (n_samples * ((n_iter + 1) * choice + n_iter * update)).sum()
    return int(requested), int((8 * n_samples * n_iter).sum())
