"""Gap and objective of a solution, from its coefficients."""

import numpy as np

from svmcifar.compute.threads import single_threaded_blas
from svmcifar.svm.backends.smo_numba import dual_objective, end_state
from svmcifar.svm.kernels.blocks import compute_kernel
from svmcifar.svm.one_vs_one import class_pairs
from svmcifar.svm.problem import FloatArray, OvOProblem, OvOSolution
from svmcifar.svm.samples import SampleBlocks


@single_threaded_blas()
def certify(problem: OvOProblem, solution: OvOSolution) -> None:
    """Write each pair's KKT gap and dual objective into a solution, from its coefficients.

    For backends that do not report them.  The kernel is computed again, in float64.
    """
    parts = [problem.samples[problem.rows(c)] for c in range(problem.n_classes)]
    # Row r of products[c] is what class c's own samples add to its pair r.
    products = []
    for c, part in enumerate(parts):
        own = solution.coef[:, problem.rows(c)]
        products.append(own @ _kernel(problem, part, part))
    for number, (a, b) in enumerate(class_pairs(problem.n_classes)):
        in_a, in_b = problem.rows(a), problem.rows(b)
        K = _kernel(problem, parts[a], parts[b])
        beta_a, beta_b = solution.coef[b - 1, in_a], solution.coef[a, in_b]
        v_a = 1.0 - products[a][b - 1] - K @ beta_b
        v_b = -1.0 - products[b][a] - K.T @ beta_a
        beta, v = np.concatenate([beta_a, beta_b]), np.concatenate([v_a, v_b])
        _, solution.gap[number] = end_state(beta, v, len(v_a), problem.upper_of(a, b))
        solution.objective[number] = dual_objective(beta, v)


def _kernel(problem: OvOProblem, A: SampleBlocks, B: SampleBlocks) -> FloatArray:
    K = np.empty((len(A), len(B)))
    compute_kernel(problem.kernel, A, B, out=K)
    return K
