"""One pair of classes, solved by the compiled solver on a resident kernel matrix."""

import numpy as np

from svmcifar.svm.backends.smo import solve_path
from svmcifar.svm.backends.smo_numba import dual_objective
from svmcifar.svm.problem import PairSolution


def solve_pair(K, upper, **settings):
    """Solve the binary SVM for upper bounds of alpha; settings as for `solve_path`."""
    (beta,), ((intercept, gap, n_iter),), v = solve_path(K, np.ones(1), upper, **settings)
    return PairSolution(beta, intercept, dual_objective(beta, v), gap, int(n_iter))
