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
from numpy.typing import NDArray

from svmcifar.svm.backends.smo_numba import BARRED, smo_steps
from svmcifar.svm.problem import PairSolution

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
    bar_up = np.where(beta < upper_bound, 0.0, BARRED)
    bar_low = np.where(beta > lower_bound, 0.0, BARRED)
    score = np.empty(n, dtype=np.float32)
    n_iter = 0
    while n_iter < max_iter and not cancelled():
        steps = min(_STEPS_PER_CALL, max_iter - n_iter)
        done = smo_steps(
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
