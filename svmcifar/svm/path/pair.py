"""One pair of classes, solved for every C in turn on a resident kernel matrix.

Each solution starts from the one for the C before, stretched: ``t beta`` is feasible up to some t,
and its gradient takes no kernel value, since with ``v = y - K beta`` its ``K`` product is
``t (y - v)``.  The best t is where the dual objective along the ray is least,
``sum|beta| / beta' K beta``.

All of it is compiled: a search solves many small pairs, whose set-up in Python would take longer
than they do.
"""

import numpy as np
from numpy.typing import NDArray

from svmcifar.svm.backends.smo import _DEFAULT_MAX_ITER, _STEPS_PER_CALL, PairKernel
from svmcifar.svm.backends.smo_numba import solve_path

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
        `svmcifar.svm.backends.smo.solve_pair`.
    cancelled : ndarray of shape (1,), bool
        Looked at every 200,000 steps; True ends the work early.

    Returns
    -------
    betas : ndarray of shape (n_bounds, n_a + n_b)
        Signed coefficients.
    numbers : ndarray of shape (n_bounds, 4)
        Columns `INTERCEPT`, `OBJECTIVE`, `GAP` and `N_ITER`, as in
        `svmcifar.svm.problem.PairSolution`.
    """
    n = uppers.shape[1]
    if max_iter < 0:
        max_iter = max(_DEFAULT_MAX_ITER, 100 * n)
    betas = np.zeros(uppers.shape)
    numbers = np.empty((len(uppers), 4))
    first = np.zeros(n) if start is None else start
    solve_path(
        K.aa, K.ab, K.ba, K.bb, uppers, first, tol, max_iter, _STEPS_PER_CALL, cancelled,
        betas, numbers,
    )  # fmt: skip
    return betas, numbers
