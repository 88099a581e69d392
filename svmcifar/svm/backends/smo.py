"""Sequential minimal optimisation of one binary SVM on a resident kernel matrix.

The dual of the pair (a, b), with ``y = +1`` on class a and ``-1`` on class b, is
written in the signed coefficients ``beta_i = y_i alpha_i``:

    minimise  1/2 beta' K beta - y' beta
    subject to  sum(beta) = 0,  lower_i <= beta_i <= upper_i,

where the box is [0, C_i] on class a and [-C_i, 0] on class b.  The negative gradient
``v = y - K beta`` is kept up to date; the solution is reached when

    gap = max{v_i : beta_i < upper_i} - min{v_j : beta_j > lower_j} <= tol,

which is LIBSVM's stopping rule.  Each step moves the working set (i, j) chosen by
second-order selection along ``beta_i += s, beta_j -= s``.  There is no shrinking: the matrix is
resident, and a step is two passes over two rows.

A search solves the pair for many C.  Each solution starts from the one for the C before, stretched:
``t beta`` is feasible up to some t, and its gradient takes no kernel value, since
``K (t beta) = t (y - v)``.  The best t minimises the dual objective along the ray,
``sum|beta| / beta' K beta``.

References
----------
R.-E. Fan, P.-H. Chen, C.-J. Lin, "Working Set Selection Using Second Order
Information for Training Support Vector Machines", JMLR 6 (2005), eqs. 9-11.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from svmcifar.svm.backends.optimality import dual_objective
from svmcifar.svm.backends.smo_numba import OBJECTIVE, solve_bounds
from svmcifar.svm.problem import PairSolution

# Steps between two looks at `cancelled`.
_STEPS_PER_CALL = 200_000
# LIBSVM's bound on the steps where the user sets none.
_DEFAULT_MAX_ITER = 10_000_000

FloatArray = NDArray[np.float64]
KernelArray = NDArray[np.float32]


@dataclass(frozen=True)
class PairKernel:
    """The four kernel blocks of one pair of classes, float32 and C-contiguous.

    Attributes
    ----------
    aa : ndarray of shape (n_a, n_a)
    bb : ndarray of shape (n_b, n_b)
    ab : ndarray of shape (n_a, n_b)
    ba : ndarray of shape (n_b, n_a)
        The transpose of `ab`, so that every row of the pair's kernel matrix
        is contiguous within a block.
    """

    aa: KernelArray
    bb: KernelArray
    ab: KernelArray
    ba: KernelArray


def solve_path(
    K: PairKernel,
    upper_bounds: FloatArray,
    start: FloatArray | None = None,
    *,
    tol: float,
    max_iter: int,
    cancelled: NDArray[np.bool_],
) -> tuple[FloatArray, FloatArray]:
    """Solve the binary SVM of one pair of classes for one or more vectors of bounds.

    Parameters
    ----------
    K : PairKernel
    upper_bounds : ndarray of shape (n_bounds, n_a + n_b), float64
        Upper bounds of each alpha, ``C`` times class and sample weight, > 0.  Each row but the
        first is solved from the solution of the row before.
    start : ndarray of shape (n_a + n_b,), float64, optional
        Signed coefficients to start the first row from, such as those for another gamma; zeros by
        default.
    tol : float
        Stop when the gap is at most this.
    max_iter : int
        Largest number of steps of a solution; -1 for LIBSVM's own bound (see `step_limit`).
    cancelled : ndarray of shape (1,), bool
        Read every 200,000 steps; True ends the work early.

    Returns
    -------
    betas : ndarray of shape (n_bounds, n_a + n_b)
        Signed coefficients.
    stats : ndarray of shape (n_bounds, 4)
        Columns `INTERCEPT`, `OBJECTIVE`, `GAP` and `N_ITER`, as in
        `svmcifar.svm.problem.PairSolution`.  A gap is above `tol` only if `max_iter` was reached
        or the work was cancelled.
    """
    n_bounds, n = upper_bounds.shape
    betas, gradients = np.empty((2, n_bounds, n))
    stats = np.empty((n_bounds, 4))
    solve_bounds(
        K.aa, K.ab, K.ba, K.bb, upper_bounds, np.zeros(n) if start is None else start, tol,
        step_limit(max_iter, n), _STEPS_PER_CALL, cancelled, betas, gradients, stats,
    )  # fmt: skip
    stats[:, OBJECTIVE] = dual_objective(betas, gradients)
    return betas, stats


def solve_pair(K: PairKernel, upper: FloatArray, **settings: Any) -> PairSolution:
    """Solve the binary SVM of one pair for one vector of bounds; settings as for `solve_path`."""
    betas, stats = solve_path(K, upper[None], **settings)
    intercept, objective, gap, n_iter = stats[0].tolist()
    return PairSolution(betas[0], intercept, objective, gap, int(n_iter))


def step_limit(max_iter: int, n_samples: int) -> int:
    """Return the largest number of steps of a pair: `max_iter`, or LIBSVM's own bound if it is -1.

    That bound is ``max(10_000_000, 100 * n_samples)``.
    """
    return max(_DEFAULT_MAX_ITER, 100 * n_samples) if max_iter < 0 else max_iter
