"""Sequential minimal optimisation of many binary SVMs at once on a CUDA device.

All pairs of classes are solved by one launch of a kernel of ``smo.cu``, a thread block a pair; long
ones go on in further launches, between which progress is told and Ctrl-C is heard.
"""

from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from svmcifar.compute.cuda_source import load_kernel
from svmcifar.svm.backends.smo import step_limit
from svmcifar.svm.backends.smo_numba import BARRED, TAU
from svmcifar.svm.problem import PairSolution, Progress

SOURCE = Path(__file__).with_name("smo.cu")
# Scores may be flushed to zero: they are compared, and no result of theirs is kept.
OPTIONS = ("--ftz=true", f"-DTAU={TAU!r}", f"-DBARRED={BARRED!r}")
# Of a pair in one launch: half a second or so.
STEPS_PER_LAUNCH = 2**17
# A block's own shared memory, beside that for v, is less.
_SHARED_RESERVE = 4096
# Shared memory that a kernel has without asking.
_SHARED_BYTES = 48 * 1024

IntArray = NDArray[np.int64]


class _Kernel(NamedTuple):
    """A kernel of the source, its threads, the samples of a pair that it can take."""

    name: str
    n_threads: int
    most_samples: float
    shares_v: bool = False  # whether v is in shared memory, 8 bytes a sample


# By the dtype of kernel values; the first that can take a pair is the fastest.
KERNELS = {
    np.dtype(np.float32): (
        _Kernel("smo_1024", 64, 1024),
        _Kernel("smo_5184", 192, 5184),
        _Kernel("smo_10368", 384, 10368),
        _Kernel("smo_shared", 768, 32 * 768, shares_v=True),
        _Kernel("smo_global", 768, inf),
    ),
    np.dtype(np.float64): (
        _Kernel("smo_any_shared", 512, 32 * 512, shares_v=True),
        _Kernel("smo_any_global", 512, inf),
    ),
}


@dataclass(frozen=True)
class PairTables:
    """The pairs of a launch; int64 arrays on the host."""

    sizes: IntArray  # (n_pairs, 2): samples of class a and of class b, each at least 1
    starts: IntArray  # (n_pairs, 2): first sample of each, of all that are sorted by class


def longest_first(sizes: IntArray) -> NDArray[np.intp]:
    """Return the order of pairs, by `PairTables.sizes`, in which the largest start first.

    The blocks then end at about the same time; pairs of one size keep their order.
    """
    return np.argsort(-sizes.sum(axis=1), kind="stable")


def launch_smo(
    K: Any,
    upper: NDArray[np.float64],
    pairs: PairTables,
    *,
    tol: float,
    max_iter: int,
    diagonal: NDArray[np.float64] | None = None,
    progress: Progress = lambda n_pairs: None,
) -> list[PairSolution]:
    """Solve the binary SVMs of many pairs of classes, in the order of `pairs`.

    `K`, (n_samples, n_samples) on the device, are contiguous kernel values of samples sorted by
    class, float32, or float64 with a `diagonal`; `upper`, (n_samples,) float64 on the host, is the
    upper bound of each alpha, > 0, and `diagonal`, likewise, the kernel value of each with itself,
    None if that is 1.  The order of `longest_first` is best.  A pair stops when its gap is at most
    `tol`, > 0, or after `max_iter` steps (see `smo.step_limit`).  `progress` is told the number of
    pairs that each launch has finished.
    """
    import cupy  # type: ignore[import-not-found,unused-ignore]

    n_samples = pairs.sizes.sum(axis=1)
    first = np.cumsum(n_samples) - n_samples
    limits = np.array([step_limit(max_iter, n) for n in n_samples.tolist()])
    n_pairs, total = len(n_samples), int(n_samples.sum())
    with K.device:
        upper_there = cupy.asarray(upper)
        diagonal_there = upper_there if diagonal is None else cupy.asarray(diagonal)
        beta, v = cupy.zeros(total, dtype=np.float64), cupy.empty(total, dtype=np.float64)
        n_iter = cupy.zeros(n_pairs, dtype=np.int64)
        results = cupy.empty((n_pairs, 3), dtype=np.float64)
        steps = np.zeros(n_pairs, dtype=np.int64)
        going_on = np.arange(n_pairs)
        while len(going_on):
            until = np.minimum(limits, steps + STEPS_PER_LAUNCH)
            for kernel, chosen in _by_kernel(K.dtype, n_samples, going_on):
                columns = (pairs.sizes, pairs.starts, first, np.arange(n_pairs), until)
                table = np.column_stack(columns)[chosen]
                function = load_kernel(SOURCE, kernel.name, *OPTIONS)
                shared_bytes = 8 * int(n_samples[chosen].max()) if kernel.shares_v else 0
                if shared_bytes > _SHARED_BYTES:
                    function.max_dynamic_shared_size_bytes = shared_bytes
                function(
                    (len(chosen),),
                    (kernel.n_threads,),
                    (
                        K, np.int32(len(K)), upper_there, diagonal_there, cupy.asarray(table),
                        np.float64(tol), beta, v, n_iter, results,
                    ),
                    shared_mem=shared_bytes,
                )  # fmt: skip
            steps, stats = n_iter.get(), results.get()
            left = going_on[(stats[going_on, 2] > tol) & (steps[going_on] < limits[going_on])]
            progress(len(going_on) - len(left))
            going_on = left
        betas = np.split(beta.get(), first[1:])
    rows = zip(*stats.T.tolist(), steps.tolist(), strict=True)
    return [PairSolution(beta, *row) for beta, row in zip(betas, rows, strict=True)]


def _by_kernel(
    dtype: np.dtype, n_samples: IntArray, chosen: NDArray[np.intp]
) -> list[tuple[_Kernel, NDArray[np.intp]]]:
    """Divide pairs by the fastest kernel that can take them, those of most samples first."""
    import cupy

    shared_bytes = cupy.cuda.Device().attributes["MaxSharedMemoryPerBlockOptin"] - _SHARED_RESERVE
    divided, least = [], 0.0
    for kernel in KERNELS[np.dtype(dtype)]:
        most = kernel.most_samples
        if kernel.shares_v:
            most = min(most, shared_bytes // 8)
        n = n_samples[chosen]
        divided.append((kernel, chosen[(n > least) & (n <= most)]))
        least = max(least, most)
    return [(kernel, some) for kernel, some in reversed(divided) if len(some)]
