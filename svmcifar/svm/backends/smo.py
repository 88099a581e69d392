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

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from svmcifar.svm.backends.smo_numba import solve_each

# Steps between two looks at `cancelled`.
STEPS_PER_CALL = 200_000
# LIBSVM's bound on the steps where the user sets none.
_DEFAULT_MAX_ITER = 10_000_000

FloatArray = NDArray[np.float64]
KernelArray = NDArray[np.floating]


class PairKernel(NamedTuple):
    """The four kernel blocks of one pair of classes, C-contiguous."""

    aa: KernelArray  # (n_a, n_a)
    bb: KernelArray  # (n_b, n_b)
    ab: KernelArray  # (n_a, n_b)
    ba: KernelArray  # its transpose, so that rows of the pair's matrix are contiguous in a block


def solve_path(
    K: PairKernel,
    C: FloatArray,
    weight: FloatArray,
    start: FloatArray | None = None,
    *,
    diagonal: FloatArray | None = None,
    tol: float,
    max_iter: int,
    cancelled: NDArray[np.bool_],
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Solve the binary SVM of one pair of classes for each C, (n_C,), in turn.

    All arrays of numbers are float64.  `weight`, (n_a + n_b,), are the upper bounds of alpha for
    C = 1, > 0; `diagonal` is that of the kernel matrix, None if it is 1.  The first C starts from
    the signed coefficients `start`, such as those for another gamma, or from zeros; each other one
    from the solution of the C before.  Stop a solution when its gap is at most `tol`, or after
    `max_iter` steps (see `step_limit`); `cancelled`, (1,) bool, is read every 200,000 steps, and
    True ends the work.

    Return the signed coefficients, (n_C, n_a + n_b), the statistics of each solution, (n_C, 3),
    with the columns `INTERCEPT`, `GAP` and `N_ITER`, and the negative gradient of the last one.
    """
    n = len(weight)
    betas, stats, v = np.empty((len(C), n)), np.empty((len(C), 3)), np.empty(n)
    solve_each(
        K.aa, K.ab, K.ba, K.bb, diagonal, C, weight, np.zeros(n) if start is None else start, tol,
        step_limit(max_iter, n), STEPS_PER_CALL, cancelled, betas, v, stats,
    )  # fmt: skip
    return betas, stats, v


def step_limit(max_iter: int, n_samples: int) -> int:
    """Return `max_iter`; if it is -1, LIBSVM's bound, ``max(10_000_000, 100 * n_samples)``."""
    return max(_DEFAULT_MAX_ITER, 100 * n_samples) if max_iter < 0 else max_iter
