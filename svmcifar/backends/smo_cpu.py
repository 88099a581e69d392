"""Sequential minimal optimisation of one binary SVM on a resident kernel matrix.

The dual of the pair (a, b), with ``y = +1`` on class a and ``-1`` on class b, is
written in the signed coefficients ``beta_i = y_i alpha_i``:

    minimise  1/2 beta' K beta - y' beta
    subject to  sum(beta) = 0,  lower_i <= beta_i <= upper_i,

where the box is [0, C_i] on class a and [-C_i, 0] on class b.  The negative gradient
``v = y - K beta`` is kept up to date; the solution is reached when

    gap = max{v_i : beta_i < upper_i} - min{v_j : beta_j > lower_j} <= tol,

which is LIBSVM's stopping rule.  Each step moves the pair (i, j) chosen by
second-order working-set selection along ``beta_i += s, beta_j -= s``.

References
----------
R.-E. Fan, P.-H. Chen, C.-J. Lin, "Working Set Selection Using Second Order
Information for Training Support Vector Machines", JMLR 6 (2005), eqs. 9-11.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from svmcifar.backends.problem import PairSolution
from svmcifar.simd import fast_max

# LIBSVM's stand-in for a curvature that is zero or negative.
_TAU = 1e-12
# Added to entries that may not be chosen; larger than any gradient, and finite
# so that the compiler may assume that there are no NaNs.
_BARRED = 1e200
# Maxima are taken over runs of this many entries, so that finding the place of
# the maximum means searching one run.
_RUN = 256
# Steps between two returns to Python, where an interrupt can be seen.
_STEPS_PER_CALL = 200_000
# LIBSVM's bound on the steps where the user sets none.
_DEFAULT_MAX_ITER = 10_000_000

FloatArray = NDArray[np.float64]
KernelArray = NDArray[np.float32]


@dataclass(frozen=True)
class PairKernel:
    """The three kernel blocks of one pair of classes, float32 and C-contiguous.

    Attributes
    ----------
    aa : ndarray of shape (n_a, n_a)
    bb : ndarray of shape (n_b, n_b)
    ab : ndarray of shape (n_a, n_b)
    ba : ndarray of shape (n_b, n_a)
        The transpose of `ab`, so that every row of the pair's kernel matrix
        is two contiguous runs.
    """

    aa: KernelArray
    bb: KernelArray
    ab: KernelArray
    ba: KernelArray


def solve_pair(
    K: PairKernel,
    upper: FloatArray,
    *,
    tol: float,
    max_iter: int,
    cancelled: Callable[[], bool] = lambda: False,
) -> PairSolution:
    """Solve the binary SVM of one pair of classes.

    Parameters
    ----------
    K : PairKernel
    upper : ndarray of shape (n_a + n_b,), float64
        Upper bound of each alpha, ``C`` times class and sample weight, > 0.
    tol : float
        Stop when the gap is at most this.
    max_iter : int
        Largest number of steps; -1 for LIBSVM's own bound,
        ``max(10_000_000, 100 * n_samples)``.
    cancelled : callable, optional
        Asked every 200,000 steps; True ends the work early.

    Returns
    -------
    PairSolution
        Its `gap` is above `tol` only if `max_iter` was reached.
    """
    n_a, n = K.aa.shape[0], upper.shape[0]
    if max_iter < 0:
        max_iter = max(_DEFAULT_MAX_ITER, 100 * n)
    y = np.where(np.arange(n) < n_a, 1.0, -1.0)
    beta = np.zeros(n)
    v = y.copy()
    lower_bound = np.where(y > 0, 0.0, -upper)
    upper_bound = np.where(y > 0, upper, 0.0)
    bar_up = np.where(beta < upper_bound, 0.0, _BARRED)
    bar_low = np.where(beta > lower_bound, 0.0, _BARRED)
    score = np.empty(n, dtype=np.float32)
    n_iter = 0
    while n_iter < max_iter and not cancelled():
        steps = min(_STEPS_PER_CALL, max_iter - n_iter)
        done = _smo_steps(
            K.aa, K.ab, K.ba, K.bb, beta, v, lower_bound, upper_bound, bar_up, bar_low,
            score, tol, steps,
        )  # fmt: skip
        n_iter += done
        if done < steps:
            break
    top, bottom = float((v - bar_up).max()), float((v + bar_low).min())
    free = (bar_up == 0.0) & (bar_low == 0.0)
    intercept = float(v[free].mean()) if free.any() else (top + bottom) / 2.0
    objective = -0.5 * float(beta @ v + np.abs(beta).sum())
    return PairSolution(beta, intercept, objective, max(top - bottom, 0.0), n_iter)


@njit(nogil=True, cache=True, error_model="numpy")
def _bar(t, beta, lower, upper, bar_up, bar_low):  # type: ignore[no-untyped-def]
    """Record whether coefficient t may still rise and still fall."""
    bar_up[t] = 0.0 if beta[t] < upper[t] else _BARRED
    bar_low[t] = 0.0 if beta[t] > lower[t] else _BARRED


# Below, runs are told by numbers, not by slices: a slice costs atomic counts of references, which
# for runs this short would take longer than the work.  Unsigned numbers spare the check for
# negative ones, without which loops become SIMD code.


@njit(nogil=True, cache=True, fastmath={"nnan", "nsz", "reassoc"}, error_model="numpy")
def _update_run(v, bar_up, K, i, L, j, first, start, count, step):  # type: ignore[no-untyped-def]
    """Move the negative gradient of one run; return its new maximum over the rising set."""
    top = -_BARRED
    row_i, row_j = np.uint64(i), np.uint64(j)
    place, column = np.uint64(start), np.uint64(start - first)
    for k in range(count):
        t, u = place + np.uint64(k), column + np.uint64(k)
        new = v[t] - step * (np.float64(K[row_i, u]) - np.float64(L[row_j, u]))
        v[t] = new
        top = fast_max(top, new - bar_up[t])
    return top


@njit(nogil=True, cache=True, fastmath={"nnan", "nsz", "reassoc"}, error_model="numpy")
def _score_run(v, bar_low, K, i, first, start, count, v_i, score):  # type: ignore[no-untyped-def]
    """Score one run for the second index; return the best score and the least ``v``.

    The score ``(v_i - v_t)^2 / (2 - 2 K_it)`` is twice the decrease of the
    objective; entries that may not fall or do not violate score zero.
    """
    best = np.float32(-1.0)
    bottom = _BARRED
    row, place, column = np.uint64(i), np.uint64(start), np.uint64(start - first)
    for k in range(count):
        t, u = place + np.uint64(k), column + np.uint64(k)
        low = v[t] + bar_low[t]
        bottom = -fast_max(-bottom, -low)
        violation = np.float32(fast_max(v_i - low, 0.0))
        curvature = fast_max(np.float32(2.0) - np.float32(2.0) * K[row, u], np.float32(_TAU))
        score[t] = violation * violation / curvature
        best = fast_max(best, score[t])
    return best, bottom


@njit(nogil=True, cache=True, forceinline=True, error_model="numpy")
def _update_class(v, bar_up, K, i, L, j, first, last, step):  # type: ignore[no-untyped-def]
    """Move the negative gradient of the class in `first` to `last` by row i of K and j of L.

    Return its new maximum over the rising set, and where the run that has it starts.
    """
    top, top_start = -2.0 * _BARRED, first
    for start in range(first, last, _RUN):
        count = min(_RUN, last - start)
        run_top = _update_run(v, bar_up, K, i, L, j, first, start, count, step)
        if run_top > top:
            top, top_start = run_top, start
    return top, top_start


@njit(nogil=True, cache=True, forceinline=True, error_model="numpy")
def _score_class(v, bar_low, K, i, first, last, v_i, score):  # type: ignore[no-untyped-def]
    """Score the class in `first` to `last` by row i of K, for the second index.

    Return the best score, where the run that has it starts, and the least ``v``.
    """
    best, best_start, bottom = np.float32(-1.0), first, _BARRED
    for start in range(first, last, _RUN):
        count = min(_RUN, last - start)
        run_best, run_bottom = _score_run(v, bar_low, K, i, first, start, count, v_i, score)
        bottom = min(bottom, run_bottom)
        if run_best > best:
            best, best_start = run_best, start
    return best, best_start, bottom


@njit(nogil=True, cache=True, error_model="numpy")
def _smo_steps(  # type: ignore[no-untyped-def]
    K_aa, K_ab, K_ba, K_bb, beta, v, lower, upper, bar_up, bar_low, score, tol, max_steps
):
    """Take at most `max_steps` steps in place; return how many were taken.

    Fewer steps than `max_steps` mean that the stopping rule is met.
    """
    n_a, n = K_aa.shape[0], v.shape[0]
    i, top = 0, -2.0 * _BARRED
    for t in range(n):
        if v[t] - bar_up[t] > top:
            i, top = t, v[t] - bar_up[t]
    for step_count in range(max_steps):
        # A row of the pair's kernel matrix is two runs: against class a, against class b.
        if i < n_a:
            best, best_start, bottom = _score_class(v, bar_low, K_aa, i, 0, n_a, top, score)
            best_b, start_b, bottom_b = _score_class(v, bar_low, K_ab, i, n_a, n, top, score)
        else:
            row = i - n_a
            best, best_start, bottom = _score_class(v, bar_low, K_ba, row, 0, n_a, top, score)
            best_b, start_b, bottom_b = _score_class(v, bar_low, K_bb, row, n_a, n, top, score)
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
        step = (top - v[j]) / max(2.0 - 2.0 * np.float64(K_ij), _TAU)
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
