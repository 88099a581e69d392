"""The end state of a pair's solution: intercept, dual objective and KKT gap."""

import numpy as np

from svmcifar.svm.kernels.blocks import compute_kernel
from svmcifar.svm.one_vs_one import class_pairs
from svmcifar.svm.problem import FloatArray, OvOProblem, OvOSolution


def end_state(
    beta: FloatArray, v: FloatArray, n_a: int, upper: FloatArray
) -> tuple[float, float, float]:
    """Compute what a pair's coefficients and gradient say of the solution.

    Parameters
    ----------
    beta : ndarray of shape (n,)
        Signed coefficients ``y_i alpha_i``, class a first.
    v : ndarray of shape (n,)
        Negative gradient, ``y - K beta``.
    n_a : int
        Samples of class a.
    upper : ndarray of shape (n,)
        Upper bound of each alpha.

    Returns
    -------
    intercept : float
        Mean of `v` over the free coefficients; with none free, the middle of the gap.
    objective : float
        Dual objective ``1/2 alpha' Q alpha - sum(alpha) = -(beta' v + |beta|_1) / 2``.
    gap : float
        ``max{v_i : i in I_up} - min{v_j : j in I_low}``, at least 0.
    """
    in_up = np.concatenate([beta[:n_a] < upper[:n_a], beta[n_a:] < 0.0])
    in_low = np.concatenate([beta[:n_a] > 0.0, beta[n_a:] > -upper[n_a:]])
    top, bottom = float(v[in_up].max()), float(v[in_low].min())
    free = v[in_up & in_low]
    intercept = float(free.mean()) if free.size else (top + bottom) / 2.0
    objective = -0.5 * float(beta @ v + np.abs(beta).sum())
    return intercept, objective, max(top - bottom, 0.0)


def certify(problem: OvOProblem, solution: OvOSolution) -> None:
    """Write each pair's KKT gap and dual objective into `solution`.

    For backends that do not report them.  The kernel is computed again, so this costs as much as
    the matrix products of the backend "numba".

    Parameters
    ----------
    problem : OvOProblem
    solution : OvOSolution
        With its coefficients set.
    """
    parts = [problem.samples[problem.rows(c)] for c in range(problem.n_classes)]
    # Row r of products[c] is what class c's own samples add to its pair r.
    products = []
    for c, part in enumerate(parts):
        own = solution.coef[:, problem.rows(c)]
        products.append(own @ compute_kernel(problem.kernel, part, part))
    for number, (a, b) in enumerate(class_pairs(problem.n_classes)):
        in_a, in_b = problem.rows(a), problem.rows(b)
        K = compute_kernel(problem.kernel, parts[a], parts[b])
        beta_a, beta_b = solution.coef[b - 1, in_a], solution.coef[a, in_b]
        v_a = 1.0 - products[a][b - 1] - K @ beta_b
        v_b = -1.0 - products[b][a] - K.T @ beta_a
        _, solution.objective[number], solution.gap[number] = end_state(
            beta=np.concatenate([beta_a, beta_b]),
            v=np.concatenate([v_a, v_b]),
            n_a=len(v_a),
            upper=np.concatenate([problem.upper[in_a], problem.upper[in_b]]),
        )
