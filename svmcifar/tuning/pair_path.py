"""One pair of classes, solved for every C in turn on a resident kernel matrix.

Each solution starts from the one for the C before, stretched: ``t beta`` is feasible up to some t,
and its gradient takes no kernel value, since with ``v = y - K beta`` its ``K`` product is
``t (y - v)``.  The best t is where the dual objective along the ray is least,
``sum|beta| / beta' K beta``.

All of it is compiled: a search solves many small pairs, whose set-up in Python would take longer
than they do.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from svmcifar.backends.smo_cpu import (
    _BARRED,
    _DEFAULT_MAX_ITER,
    _STEPS_PER_CALL,
    PairKernel,
    _bar,
    _smo_steps,
)

# What a solution is told by, besides its coefficients: columns of `numbers`.
INTERCEPT, OBJECTIVE, GAP, N_ITER = range(4)

FloatArray = NDArray[np.float64]


def solve_pair_path(
    K: PairKernel,
    uppers: FloatArray,
    start: FloatArray | None,
    *,
    tol: float,
    max_iter: int,
    cancelled: NDArray[np.bool_],
) -> tuple[FloatArray, FloatArray]:
    """Solve the binary SVM of one pair for several bounds.

    Parameters
    ----------
    K : PairKernel
    uppers : ndarray of shape (n_bounds, n_a + n_b), float64
        Upper bounds of each alpha, > 0.
    start : ndarray of shape (n_a + n_b,), float64, or None
        Coefficients of another problem to start the first solution from, such as that of another
        gamma; zeros by default.
    tol : float
        Stop when the gap is at most this.
    max_iter : int
        Largest number of steps of a solution; -1 for LIBSVM's bound, as in
        `svmcifar.backends.smo_cpu.solve_pair`.
    cancelled : ndarray of shape (1,), bool
        Looked at every 200,000 steps; True ends the work early.

    Returns
    -------
    betas : ndarray of shape (n_bounds, n_a + n_b)
        Signed coefficients.
    numbers : ndarray of shape (n_bounds, 4)
        Columns `INTERCEPT`, `OBJECTIVE`, `GAP` and `N_ITER`, as in
        `svmcifar.backends.problem.PairSolution`.
    """
    n = uppers.shape[1]
    if max_iter < 0:
        max_iter = max(_DEFAULT_MAX_ITER, 100 * n)
    betas = np.zeros(uppers.shape)
    numbers = np.empty((len(uppers), 4))
    first = np.zeros(n) if start is None else start
    _solve_path(
        K.aa, K.ab, K.ba, K.bb, uppers, first, tol, max_iter, _STEPS_PER_CALL, cancelled,
        betas, numbers,
    )  # fmt: skip
    return betas, numbers


@njit(nogil=True, cache=True, error_model="numpy")
def _solve_path(  # type: ignore[no-untyped-def]
    K_aa, K_ab, K_ba, K_bb, uppers, start, tol, max_iter, steps_per_call, cancelled, betas, numbers
):
    n_a, n = K_aa.shape[0], uppers.shape[1]
    product, v, lower, upper = np.zeros(n), np.empty(n), np.empty(n), np.empty(n)
    bar_up, bar_low, score = np.empty(n), np.empty(n), np.empty(n, dtype=np.float32)
    if start.any():
        _multiply(K_aa, K_ab, K_ba, K_bb, start, product)
    for k in range(len(uppers)):
        beta = betas[k]
        before = start if k == 0 else betas[k - 1]
        t = _best_stretch(before, product, uppers[k])
        for i in range(n):
            sign = 1.0 if i < n_a else -1.0
            alpha = t * abs(before[i])
            # What rounding left a little below its bound would take a step of its own.
            beta[i] = sign * (uppers[k, i] if alpha >= (1.0 - 1e-15) * uppers[k, i] else alpha)
            v[i] = sign - t * product[i]
            lower[i] = 0.0 if sign > 0.0 else -uppers[k, i]
            upper[i] = uppers[k, i] if sign > 0.0 else 0.0
            _bar(i, beta, lower, upper, bar_up, bar_low)
        n_iter = 0
        while n_iter < max_iter and not cancelled[0]:
            steps = min(steps_per_call, max_iter - n_iter)
            done = _smo_steps(
                K_aa, K_ab, K_ba, K_bb, beta, v, lower, upper, bar_up, bar_low, score, tol, steps
            )
            n_iter += done
            if done < steps:
                break
        _describe(beta, v, bar_up, bar_low, n_iter, numbers[k])
        for i in range(n):
            product[i] = (1.0 if i < n_a else -1.0) - v[i]


@njit(nogil=True, cache=True, fastmath={"nnan", "nsz", "reassoc", "contract"}, error_model="numpy")
def _multiply(K_aa, K_ab, K_ba, K_bb, beta, product):  # type: ignore[no-untyped-def]
    """Multiply the pair's kernel matrix with coefficients."""
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
    """Find the t within the bounds for which the dual objective of ``t beta`` is least."""
    most, mass, curvature = np.inf, 0.0, 0.0
    for i in range(len(beta)):
        alpha = abs(beta[i])
        if alpha > 0.0:
            most = min(most, upper[i] / alpha)
        mass += alpha
        curvature += beta[i] * product[i]
    if mass == 0.0:
        return 0.0
    return min(mass / curvature, most) if curvature > 0.0 else most


@njit(nogil=True, cache=True, error_model="numpy")
def _describe(beta, v, bar_up, bar_low, n_iter, numbers):  # type: ignore[no-untyped-def]
    """Write intercept, dual objective, gap and steps of a solution."""
    top, bottom, mass, product = -2.0 * _BARRED, 2.0 * _BARRED, 0.0, 0.0
    free, n_free = 0.0, 0
    for i in range(len(beta)):
        top = max(top, v[i] - bar_up[i])
        bottom = min(bottom, v[i] + bar_low[i])
        mass += abs(beta[i])
        product += beta[i] * v[i]
        if bar_up[i] == 0.0 and bar_low[i] == 0.0:
            free += v[i]
            n_free += 1
    numbers[INTERCEPT] = free / n_free if n_free else (top + bottom) / 2.0
    numbers[OBJECTIVE] = -0.5 * (product + mass)
    numbers[GAP] = max(top - bottom, 0.0)
    numbers[N_ITER] = n_iter
