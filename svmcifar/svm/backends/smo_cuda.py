"""Sequential minimal optimisation of many binary SVMs at once on a CUDA device.

One launch solves all pairs of classes, one thread block a pair.  The variables, the selection of
the working set, the stopping rule and the precision of a score are those of `smo`, where they are
explained.  Thread t of T works on the samples t, t + T, ... of its pair, so that a warp reads
neighbouring entries of a kernel row.

How the threads of a block keep out of each other's way:

- ``flags[p]`` is used by thread p % T alone, and so is ``v[p]`` in the passes over all samples.
  Other threads read ``v[j]``, ``beta[i]`` and ``beta[j]`` after the choice of j and before the vote
  on going on; these are written after that vote and before the choice of the next i.
- Both choices and the vote are the same in all threads, and all compute the step from the same
  values, so no barrier is under a condition on which threads differ.
- `diagonal` is that of the kernel matrix, or None if it is 1: each has CUDA kernels of its own, and
  `smo_numba` says why.
- Choices depend on values and sample numbers alone, and sums are taken in an order of their own:
  the result is the same bit for bit whatever T is.
"""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import config, cuda, float64, int32
from numpy.typing import NDArray

from svmcifar.compute.jit import cuda_jit
from svmcifar.svm.backends.smo import step_limit
from svmcifar.svm.backends.smo_numba import BARRED, TAU
from svmcifar.svm.problem import PairSolution

# Bits of a sample's flags.
_MAY_RISE, _MAY_FALL = 1, 2
# Partial sums of a sum.
_LANES = 32
# Columns of a pair's row in the table, behind four offsets and four strides.
_N_A, _N_B, _START_A, _START_B, _FIRST, _MAX_STEPS = 8, 9, 10, 11, 12, 13
# Shared memory of a block on any device.
_SHARED_BYTES = 48 * 1024
_MAX_THREADS = 1024
# The bound limits a thread to the registers that it can have in the largest block.  The simulator
# accepts no bound.
_OPTIONS: dict[str, Any] = {"cache": True}
if not config.ENABLE_CUDASIM:
    _OPTIONS["launch_bounds"] = _MAX_THREADS

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class PairTables:
    """Where the data of each pair of a launch lies; int64 arrays on the host.

    A pair's kernel matrix is four blocks of one flat buffer, in the order aa, ab, ba, bb (class a
    against itself, a against b, ...).  Entry (r, c) of a block is at ``offset + r * stride + c``.
    Blocks may be parts of one matrix, and pairs may share them.
    """

    offsets: IntArray  # (n_pairs, 4)
    strides: IntArray  # (n_pairs, 4): how far the rows of a block are apart, at least their length
    sizes: IntArray  # (n_pairs, 2): samples of class a and of class b, each at least 1
    starts: IntArray  # (n_pairs, 2): first sample of each in the per-sample arrays


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
    threads: int = 512,
) -> list[PairSolution]:
    """Solve the binary SVMs of many pairs of classes in one launch, in the order of `pairs`.

    `K`, (n_values,) float32, or float64 with a `diagonal`, are contiguous kernel values, used in
    place on the device (any array with ``__cuda_array_interface__``) and copied there from the
    host; `upper`, (n_samples,) float64, is the upper bound of each alpha, > 0, of samples sorted by
    class, and `diagonal`, likewise, the kernel value of each with itself, None if that is 1.  The
    order of `longest_first` is best.  A pair stops when its gap is at most `tol`, > 0, or after
    `max_iter` steps (see `smo.step_limit`).  A block has 32 to 1024 threads, a power of two; the
    result does not depend on them.

    Raise TypeError if an array has another dtype; ValueError if it has another shape or is not
    contiguous, if a table points outside `K` or `upper`, or if a number is out of its range.
    """
    _check_arrays(K, upper, pairs, diagonal)
    _check_tables(pairs, K.size, upper.size)
    if not 0 < tol < np.inf or max_iter < -1:
        raise ValueError(f"tol must be > 0 and max_iter >= -1. Got {tol} and {max_iter} instead.")
    if threads not in (32, 64, 128, 256, 512, _MAX_THREADS):
        raise ValueError(f"threads must be a power of two from 32 to 1024. Got {threads} instead.")

    n_samples = pairs.sizes.sum(axis=1)
    first = np.cumsum(n_samples) - n_samples
    steps = [step_limit(max_iter, n) for n in n_samples.tolist()]
    table = np.column_stack([pairs.offsets, pairs.strides, pairs.sizes, pairs.starts, first, steps])
    n_pairs, total = len(table), int(n_samples.sum())
    beta = cuda.device_array(total, dtype=np.float64)
    n_iter = cuda.device_array(n_pairs, dtype=np.int64)
    results = cuda.device_array((n_pairs, 3), dtype=np.float64)
    arguments: tuple[Any, ...] = (
        cuda.as_cuda_array(K) if hasattr(K, "__cuda_array_interface__") else cuda.to_device(K),
        cuda.to_device(table),
        cuda.to_device(upper),
        float(tol),
        cuda.device_array(total, dtype=np.uint8),
        beta,
        n_iter,
        results,
    )
    kernels = smo_shared, smo_global
    if diagonal is not None:
        kernels = smo_shared_any, smo_global_any
        arguments = (*arguments, cuda.to_device(diagonal))
    scratch_bytes = 12 * (threads + 2)
    shared_bytes = scratch_bytes + 8 * int(n_samples.max())
    with warnings.catch_warnings():
        # Few pairs make a small grid; nothing can be done about it.
        warnings.filterwarnings("ignore", "Grid size .* low occupancy")
        if shared_bytes <= _SHARED_BYTES:
            kernels[0][n_pairs, threads, 0, shared_bytes](*arguments)
        else:
            v = cuda.device_array(total, dtype=np.float64)
            kernels[1][n_pairs, threads, 0, scratch_bytes](*arguments, v)
    betas = np.split(beta.copy_to_host(), first[1:])
    stats = zip(*results.copy_to_host().T.tolist(), n_iter.copy_to_host().tolist(), strict=True)
    return [PairSolution(beta, *row) for beta, row in zip(betas, stats, strict=True)]


def _check_arrays(K: Any, upper: Any, pairs: PairTables, diagonal: Any) -> None:
    """Raise if a kernel would misread an array."""
    rows, kept = len(pairs.sizes), np.float32 if diagonal is None else np.float64
    diagonal = upper if diagonal is None else diagonal
    for name, array, dtype, shape in (
        ("K", K, kept, (K.size,)),
        ("upper", upper, np.float64, (upper.size,)),
        ("diagonal", diagonal, np.float64, (upper.size,)),
        ("offsets", pairs.offsets, np.int64, (rows, 4)),
        ("strides", pairs.strides, np.int64, (rows, 4)),
        ("sizes", pairs.sizes, np.int64, (rows, 2)),
        ("starts", pairs.starts, np.int64, (rows, 2)),
    ):
        if array.dtype != dtype:
            raise TypeError(f"{name} must be {np.dtype(dtype)}. Got {array.dtype} instead.")
        if array.shape != shape:
            raise ValueError(f"{name} must have the shape {shape}. Got {array.shape} instead.")
    for name, array in (("K", K), ("upper", upper), ("diagonal", diagonal)):
        if array.strides not in (None, (array.dtype.itemsize,)):
            raise ValueError(f"{name} must be contiguous.")
    if not (np.isfinite(upper) & (upper > 0)).all():
        raise ValueError("All entries of upper must be > 0 and finite.")


def _check_tables(pairs: PairTables, n_values: int, n_samples: int) -> None:
    """Raise if a table points outside the arrays."""
    if len(pairs.sizes) == 0 or (pairs.sizes < 1).any():
        raise ValueError("There must be at least one pair, and one sample of each class.")
    if (pairs.starts < 0).any() or (pairs.sizes > n_samples - pairs.starts).any():
        raise ValueError(f"A class does not lie within the {n_samples} samples.")
    rows, columns = pairs.sizes[:, [0, 0, 1, 1]], pairs.sizes[:, [0, 1, 0, 1]]
    # The bounds on each number come first: the sum cannot overflow then.
    fits = (pairs.offsets >= 0) & (columns <= n_values - pairs.offsets)
    fits &= (columns <= pairs.strides) & (pairs.strides <= n_values)
    if not fits.all() or (pairs.offsets + (rows - 1) * pairs.strides + columns > n_values).any():
        raise ValueError(f"A block does not lie within the {n_values} kernel values.")


@cuda.jit(device=True, inline="always")
def _argmax(value, index, values, indices):  # type: ignore[no-untyped-def]
    """Return the largest value and its index, the lowest one if there are several, to all threads.

    Each round leaves an eighth of the candidates; in it, thread t alone uses the places t,
    t + stride, ...  The winner gets a place of its own, the last one.  The next call may follow at
    once: it writes the winner's place behind its first barrier, which this call's readers reach
    when they have read it, and nobody reads the other places behind this call's last barrier.
    """
    t, last, width = cuda.threadIdx.x, cuda.blockDim.x, cuda.blockDim.x
    values[t], indices[t] = value, index
    while width > 1:
        cuda.syncthreads()  # all candidates of this round are there
        stride = max(width // 8, 1)
        if t < stride:
            for s in range(t + stride, width, stride):
                if values[s] > value or (values[s] == value and indices[s] < index):
                    value, index = values[s], indices[s]
            values[t], indices[t] = value, index
        width = stride
    if t == 0:
        values[last], indices[last] = value, index
    cuda.syncthreads()  # the winner is there
    return values[last], indices[last]


@cuda.jit(device=True, inline="always")
def _sum(partial, values):  # type: ignore[no-untyped-def]
    """Return the sum of the first threads' terms, in their order, to all threads."""
    if cuda.threadIdx.x < _LANES:
        values[cuda.threadIdx.x] = partial
    cuda.syncthreads()  # all terms are there
    total = 0.0
    for lane in range(_LANES):
        total += values[lane]
    cuda.syncthreads()  # all threads have read them: the next call may replace them
    return total


@cuda.jit(device=True, inline="always")
def _find_row(i, row):  # type: ignore[no-untyped-def]
    """Return a and b such that row i is ``K[a + p]`` for p in class a, and ``K[b + p]`` else."""
    n_a = row[_N_A]
    if i < n_a:
        return row[0] + i * row[4], row[1] + i * row[5] - n_a
    return row[2] + (i - n_a) * row[6], row[3] + (i - n_a) * row[7] - n_a


@cuda.jit(device=True, inline="always")
def _find_box(p, row, upper):  # type: ignore[no-untyped-def]
    """Return the bounds of coefficient p."""
    if p < row[_N_A]:
        return 0.0, upper[row[_START_A] + p]
    return -upper[row[_START_B] + p - row[_N_A]], 0.0


@cuda.jit(device=True, inline="always")
def _flag(beta, lower, upper):  # type: ignore[no-untyped-def]
    """Return the flags of a coefficient: whether it is in I_up and in I_low."""
    return (_MAY_RISE if beta < upper else 0) | (_MAY_FALL if beta > lower else 0)


@cuda.jit(device=True, inline="always")
def _solve(  # type: ignore[no-untyped-def]
    K, row, upper, tol, flags, beta, n_iter, result, v, diagonal
):
    """Solve one pair with one block; the arrays start where the pair's own part does."""
    t, n_threads = cuda.threadIdx.x, cuda.blockDim.x
    values = cuda.shared.array(0, float64)[: n_threads + 2]
    indices = cuda.shared.array(0, int32)[2 * (n_threads + 2) : 3 * (n_threads + 2)]
    n_a, n = row[_N_A], int32(row[_N_A] + row[_N_B])
    d_a, d_b = row[_START_A], row[_START_B] - n_a  # where `diagonal` has the samples of a and b
    for p in range(t, n, n_threads):
        beta[p] = 0.0
        v[p] = 1.0 if p < n_a else -1.0
        flags[p] = _MAY_RISE if p < n_a else _MAY_FALL
    i, top, steps = 0, 1.0, 0  # at zero, class a alone may rise
    while True:
        i_a, i_b = _find_row(i, row)
        best, j, bottom = np.float32(-1.0), 0, BARRED
        K_ii = 1.0 if diagonal is None else diagonal[(d_a if i < n_a else d_b) + i]
        for p in range(t, n, n_threads):
            K_ip, v_p = K[(i_a if p < n_a else i_b) + p], v[p]
            low = v_p if flags[p] & _MAY_FALL else BARRED
            bottom = min(bottom, low)
            if diagonal is None:
                violation = np.float32(max(top - low, 0.0))
                curvature = max(np.float32(2.0) - np.float32(2.0) * K_ip, np.float32(TAU))
                score = violation * violation / curvature
            else:
                more = max(top - low, 0.0)
                bend = K_ii + diagonal[(d_a if p < n_a else d_b) + p] - 2.0 * float64(K_ip)
                score = more * more / (bend if bend > 0.0 else TAU)
            if score > best:
                best, j = score, p
        _, j = _argmax(float64(best), j, values, indices)

        (lower_i, upper_i), (lower_j, upper_j) = _find_box(i, row, upper), _find_box(j, row, upper)
        K_ij = float64(K[(i_a if j < n_a else i_b) + j])
        rise, fall = upper_i - beta[i], beta[j] - lower_j
        if diagonal is None:
            step = min((top - v[j]) / max(2.0 - 2.0 * K_ij, TAU), rise, fall)
        else:
            bend = K_ii + diagonal[(d_a if j < n_a else d_b) + j] - 2.0 * K_ij
            step = min((top - v[j]) / (bend if bend > 0.0 else TAU), rise, fall)
        # A bound is hit exactly, so that the index sets need no tolerance.
        beta_i = upper_i if step == rise else beta[i] + step
        beta_j = lower_j if step == fall else beta[j] - step
        # The gap is above tol if it is for the bottom of one thread's samples.  The vote is also
        # the barrier between reading and writing v[j], beta[i] and beta[j].
        goes_on = cuda.syncthreads_or(int32(top - bottom > tol))
        if not goes_on or steps == row[_MAX_STEPS]:
            break
        steps += 1
        if t == i % n_threads:
            beta[i], flags[i] = beta_i, _flag(beta_i, lower_i, upper_i)
        if t == j % n_threads:
            beta[j], flags[j] = beta_j, _flag(beta_j, lower_j, upper_j)

        j_a, j_b = _find_row(j, row)
        top, i = -BARRED, 0
        for p in range(t, n, n_threads):
            K_ip = float64(K[(i_a if p < n_a else i_b) + p])
            K_jp = float64(K[(j_a if p < n_a else j_b) + p])
            new = v[p] - step * (K_ip - K_jp)
            v[p] = new
            if flags[p] & _MAY_RISE and new > top:
                top, i = new, p
        top, i = _argmax(top, i, values, indices)

    # All writes to beta, v and flags are behind the barriers of the last `_argmax`.
    bottom = -_argmax(-bottom, 0, values, indices)[0]
    loss, level, n_free = 0.0, 0.0, 0.0
    if t < _LANES:
        for p in range(t, n, _LANES):
            loss += beta[p] * v[p] + abs(beta[p])
            if flags[p] == _MAY_RISE | _MAY_FALL:
                level, n_free = level + v[p], n_free + 1.0
    loss, level, n_free = _sum(loss, values), _sum(level, values), _sum(n_free, values)
    if t == 0:
        n_iter[0] = steps
        result[0] = level / n_free if n_free > 0.0 else (top + bottom) / 2.0
        result[1] = -0.5 * loss
        result[2] = max(top - bottom, 0.0)


@cuda_jit(**_OPTIONS)
def smo_shared(K, table, upper, tol, flags, beta, n_iter, results):  # type: ignore[no-untyped-def]
    """Solve one pair a block, with ``v`` in shared memory, behind the places of `_argmax`."""
    pair, first = cuda.blockIdx.x, table[cuda.blockIdx.x, _FIRST]
    v = cuda.shared.array(0, float64)[3 * (cuda.blockDim.x + 2) // 2 :]
    _solve(
        K, table[pair], upper, tol, flags[first:], beta[first:], n_iter[pair:], results[pair], v,
        None,
    )  # fmt: skip


@cuda_jit(**_OPTIONS)
def smo_global(  # type: ignore[no-untyped-def]
    K, table, upper, tol, flags, beta, n_iter, results, v
):
    """Solve one pair a block, with ``v`` in global memory."""
    pair, first = cuda.blockIdx.x, table[cuda.blockIdx.x, _FIRST]
    _solve(
        K, table[pair], upper, tol, flags[first:], beta[first:], n_iter[pair:], results[pair],
        v[first:], None,
    )  # fmt: skip


@cuda_jit(**_OPTIONS)
def smo_shared_any(  # type: ignore[no-untyped-def]
    K, table, upper, tol, flags, beta, n_iter, results, diagonal
):
    """Solve as `smo_shared`, with a diagonal of the kernel matrix."""
    pair, first = cuda.blockIdx.x, table[cuda.blockIdx.x, _FIRST]
    v = cuda.shared.array(0, float64)[3 * (cuda.blockDim.x + 2) // 2 :]
    _solve(
        K, table[pair], upper, tol, flags[first:], beta[first:], n_iter[pair:], results[pair], v,
        diagonal,
    )  # fmt: skip


@cuda_jit(**_OPTIONS)
def smo_global_any(  # type: ignore[no-untyped-def]
    K, table, upper, tol, flags, beta, n_iter, results, diagonal, v
):
    """Solve as `smo_global`, with a diagonal of the kernel matrix."""
    pair, first = cuda.blockIdx.x, table[cuda.blockIdx.x, _FIRST]
    _solve(
        K, table[pair], upper, tol, flags[first:], beta[first:], n_iter[pair:], results[pair],
        v[first:], diagonal,
    )  # fmt: skip
