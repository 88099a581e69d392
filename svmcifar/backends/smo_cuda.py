"""Sequential minimal optimisation of many binary SVMs at once on a CUDA device.

One launch solves all pairs of classes, one thread block a pair.  The variables, the
selection of the working set, the stopping rule and the rounding of a score are those of
`smo_cpu`; there they are explained.  Thread t of T works on the samples t, t + T, ... of its
pair, so a warp reads neighbouring entries of a kernel row.

How the threads of a block keep out of each other's way, which every
``syncthreads`` below serves:

- ``flags[p]`` and, in the passes over all samples, ``v[p]`` belong to thread p % T.  Another
  thread reads ``v[j]`` (to size the step) and ``beta[i]``, ``beta[j]`` only between the choice of
  j and the vote on stopping; they are written only between that vote and the choice of i.
- `_argmax` leaves the choice where every thread reads it, so i, j, the step and the decision to
  stop are computed by all threads from the same values, and no barrier is under a condition that
  differs between them.
- What is chosen depends on values and sample numbers alone, and sums are taken in an order that is
  fixed: the result is the same bit for bit whatever T is.
"""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import config, cuda, float64, int32
from numpy.typing import NDArray

from svmcifar.backends.smo_cpu import _BARRED, _DEFAULT_MAX_ITER, _TAU, PairSolution

# Bits of a sample's flags.
_MAY_RISE = 1
_MAY_FALL = 2
# Threads that take part in the second stage of a reduction, and partial sums of a sum.
_LANES = 32
# The shared memory that a block may have on every device.
_SHARED_BYTES = 48 * 1024
_MAX_THREADS = 1024
# The bound keeps a thread's registers to what the largest block can have.  The simulator has no
# registers, and takes no bound.
_KERNEL_OPTIONS = {"cache": True}
if not config.ENABLE_CUDASIM:
    _KERNEL_OPTIONS["launch_bounds"] = _MAX_THREADS

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class PairTables:
    """Where the data of each pair of a launch lies; all are int64 arrays on the host.

    The pair's kernel matrix is four blocks inside one flat buffer, in the order aa, ab, ba, bb:
    class a against itself, a against b, b against a, b against itself.  Blocks may overlap and be
    shared.  Entry (r, c) of a block is at ``offset + r * stride + c``.

    Attributes
    ----------
    offsets : ndarray of shape (n_pairs, 4)
        Where each block starts.
    strides : ndarray of shape (n_pairs, 4)
        From one row of a block to the next, at least its number of columns.
    sizes : ndarray of shape (n_pairs, 2)
        Samples of class a and of class b, each at least 1.
    starts : ndarray of shape (n_pairs, 2)
        First sample of class a and of class b in the per-sample arrays.
    """

    offsets: IntArray
    strides: IntArray
    sizes: IntArray
    starts: IntArray


def longest_first(sizes: IntArray) -> NDArray[np.intp]:
    """Order pairs by size, so that the longest ones do not start last.

    Parameters
    ----------
    sizes : ndarray of shape (n_pairs, 2), int64
        As in `PairTables`.

    Returns
    -------
    ndarray of shape (n_pairs,)
        Row numbers, those of the largest pairs first; pairs of one size keep their order.
    """
    return np.argsort(-sizes.sum(axis=1), kind="stable")


def launch_smo(
    K: Any,
    upper: FloatArray,
    pairs: PairTables,
    *,
    tol: float,
    max_iter: int,
    threads: int = 512,
) -> list[PairSolution]:
    """Solve the binary SVMs of many pairs of classes in one launch.

    Parameters
    ----------
    K : array of shape (n_values,), float32
        Kernel values.  Used where it is if it is on the device (CuPy's arrays and all others
        with ``__cuda_array_interface__``); copied to it if it is on the host.
    upper : ndarray of shape (n_samples,), float64
        Upper bound of each alpha, > 0, samples sorted by class.
    pairs : PairTables
        Best in the order of `longest_first`.
    tol : float
        Stop when a pair's gap is at most this, > 0.
    max_iter : int
        Largest number of steps a pair; -1 for LIBSVM's own bound,
        ``max(10_000_000, 100 * n)`` with the pair's number of samples.
    threads : int, default=512
        Threads of a block: a power of two from 32 to 1,024.  Does not change the result.

    Returns
    -------
    list of PairSolution
        One for each pair, in the order of `pairs`.

    Raises
    ------
    TypeError
        If an array has another dtype.
    ValueError
        If an array has another shape or is not contiguous, if a table points outside
        `K` or `upper`, or if a number is out of its range.
    """
    _check_array("K", K, np.float32, (K.size,))
    _check_array("upper", upper, np.float64, (upper.size,))
    _check_tables(pairs, K.size, upper.size)
    if not (np.isfinite(upper).all() and (upper > 0).all()):
        raise ValueError("All entries of upper must be above 0 and finite.")
    if not (0 < tol < np.inf) or max_iter < -1:
        raise ValueError(f"tol must be > 0 and max_iter >= -1. Got {tol} and {max_iter} instead.")
    if threads not in (32, 64, 128, 256, 512, 1024):
        raise ValueError(f"threads must be a power of two from 32 to 1024. Got {threads} instead.")

    n_samples = pairs.sizes.sum(axis=1)
    max_steps = np.maximum(_DEFAULT_MAX_ITER, 100 * n_samples)
    if max_iter >= 0:
        max_steps[:] = max_iter
    first = np.cumsum(n_samples) - n_samples
    table = np.column_stack(
        [pairs.offsets, pairs.strides, pairs.sizes, pairs.starts, first, max_steps]
    )
    beta = cuda.device_array(n_samples.sum(), dtype=np.float64)
    n_iter = cuda.device_array(len(table), dtype=np.int64)
    results = cuda.device_array((len(table), 3), dtype=np.float64)
    arguments = (
        cuda.as_cuda_array(K) if hasattr(K, "__cuda_array_interface__") else cuda.to_device(K),
        cuda.to_device(table),
        cuda.to_device(upper),
        float(tol),
        cuda.device_array(beta.size, dtype=np.uint8),
        beta,
        n_iter,
        results,
    )
    scratch_bytes = 12 * (threads + 2)
    shared_bytes = scratch_bytes + 8 * int(n_samples.max())
    with warnings.catch_warnings():
        # Few pairs make a small grid, and nothing can be done about it.
        warnings.filterwarnings("ignore", "Grid size .* low occupancy")
        if shared_bytes <= _SHARED_BYTES:
            smo_shared[len(table), threads, 0, shared_bytes](*arguments)
        else:
            v = cuda.device_array(beta.size, dtype=np.float64)
            smo_global[len(table), threads, 0, scratch_bytes](*arguments, v)
    betas = np.split(beta.copy_to_host(), first[1:])
    steps, numbers = n_iter.copy_to_host().tolist(), results.copy_to_host().tolist()
    return [
        PairSolution(pair_beta, intercept, objective, gap, done)
        for pair_beta, (intercept, objective, gap), done in zip(betas, numbers, steps, strict=True)
    ]


def _check_array(name: str, array: Any, dtype: Any, shape: tuple[int, ...]) -> None:
    """Refuse what a kernel would misread."""
    if array.dtype != dtype:
        raise TypeError(f"{name} must be {np.dtype(dtype).name}. Got {array.dtype} instead.")
    if array.shape != shape:
        raise ValueError(f"{name} must have the shape {shape}. Got {array.shape} instead.")
    if array.strides is not None and array.size and array.strides[-1] != array.dtype.itemsize:
        raise ValueError(f"{name} must be contiguous.")


def _check_tables(pairs: PairTables, n_values: int, n_samples: int) -> None:
    """Refuse tables that point outside the arrays."""
    n_pairs = len(pairs.sizes)
    for name, columns in (("offsets", 4), ("strides", 4), ("sizes", 2), ("starts", 2)):
        _check_array(name, getattr(pairs, name), np.int64, (n_pairs, columns))
    if n_pairs == 0:
        raise ValueError("There must be at least one pair.")
    if (pairs.sizes < 1).any():
        raise ValueError("All sizes must be at least 1.")
    if (pairs.starts < 0).any() or (pairs.sizes > n_samples - pairs.starts).any():
        raise ValueError(f"A class does not lie within the {n_samples} samples.")
    rows, columns = pairs.sizes[:, [0, 0, 1, 1]], pairs.sizes[:, [0, 1, 0, 1]]
    # The bounds on offset and stride come first, so that the last sum cannot overflow.
    fits = (0 <= pairs.offsets) & (columns <= n_values - pairs.offsets)
    fits &= (columns <= pairs.strides) & (pairs.strides <= n_values)
    if not fits.all() or (pairs.offsets + (rows - 1) * pairs.strides + columns > n_values).any():
        raise ValueError(f"A block does not lie within the {n_values} kernel values.")


@cuda.jit(device=True, inline="always")
def _argmax(value, index, values, indices):  # type: ignore[no-untyped-def]
    """Give all threads the largest value and its index, the lowest one if there are several.

    Each round leaves an eighth of the candidates; thread t alone touches the places t,
    t + stride, ... in it.  The winner goes to a place of its own, the last one, so that the next
    call may follow at once: it writes that place behind a barrier of its own, which all readers
    of this winner reach, and the other places have no readers behind the last barrier here.
    """
    t, width = cuda.threadIdx.x, cuda.blockDim.x
    values[t], indices[t] = value, index
    while width > 1:
        cuda.syncthreads()  # the candidates of this round are there
        stride = max(width // 8, 1)
        if t < stride:
            for s in range(t + stride, width, stride):
                if values[s] > value or (values[s] == value and indices[s] < index):
                    value, index = values[s], indices[s]
            values[t], indices[t] = value, index
        width = stride
    if t == 0:
        values[cuda.blockDim.x], indices[cuda.blockDim.x] = value, index
    cuda.syncthreads()  # the winner is there
    return values[cuda.blockDim.x], indices[cuda.blockDim.x]


@cuda.jit(device=True, inline="always")
def _sum(partial, values):  # type: ignore[no-untyped-def]
    """Give all threads the sum of what the first 32 hold, in their order."""
    if cuda.threadIdx.x < _LANES:
        values[cuda.threadIdx.x] = partial
    cuda.syncthreads()  # the terms are there
    total = 0.0
    for lane in range(_LANES):
        total += values[lane]
    cuda.syncthreads()  # all have read them: the next sum may replace them
    return total


@cuda.jit(device=True, inline="always")
def _row(i, n_a, row):  # type: ignore[no-untyped-def]
    """Find row i: against sample p, ``K[a + p]`` if p is of class a, ``K[b + p]`` if of class b."""
    if i < n_a:
        return row[0] + i * row[4], row[1] + i * row[5] - n_a
    return row[2] + (i - n_a) * row[6], row[3] + (i - n_a) * row[7] - n_a


@cuda.jit(device=True, inline="always")
def _box(p, n_a, row, upper):  # type: ignore[no-untyped-def]
    """Find the bounds of coefficient p."""
    if p < n_a:
        return 0.0, upper[row[10] + p]
    return -upper[row[11] + p - n_a], 0.0


@cuda.jit(device=True, inline="always")
def _flags(beta, lower, upper):  # type: ignore[no-untyped-def]
    """Tell whether a coefficient may still rise and still fall."""
    return (_MAY_RISE if beta < upper else 0) | (_MAY_FALL if beta > lower else 0)


@cuda.jit(device=True, inline="always")
def _solve_pair(K, row, upper, tol, flags, beta, n_iter, result, v):  # type: ignore[no-untyped-def]
    """Solve one pair with one block; `row` is its row of the table, `v` and the others its parts."""
    t, n_threads = cuda.threadIdx.x, cuda.blockDim.x
    values = cuda.shared.array(0, float64)[: n_threads + 2]
    indices = cuda.shared.array(0, int32)[2 * (n_threads + 2) : 3 * (n_threads + 2)]
    n_a, n = row[8], int32(row[8] + row[9])
    for p in range(t, n, n_threads):
        beta[p] = 0.0
        v[p] = 1.0 if p < n_a else -1.0
        flags[p] = _MAY_RISE if p < n_a else _MAY_FALL
    i, top, steps = 0, 1.0, 0  # at zero, class a alone may rise
    while True:
        i_a, i_b = _row(i, n_a, row)
        best, j, bottom = np.float32(-1.0), 0, _BARRED
        for p in range(t, n, n_threads):
            K_ip, v_p = K[(i_a if p < n_a else i_b) + p], v[p]
            low = v_p if flags[p] & _MAY_FALL else _BARRED
            bottom = min(bottom, low)
            violation = np.float32(max(top - low, 0.0))
            curvature = max(np.float32(2.0) - np.float32(2.0) * K_ip, np.float32(_TAU))
            score = violation * violation / curvature
            if score > best:
                best, j = score, p
        _, j = _argmax(float64(best), j, values, indices)

        lower_i, upper_i = _box(i, n_a, row, upper)
        lower_j, upper_j = _box(j, n_a, row, upper)
        beta_i, beta_j = beta[i], beta[j]
        K_ij = float64(K[(i_a if j < n_a else i_b) + j])
        rise, fall = upper_i - beta_i, beta_j - lower_j
        step = min((top - v[j]) / max(2.0 - 2.0 * K_ij, _TAU), rise, fall)
        # A bound is hit exactly, so that the index sets need no tolerance.
        beta_i = upper_i if step == rise else beta_i + step
        beta_j = lower_j if step == fall else beta_j - step
        # The gap is above tol if it is so with the bottom of one thread's samples.  This is also
        # the barrier between reading and writing v[j], beta[i] and beta[j].
        violated = cuda.syncthreads_or(int32(top - bottom > tol))
        if not violated or steps == row[13]:
            break
        steps += 1
        if t == i % n_threads:
            beta[i], flags[i] = beta_i, _flags(beta_i, lower_i, upper_i)
        if t == j % n_threads:
            beta[j], flags[j] = beta_j, _flags(beta_j, lower_j, upper_j)

        j_a, j_b = _row(j, n_a, row)
        top, i = -_BARRED, 0
        for p in range(t, n, n_threads):
            K_ip = float64(K[(i_a if p < n_a else i_b) + p])
            K_jp = float64(K[(j_a if p < n_a else j_b) + p])
            new = v[p] - step * (K_ip - K_jp)
            v[p] = new
            if flags[p] & _MAY_RISE and new > top:
                top, i = new, p
        top, i = _argmax(top, i, values, indices)

    # All of beta, v and flags was written before the last `_argmax`.
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


@cuda.jit(**_KERNEL_OPTIONS)
def smo_shared(K, table, upper, tol, flags, beta, n_iter, results):  # type: ignore[no-untyped-def]
    """Solve one pair a block, with ``v`` in shared memory behind the places of `_argmax`."""
    pair, row = cuda.blockIdx.x, table[cuda.blockIdx.x]
    v = cuda.shared.array(0, float64)[3 * (cuda.blockDim.x + 2) // 2 :]
    _solve_pair(
        K, row, upper, tol, flags[row[12] :], beta[row[12] :], n_iter[pair:], results[pair], v
    )


@cuda.jit(**_KERNEL_OPTIONS)
def smo_global(  # type: ignore[no-untyped-def]
    K, table, upper, tol, flags, beta, n_iter, results, v
):
    """Solve one pair a block, with ``v`` in global memory."""
    pair, row = cuda.blockIdx.x, table[cuda.blockIdx.x]
    _solve_pair(
        K, row, upper, tol, flags[row[12] :], beta[row[12] :], n_iter[pair:], results[pair],
        v[row[12] :],
    )  # fmt: skip
