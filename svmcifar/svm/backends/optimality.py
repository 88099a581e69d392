"""Gap and objective of a solution, from its coefficients alone.

For backends that do not report them.  The kernel is computed again, so this costs as much
as the blocked solver's matrix products.
"""

import numpy as np

from svmcifar.svm.kernel import rbf_kernel
from svmcifar.svm.one_vs_one import class_pairs
from svmcifar.svm.problem import FloatArray, OvOProblem, OvOSolution


def certify(problem: OvOProblem, solution: OvOSolution) -> None:
    """Write each pair's KKT gap and dual objective into `solution`.

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
        products.append(own @ rbf_kernel(part, part, problem.gamma))
    for number, (a, b) in enumerate(class_pairs(problem.n_classes)):
        in_a, in_b = problem.rows(a), problem.rows(b)
        K = rbf_kernel(parts[a], parts[b], problem.gamma)
        beta_a, beta_b = solution.coef[b - 1, in_a], solution.coef[a, in_b]
        v_a = 1.0 - products[a][b - 1] - K @ beta_b
        v_b = -1.0 - products[b][a] - K.T @ beta_a
        solution.gap[number], solution.objective[number] = gap_and_objective(
            y=np.repeat([1.0, -1.0], [len(v_a), len(v_b)]),
            beta=np.concatenate([beta_a, beta_b]),
            v=np.concatenate([v_a, v_b]),
            upper=np.concatenate([problem.upper[in_a], problem.upper[in_b]]),
        )


def gap_and_objective(
    y: FloatArray, beta: FloatArray, v: FloatArray, upper: FloatArray
) -> tuple[float, float]:
    """Compute the KKT gap and the dual objective of one pair.

    Parameters
    ----------
    y : ndarray of shape (n,)
        1 or -1.
    beta : ndarray of shape (n,)
        Signed coefficients.
    v : ndarray of shape (n,)
        Negative gradient, ``y - K beta``.
    upper : ndarray of shape (n,)
        Upper bound of each alpha.

    Returns
    -------
    gap, objective : float
        ``max{v_i : beta_i may rise} - min{v_j : beta_j may fall}`` and
        ``-(beta' v + |beta|_1) / 2``.
    """
    may_rise = np.where(y > 0, beta < upper, beta < 0)
    may_fall = np.where(y > 0, beta > 0, beta > -upper)
    gap = max(float(v[may_rise].max() - v[may_fall].min()), 0.0)
    return gap, -0.5 * float(beta @ v + np.abs(beta).sum())
