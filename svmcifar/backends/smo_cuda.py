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

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import cuda, float64, int32
from numpy.typing import NDArray

from svmcifar.backends.smo_cpu import _BARRED, _DEFAULT_MAX_ITER, _TAU, PairSolution

# Bits of a sample's flags.
_MAY_RISE = 1
_MAY_FALL = 2
# Threads that take part in the second stage of a reduction, and partial sums of a sum.
_LANES = 32
# The shared memory that a block may have on every device.
_SHARED_BYTES = 48 * 1024

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
    bound = np.maximum(_DEFAULT_MAX_ITER, 100 * n_samples)
    max_steps = bound if max_iter < 0 else np.full_like(bound, max_iter)
    first = np.concatenate([[0], np.cumsum(n_samples)])
    n_pairs, total = len(n_samples), int(first[-1])
    inputs = [
        cuda.as_cuda_array(K) if hasattr(K, "__cuda_array_interface__") else cuda.to_device(K),
        *map(cuda.to_device, (pairs.offsets, pairs.strides, pairs.sizes, pairs.starts)),
        cuda.to_device(upper),
        float(tol),
        cuda.to_device(max_steps),
        cuda.to_device(first),
    ]
    flags = cuda.device_array(total, dtype=np.uint8)
    beta = cuda.device_array(total, dtype=np.float64)
    n_iter = cuda.device_array(n_pairs, dtype=np.int64)
    gap, objective, intercept = (cuda.device_array(n_pairs, dtype=np.float64) for _ in range(3))
    arguments = [*inputs, flags, beta, n_iter, gap, objective, intercept]
    scratch_bytes = 8 * _scratch_doubles(threads)
    shared_bytes = scratch_bytes + 8 * int(n_samples.max())
    if shared_bytes <= _SHARED_BYTES:
        smo_shared[n_pairs, threads, 0, shared_bytes](*arguments)
    else:
        v = cuda.device_array(total, dtype=np.float64)
        smo_global[n_pairs, threads, 0, scratch_bytes](v, *arguments)
    results = [array.copy_to_host() for array in (intercept, objective, gap, n_iter)]
    betas = np.split(beta.copy_to_host(), first[1:-1])
    return [
        PairSolution(pair_beta, float(b), float(value), float(violation), int(steps))
        for pair_beta, b, value, violation, steps in zip(betas, *results, strict=True)
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


def _scratch_doubles(threads: int) -> int:
    """Count the float64 places that the reductions of a block need; see `_solve`."""
    return 3 * (threads + _LANES) // 2


@cuda.jit(device=True)
def _argmax(value, index, values, indices):  # type: ignore[no-untyped-def]
    """Give all threads the largest value and its index, the lowest one if there are several.

    Every thread puts its candidate in its place; 32 lanes reduce T places to 32 more behind them;
    every thread reduces those.  The next call may follow at once: it writes the T
    places, whose readers have passed the second barrier, and it writes the last 32 only
    behind its own first barrier, which the readers of these reach when they are done.
    """
    t, n_threads = cuda.threadIdx.x, cuda.blockDim.x
    values[t], indices[t] = value, index
    cuda.syncthreads()  # the T candidates are there
    if t < _LANES:
        for s in range(t + _LANES, n_threads, _LANES):
            if values[s] > value or (values[s] == value and indices[s] < index):
                value, index = values[s], indices[s]
        values[n_threads + t], indices[n_threads + t] = value, index
    cuda.syncthreads()  # the 32 candidates are there
    value, index = values[n_threads], indices[n_threads]
    for s in range(n_threads + 1, n_threads + _LANES):
        if values[s] > value or (values[s] == value and indices[s] < index):
            value, index = values[s], indices[s]
    return value, index


@cuda.jit(device=True)
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


@cuda.jit(device=True)
def _row(i, n_a, offsets, strides):  # type: ignore[no-untyped-def]
    """Find row i: against sample p, ``K[a + p]`` if p is of class a, ``K[b + p]`` if of class b."""
    if i < n_a:
        return offsets[0] + i * strides[0], offsets[1] + i * strides[1] - n_a
    return offsets[2] + (i - n_a) * strides[2], offsets[3] + (i - n_a) * strides[3] - n_a


@cuda.jit(device=True)
def _box(p, n_a, start_a, start_b, upper):  # type: ignore[no-untyped-def]
    """Find the bounds of coefficient p."""
    if p < n_a:
        return 0.0, upper[start_a + p]
    return -upper[start_b + p - n_a], 0.0


@cuda.jit(device=True)
def _flags(beta, lower, upper):  # type: ignore[no-untyped-def]
    """Tell whether a coefficient may still rise and still fall."""
    return (_MAY_RISE if beta < upper else 0) | (_MAY_FALL if beta > lower else 0)


@cuda.jit(device=True)
def _solve(  # type: ignore[no-untyped-def]
    v, values, indices, K, offsets, strides, n_a, n_b, start_a, start_b, upper, tol, max_steps,
    flags, beta,
):  # fmt: skip
    """Solve one pair with one block; return steps, gap, objective and intercept.

    ``v``, ``flags`` and ``beta`` are the pair's own parts, `offsets` and `strides` its rows of the
    tables; `values` and `indices` have T + 32 places.
    """
    t, n_threads, n = cuda.threadIdx.x, cuda.blockDim.x, n_a + n_b
    for p in range(t, n, n_threads):
        beta[p] = 0.0
        v[p] = 1.0 if p < n_a else -1.0
        flags[p] = _MAY_RISE if p < n_a else _MAY_FALL
    i, top, n_iter = 0, 1.0, 0  # at zero, class a alone may rise
    while True:
        i_a, i_b = _row(i, n_a, offsets, strides)
        best, j, bottom = np.float32(-1.0), 0, _BARRED
        for p in range(t, n, n_threads):
            low = v[p] if flags[p] & _MAY_FALL else _BARRED
            bottom = min(bottom, low)
            violation = np.float32(max(top - low, 0.0))
            K_ip = K[(i_a if p < n_a else i_b) + p]
            curvature = max(np.float32(2.0) - np.float32(2.0) * K_ip, np.float32(_TAU))
            score = violation * violation / curvature
            if score > best:
                best, j = score, p
        _, j = _argmax(float64(best), j, values, indices)

        lower_i, upper_i = _box(i, n_a, start_a, start_b, upper)
        lower_j, upper_j = _box(j, n_a, start_a, start_b, upper)
        beta_i, beta_j = beta[i], beta[j]
        K_ij = float64(K[(i_a if j < n_a else i_b) + j])
        step = (top - v[j]) / max(2.0 - 2.0 * K_ij, _TAU)
        rise, fall = upper_i - beta_i, beta_j - lower_j
        step = min(step, rise, fall)
        # A bound is hit exactly, so that the index sets need no tolerance.
        beta_i = upper_i if step == rise else beta_i + step
        beta_j = lower_j if step == fall else beta_j - step
        # The gap is above tol if it is for one thread's samples.  This is the barrier between
        # reading and writing v[j], beta[i] and beta[j].
        violated = cuda.syncthreads_or(int32(top - bottom > tol))
        if not violated or n_iter == max_steps:
            break
        n_iter += 1
        if t == i % n_threads:
            beta[i], flags[i] = beta_i, _flags(beta_i, lower_i, upper_i)
        if t == j % n_threads:
            beta[j], flags[j] = beta_j, _flags(beta_j, lower_j, upper_j)

        j_a, j_b = _row(j, n_a, offsets, strides)
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
    intercept = level / n_free if n_free > 0.0 else (top + bottom) / 2.0
    return n_iter, max(top - bottom, 0.0), -0.5 * loss, intercept


@cuda.jit(device=True)
def _solve_pair(  # type: ignore[no-untyped-def]
    v, K, offsets, strides, sizes, starts, upper, tol, max_steps, first, flags, beta, n_iter, gap,
    objective, intercept,
):  # fmt: skip
    """Solve the pair that has the number of this block, with the pair's part of `v` at hand."""
    pair, places = cuda.blockIdx.x, cuda.blockDim.x + _LANES
    steps, violation, value, b = _solve(
        v, cuda.shared.array(0, float64)[:places],
        cuda.shared.array(0, int32)[2 * places : 3 * places],
        K, offsets[pair], strides[pair], sizes[pair, 0], sizes[pair, 1],
        starts[pair, 0], starts[pair, 1], upper, tol, max_steps[pair],
        flags[first[pair] :], beta[first[pair] :],
    )  # fmt: skip
    if cuda.threadIdx.x == 0:
        n_iter[pair], gap[pair], objective[pair], intercept[pair] = steps, violation, value, b


@cuda.jit(cache=True)
def smo_shared(  # type: ignore[no-untyped-def]
    K, offsets, strides, sizes, starts, upper, tol, max_steps, first, flags, beta, n_iter, gap,
    objective, intercept,
):  # fmt: skip
    """Solve one pair a block, with ``v`` in shared memory behind the scratch places."""
    v = cuda.shared.array(0, float64)[3 * (cuda.blockDim.x + _LANES) // 2 :]
    _solve_pair(
        v, K, offsets, strides, sizes, starts, upper, tol, max_steps, first, flags, beta, n_iter,
        gap, objective, intercept,
    )  # fmt: skip


@cuda.jit(cache=True)
def smo_global(  # type: ignore[no-untyped-def]
    v, K, offsets, strides, sizes, starts, upper, tol, max_steps, first, flags, beta, n_iter, gap,
    objective, intercept,
):  # fmt: skip
    """Solve one pair a block, with ``v`` in global memory."""
    _solve_pair(
        v[first[cuda.blockIdx.x] :], K, offsets, strides, sizes, starts, upper, tol, max_steps,
        first, flags, beta, n_iter, gap, objective, intercept,
    )  # fmt: skip
