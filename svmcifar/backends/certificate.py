"""Gap and objective of a solution, from its coefficients alone.

For backends that do not report them.  The kernel is computed again, so this costs as much
as the blocked solver's matrix products.
"""

from itertools import combinations

import numpy as np

from svmcifar.backends.problem import OvOProblem, OvOSolution
from svmcifar.kernel import rbf_kernel
from svmcifar.ovo import pair_numbers


def certify(problem: OvOProblem, solution: OvOSolution) -> None:
    """Write each pair's KKT gap and dual objective into `solution`.

    Parameters
    ----------
    problem : OvOProblem
    solution : OvOSolution
        With its coefficients set.

    Notes
    -----
    With ``beta_i = y_i alpha_i`` and ``v = y - K beta``, the gap is
    ``max{v_i : beta_i may rise} - min{v_j : beta_j may fall}`` and the objective
    ``-(beta' v + |beta|_1) / 2``.
    """
    numbers = pair_numbers(problem.n_classes)
    parts = [problem.samples[problem.rows(c)] for c in range(problem.n_classes)]
    # Row r of products[c] is what class c's own samples add to its pair r.
    products = []
    for c, part in enumerate(parts):
        own = solution.coef[:, problem.rows(c)]
        products.append(own @ rbf_kernel(part, part, problem.gamma))
    for a, b in combinations(range(problem.n_classes), 2):
        K = rbf_kernel(parts[a], parts[b], problem.gamma)
        beta_a = solution.coef[b - 1, problem.rows(a)]
        beta_b = solution.coef[a, problem.rows(b)]
        v_a = 1.0 - products[a][b - 1] - K @ beta_b
        v_b = -1.0 - products[b][a] - K.T @ beta_a
        upper_a, upper_b = problem.upper[problem.rows(a)], problem.upper[problem.rows(b)]
        may_rise = np.concatenate([beta_a < upper_a, beta_b < 0])
        may_fall = np.concatenate([beta_a > 0, beta_b > -upper_b])
        v, beta = np.concatenate([v_a, v_b]), np.concatenate([beta_a, beta_b])
        number = numbers[a, b - 1]
        solution.gap[number] = max(v[may_rise].max() - v[may_fall].min(), 0.0)
        solution.objective[number] = -0.5 * (beta @ v + np.abs(beta).sum())
