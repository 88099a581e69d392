"""The compiled loops of the CPU solver; `svmcifar.svm.backends.smo` explains what they compute.

They are in one file because numba keys its cache by file: a cached function would go on calling
the old version of one that has changed in another file.
"""

import numpy as np
from numba import types
from numba.extending import overload

from svmcifar.compute.jit import njit
from svmcifar.compute.llvm import fast_max

# LIBSVM's stand-in for a curvature K_ii + K_jj - 2 K_ij that is zero or negative.
TAU = 1e-12
# Added to entries that may not be chosen; larger than any gradient, and finite
# so that the compiler may assume that there are no NaNs.
BARRED = 1e200
# Maxima are taken over blocks of this many entries, so that finding the argmax
# means searching one block.
_BLOCK = 256
# Columns of the `stats` of solutions; the objective is in those of `solve_pairs` alone.
INTERCEPT, GAP, N_ITER, OBJECTIVE = range(4)


@njit(nogil=True, cache=True, error_model="numpy")
def _box(i, n_a, upper):  # type: ignore[no-untyped-def]
    """Return the bounds of beta_i."""
    return (0.0, upper[i]) if i < n_a else (-upper[i], 0.0)


@njit(nogil=True, cache=True, error_model="numpy")
def _bar(t, beta, lower, upper, bar_up, bar_low):  # type: ignore[no-untyped-def]
    """Update whether index t is in I_up (beta may rise) and in I_low (beta may fall)."""
    bar_up[t] = 0.0 if beta[t] < upper[t] else BARRED
    bar_low[t] = 0.0 if beta[t] > lower[t] else BARRED


# `diagonal` is that of the pair's kernel matrix, float64, or None if it is 1: functions are
# compiled for each by itself, so that the curvature of the RBF kernel is 2 - 2 K_ij in float32.
# Other kernels have values of any size, and lose digits in the difference: theirs is in float64.


def _empty_scores(n, diagonal):  # type: ignore[no-untyped-def]
    """Return room for the scores of n samples, in the precision of curvatures."""
    return np.empty(n, dtype=np.float32 if diagonal is None else np.float64)


@overload(_empty_scores)
def _choose_scores(n, diagonal):  # type: ignore[no-untyped-def]
    dtype = np.float32 if isinstance(diagonal, types.NoneType) else np.float64
    return lambda n, diagonal: np.empty(n, dtype=dtype)


def _join(values, starts, a, b):  # type: ignore[no-untyped-def]
    """Return the values of the samples of two classes, one after the other, or None as it is."""
    if values is None:
        return None
    of_a, of_b = values[starts[a] : starts[a + 1]], values[starts[b] : starts[b + 1]]
    return np.concatenate((of_a, of_b))


@overload(_join)
def _choose_join(values, starts, a, b):  # type: ignore[no-untyped-def]
    # An overload: one function cannot return None or an array, as the type of its argument is.
    return (lambda values, starts, a, b: None) if isinstance(values, types.NoneType) else _join


# The functions below take start and stop indices instead of slices: numba counts references to
# each slice atomically, which costs more than the work on a 256-entry block.  The indices are
# unsigned because numba wraps negative ones around, and that check keeps a loop from becoming SIMD
# code.


@njit(nogil=True, cache=True, fastmath={"nnan", "nsz", "reassoc"}, error_model="numpy")
def _update_block(v, bar_up, K, i, L, j, first, start, count, step):  # type: ignore[no-untyped-def]
    """Update the negative gradient of one block; return its maximum over I_up."""
    top = -BARRED
    row_i, row_j = np.uint64(i), np.uint64(j)
    place, column = np.uint64(start), np.uint64(start - first)
    for k in range(count):
        t, u = place + np.uint64(k), column + np.uint64(k)
        new = v[t] - step * (np.float64(K[row_i, u]) - np.float64(L[row_j, u]))
        v[t] = new
        top = fast_max(top, new - bar_up[t])
    return top


@njit(nogil=True, cache=True, fastmath={"nnan", "nsz", "reassoc"}, error_model="numpy")
def _score_block(  # type: ignore[no-untyped-def]
    v, bar_low, K, i, first, start, count, v_i, diagonal, K_ii, score
):
    """Score one block for the second index; return the best score and the least ``v`` over I_low.

    The score ``(v_i - v_t)^2 / (K_ii + K_tt - 2 K_it)`` is twice the decrease of the objective; it
    is zero outside I_low and where ``v_t >= v_i``.
    """
    real = K.dtype.type
    best = score.dtype.type(-1.0)
    bottom = BARRED
    row, place, column = np.uint64(i), np.uint64(start), np.uint64(start - first)
    for k in range(count):
        t, u = place + np.uint64(k), column + np.uint64(k)
        low = v[t] + bar_low[t]
        bottom = -fast_max(-bottom, -low)
        if diagonal is None:
            violation = real(fast_max(v_i - low, 0.0))
            curvature = fast_max(real(2.0) - real(2.0) * K[row, u], real(TAU))
            score[t] = violation * violation / curvature
        else:
            more = fast_max(v_i - low, 0.0)
            bend = K_ii + diagonal[t] - 2.0 * np.float64(K[row, u])
            score[t] = more * more / (bend if bend > 0.0 else TAU)
        best = fast_max(best, score[t])
    return best, bottom


@njit(nogil=True, cache=True, forceinline=True, error_model="numpy")
def _update_class(v, bar_up, K, i, L, j, first, last, step):  # type: ignore[no-untyped-def]
    """Update the negative gradient of the samples `first` to `last` by row i of K and j of L.

    Return its maximum over I_up, and the start of the block that has it.
    """
    top, top_start = -2.0 * BARRED, first
    for start in range(first, last, _BLOCK):
        count = min(_BLOCK, last - start)
        block_top = _update_block(v, bar_up, K, i, L, j, first, start, count, step)
        if block_top > top:
            top, top_start = block_top, start
    return top, top_start


@njit(nogil=True, cache=True, forceinline=True, error_model="numpy")
def _score_class(  # type: ignore[no-untyped-def]
    v, bar_low, K, i, first, last, v_i, diagonal, K_ii, score
):
    """Score the samples `first` to `last` by row i of K, for the second index.

    Return the best score, the start of the block that has it, and the least ``v`` over I_low.
    """
    best, best_start, bottom = score.dtype.type(-1.0), first, BARRED
    for start in range(first, last, _BLOCK):
        count = min(_BLOCK, last - start)
        block_best, block_bottom = _score_block(
            v, bar_low, K, i, first, start, count, v_i, diagonal, K_ii, score
        )
        bottom = min(bottom, block_bottom)
        if block_best > best:
            best, best_start = block_best, start
    return best, best_start, bottom


@njit(nogil=True, cache=True, error_model="numpy")
def _take_steps(  # type: ignore[no-untyped-def]
    K_aa, K_ab, K_ba, K_bb, diagonal, beta, v, lower, upper, bar_up, bar_low, score, tol,
    max_steps,
):  # fmt: skip
    """Take at most `max_steps` SMO steps in place; return how many were taken.

    Fewer than `max_steps` mean that the stopping rule is met.
    """
    n_a, n = K_aa.shape[0], v.shape[0]
    i, top, K_ii = 0, -2.0 * BARRED, 1.0
    for t in range(n):
        if v[t] - bar_up[t] > top:
            i, top = t, v[t] - bar_up[t]
    for step_count in range(max_steps):
        if diagonal is not None:
            K_ii = diagonal[i]
        # A row of the pair's kernel matrix lies in two blocks: against class a, against class b.
        if i < n_a:
            best, best_start, bottom = _score_class(
                v, bar_low, K_aa, i, 0, n_a, top, diagonal, K_ii, score
            )
            best_b, start_b, bottom_b = _score_class(
                v, bar_low, K_ab, i, n_a, n, top, diagonal, K_ii, score
            )
        else:
            row = i - n_a
            best, best_start, bottom = _score_class(
                v, bar_low, K_ba, row, 0, n_a, top, diagonal, K_ii, score
            )
            best_b, start_b, bottom_b = _score_class(
                v, bar_low, K_bb, row, n_a, n, top, diagonal, K_ii, score
            )
        if best_b > best:
            best, best_start = best_b, start_b
        if top - min(bottom, bottom_b) <= tol:
            return step_count
        j = best_start
        while score[j] != best:
            j += 1

        if i < n_a:
            K_ij = K_aa[i, j] if j < n_a else K_ab[i, j - n_a]
        else:
            K_ij = K_ba[i - n_a, j] if j < n_a else K_bb[i - n_a, j - n_a]
        if diagonal is None:
            curvature = max(2.0 - 2.0 * np.float64(K_ij), TAU)
        else:
            curvature = K_ii + diagonal[j] - 2.0 * np.float64(K_ij)
            curvature = curvature if curvature > 0.0 else TAU
        step = (top - v[j]) / curvature
        rise, fall = upper[i] - beta[i], beta[j] - lower[j]
        step = min(step, rise, fall)
        # A bound is hit exactly, so that the index sets need no tolerance.
        beta[i] = upper[i] if step == rise else beta[i] + step
        beta[j] = lower[j] if step == fall else beta[j] - step
        _bar(i, beta, lower, upper, bar_up, bar_low)
        _bar(j, beta, lower, upper, bar_up, bar_low)

        if i < n_a and j < n_a:
            top, top_start = _update_class(v, bar_up, K_aa, i, K_aa, j, 0, n_a, step)
            top_b, start_b = _update_class(v, bar_up, K_ab, i, K_ab, j, n_a, n, step)
        elif i < n_a:
            top, top_start = _update_class(v, bar_up, K_aa, i, K_ba, j - n_a, 0, n_a, step)
            top_b, start_b = _update_class(v, bar_up, K_ab, i, K_bb, j - n_a, n_a, n, step)
        elif j < n_a:
            top, top_start = _update_class(v, bar_up, K_ba, i - n_a, K_aa, j, 0, n_a, step)
            top_b, start_b = _update_class(v, bar_up, K_bb, i - n_a, K_ab, j, n_a, n, step)
        else:
            top, top_start = _update_class(v, bar_up, K_ba, i - n_a, K_ba, j - n_a, 0, n_a, step)
            top_b, start_b = _update_class(v, bar_up, K_bb, i - n_a, K_bb, j - n_a, n_a, n, step)
        if top_b > top:
            top, top_start = top_b, start_b
        i = top_start
        while v[i] - bar_up[i] != top:
            i += 1
    return max_steps


@njit(nogil=True, cache=True, error_model="numpy")
def _sum_block(x, first, count):  # type: ignore[no-untyped-def]
    """Sum at most 128 entries with eight accumulators."""
    total, last = 0.0, first + count
    if count >= 8:
        r0, r1, r2, r3 = x[first], x[first + 1], x[first + 2], x[first + 3]
        r4, r5, r6, r7 = x[first + 4], x[first + 5], x[first + 6], x[first + 7]
        for i in range(first + 8, last - 7, 8):
            r0, r1, r2, r3 = r0 + x[i], r1 + x[i + 1], r2 + x[i + 2], r3 + x[i + 3]
            r4, r5, r6, r7 = r4 + x[i + 4], r5 + x[i + 5], r6 + x[i + 6], r7 + x[i + 7]
        total = ((r0 + r1) + (r2 + r3)) + ((r4 + r5) + (r6 + r7))
        first = last - count % 8
    for i in range(first, last):
        total += x[i]
    return total


@njit(nogil=True, cache=True, error_model="numpy")
def _sum(x, n):  # type: ignore[no-untyped-def]
    """Sum the first n entries pairwise, in NumPy's order: as precise, and the same to the bit."""
    if n <= 128:
        return _sum_block(x, 0, n)
    # A stack of counts to sum, and of -1 for "add the last two sums": numba crashes where a
    # recursive function comes from its cache.
    todo, sums = np.empty(128, dtype=np.int64), np.empty(64)
    todo[0], n_todo, n_sums, first = n, 1, 0, 0
    while n_todo:
        n_todo -= 1
        count = todo[n_todo]
        if count < 0:
            n_sums -= 1
            sums[n_sums - 1] += sums[n_sums]
        elif count > 128:
            half = count // 16 * 8
            todo[n_todo], todo[n_todo + 1], todo[n_todo + 2] = -1, count - half, half
            n_todo += 3
        else:
            sums[n_sums] = _sum_block(x, first, count)
            n_sums += 1
            first += count
    return sums[0]


@njit(nogil=True, cache=True, error_model="numpy")
def dual_objective(beta, v):  # type: ignore[no-untyped-def]
    """Return the dual objective ``1/2 alpha' Q alpha - sum(alpha)``, as LIBSVM minimises it.

    `beta` are signed coefficients ``y_i alpha_i``, and ``v = y - K beta`` is the negative gradient.
    """
    terms = np.empty(len(v))
    for i in range(len(v)):
        terms[i] = beta[i] * v[i] + abs(beta[i])
    return -0.5 * _sum(terms, len(v))


@njit(nogil=True, cache=True, error_model="numpy")
def end_state(beta, v, n_a, upper):  # type: ignore[no-untyped-def]
    """Return intercept and KKT gap of a pair's solution.

    `beta` are the signed coefficients, those of the `n_a` samples of class a first, ``v`` is the
    negative gradient, and `upper` bounds each alpha.  The intercept is the mean of ``v`` over the
    free coefficients; with none free, the middle of the gap.
    """
    top, bottom = -2.0 * BARRED, 2.0 * BARRED
    free, n_free = np.empty(len(v)), 0
    for i in range(len(v)):
        lower_i, upper_i = _box(i, n_a, upper)
        in_up, in_low = beta[i] < upper_i, beta[i] > lower_i
        if in_up:
            top = max(top, v[i])
        if in_low:
            bottom = min(bottom, v[i])
        if in_up and in_low:
            free[n_free] = v[i]
            n_free += 1
    intercept = _sum(free, n_free) / n_free if n_free else (top + bottom) / 2.0
    return intercept, max(top - bottom, 0.0)


@njit(nogil=True, cache=True, error_model="numpy")
def solve_each(  # type: ignore[no-untyped-def]
    K_aa, K_ab, K_ba, K_bb, diagonal, C, weight, start, tol, max_iter, steps_per_call, cancelled,
    betas, v, stats,
):  # fmt: skip
    """Solve a pair for each C in turn.

    Write the coefficients and stats of each solution into the rows of `betas` and `stats`, and the
    negative gradient of the last one into `v`.
    """
    n_a, n = K_aa.shape[0], len(weight)
    product, bound, lower, upper = np.zeros(n), np.empty(n), np.empty(n), np.empty(n)
    bar_up, bar_low, score = np.empty(n), np.empty(n), _empty_scores(n, diagonal)
    if start.any():
        _multiply(K_aa, K_ab, K_ba, K_bb, start, product)
    for k in range(len(C)):
        beta, before = betas[k], start if k == 0 else betas[k - 1]
        for i in range(n):
            bound[i] = C[k] * weight[i]
        t = _best_stretch(before, product, bound)
        for i in range(n):
            alpha = t * abs(before[i])
            # What rounding left a little below its bound would take a step of its own.
            alpha = bound[i] if alpha >= (1.0 - 1e-15) * bound[i] else alpha
            # Not by a sign: a coefficient that never moves must be +0.0 in both classes.
            beta[i] = alpha if i < n_a or alpha == 0.0 else -alpha
            v[i] = (1.0 if i < n_a else -1.0) - t * product[i]
            lower[i], upper[i] = _box(i, n_a, bound)
            _bar(i, beta, lower, upper, bar_up, bar_low)
        n_iter = 0
        while n_iter < max_iter and not cancelled[0]:
            steps = min(steps_per_call, max_iter - n_iter)
            done = _take_steps(
                K_aa, K_ab, K_ba, K_bb, diagonal, beta, v, lower, upper, bar_up, bar_low, score,
                tol, steps,
            )  # fmt: skip
            n_iter += done
            if done < steps:
                break
        stats[k, INTERCEPT], stats[k, GAP] = end_state(beta, v, n_a, bound)
        stats[k, N_ITER] = n_iter
        for i in range(n):
            product[i] = (1.0 if i < n_a else -1.0) - v[i]


@njit(nogil=True, cache=True, fastmath={"nnan", "nsz", "reassoc", "contract"}, error_model="numpy")
def _multiply(K_aa, K_ab, K_ba, K_bb, beta, product):  # type: ignore[no-untyped-def]
    """Compute ``K beta`` over the pair's four blocks."""
    n_a, n = K_aa.shape[0], len(beta)
    for i in range(n):
        row_a, row_b = (K_aa[i], K_ab[i]) if i < n_a else (K_ba[i - n_a], K_bb[i - n_a])
        total = 0.0
        for j in range(n_a):
            total += row_a[j] * beta[j]
        for j in range(n - n_a):
            total += row_b[j] * beta[n_a + j]
        product[i] = total


@njit(nogil=True, cache=True, error_model="numpy")
def _best_stretch(beta, product, upper):  # type: ignore[no-untyped-def]
    """Return the feasible t for which the dual objective of ``t beta`` is least."""
    most, mass, curvature = np.inf, 0.0, 0.0
    for i in range(len(beta)):
        alpha = abs(beta[i])
        if alpha > 0.0:
            most = min(most, upper[i] / alpha)
        mass += alpha
        curvature += beta[i] * product[i]
    # In a smaller product, ``K beta = y - v`` has lost its digits: start from zeros.
    if not curvature > 1e-6 * mass:
        return 0.0
    return min(mass / curvature, most)


@njit(nogil=True, cache=True, error_model="numpy")
def solve_within(  # type: ignore[no-untyped-def]
    K_aa, K_ab, K_ba, K_bb, diagonal, beta, v, lower, upper, tol, max_steps
):
    """Take at most `max_steps` SMO steps from `beta` in place; return how many were taken."""
    n = len(v)
    bar_up, bar_low, score = np.empty(n), np.empty(n), _empty_scores(n, diagonal)
    for t in range(n):
        _bar(t, beta, lower, upper, bar_up, bar_low)
    return _take_steps(
        K_aa, K_ab, K_ba, K_bb, diagonal, beta, v, lower, upper, bar_up, bar_low, score, tol,
        max_steps,
    )  # fmt: skip


@njit(nogil=True, cache=True, error_model="numpy")
def _copy_block(K, first_row, first_column, block, transposed):  # type: ignore[no-untyped-def]
    """Copy a block out of a tile, and its transpose."""
    n_rows, n_columns = block.shape
    # In squares, so that both the rows of one and of the other stay in cache.
    for top in range(0, n_rows, 32):
        for left in range(0, n_columns, 32):
            for i in range(top, min(top + 32, n_rows)):
                for j in range(left, min(left + 32, n_columns)):
                    value = K[first_row + i, first_column + j]
                    block[i, j] = value  # where the block is K, what is there already
                    transposed[j, i] = value


@njit(nogil=True, cache=True, error_model="numpy")
def solve_pairs(  # type: ignore[no-untyped-def]
    K, first_row, first_column, within, within_starts, diagonal, pairs, starts, upper, tol,
    max_iter, steps_per_call, cancelled, coef, pair_stats,
):  # fmt: skip
    """Solve the pairs of classes that lie on one tile, (n_pairs, 2), one after the other.

    `K` is the tile, from the samples `first_row` and `first_column` on; `within` holds the kernel
    within class c, flat, from ``within_starts[c]`` on; `diagonal` is that of all samples, or None
    if it is 1.  Samples are sorted by class, from ``starts[c]`` on.  Write coefficients into `coef`
    in LIBSVM's layout, and into the pair's row of `pair_stats` the columns of `stats` and the dual
    objective.
    """
    n_classes = len(starts) - 1
    most_a, most_b, most_block = 0, 0, 0
    for p in range(len(pairs)):
        n_a = starts[pairs[p, 0] + 1] - starts[pairs[p, 0]]
        n_b = starts[pairs[p, 1] + 1] - starts[pairs[p, 1]]
        most_a, most_b, most_block = max(most_a, n_a), max(most_b, n_b), max(most_block, n_a * n_b)
    most = most_a + most_b
    is_whole = K.size == most_block  # the tile is the block of its only pair
    block = np.empty(0 if is_whole else most_block, dtype=K.dtype)
    transposed = np.empty(most_block, dtype=K.dtype)
    weights, zeros, C = np.empty(most), np.zeros(most), np.ones(1)
    betas, vs, stats = np.empty((1, most)), np.empty(most), np.empty((1, 3))
    for p in range(len(pairs)):
        if cancelled[0]:
            return
        a, b = pairs[p]
        n_a, n_b = starts[a + 1] - starts[a], starts[b + 1] - starts[b]
        n = n_a + n_b
        K_ab = K if is_whole else block[: n_a * n_b].reshape(n_a, n_b)
        K_ba = transposed[: n_a * n_b].reshape(n_b, n_a)
        _copy_block(K, starts[a] - first_row, starts[b] - first_column, K_ab, K_ba)
        K_aa = within[within_starts[a] : within_starts[a] + n_a * n_a].reshape(n_a, n_a)
        K_bb = within[within_starts[b] : within_starts[b] + n_b * n_b].reshape(n_b, n_b)
        weights[:n_a] = upper[starts[a] : starts[a + 1]]
        weights[n_a:n] = upper[starts[b] : starts[b + 1]]
        beta, v = betas[:, :n], vs[:n]
        solve_each(
            K_aa, K_ab, K_ba, K_bb, _join(diagonal, starts, a, b), C, weights[:n], zeros[:n], tol,
            max_iter, steps_per_call, cancelled, beta, v, stats,
        )  # fmt: skip
        coef[b - 1, starts[a] : starts[a + 1]] = beta[0, :n_a]
        coef[a, starts[b] : starts[b + 1]] = beta[0, n_a:]
        number = a * n_classes - a * (a + 1) // 2 + b - a - 1
        pair_stats[number, :3] = stats[0]
        pair_stats[number, OBJECTIVE] = dual_objective(beta[0], v)
