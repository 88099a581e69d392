"""scikit-learn's SVC (LIBSVM) as a backend: one core, pair by pair, little memory.

Of kernels that it lacks it gets the whole matrix.
"""

import warnings
from dataclasses import replace

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm._classes import SVC  # scikit-learn's own, also where it has been patched

from svmcifar.compute.memory import default_memory_limit, format_bytes, format_least
from svmcifar.compute.threads import single_threaded_blas
from svmcifar.errors import MemoryLimitError
from svmcifar.svm.backends.optimality import certify
from svmcifar.svm.kernels.blocks import compute_kernel
from svmcifar.svm.problem import OvOProblem, OvOSolution, Progress

_CACHE_BYTES = 1000 * 2**20
_ENTRY_BYTES = 4  # of LIBSVM's kernel values


def solve_sklearn(
    problem: OvOProblem,
    *,
    n_workers: int,
    memory_limit_bytes: int | None = None,
    progress: Progress = lambda n_pairs: None,
) -> OvOSolution:
    """Solve every pair with scikit-learn's SVC (a `Solver`).

    LIBSVM works on one core and reports no progress; the memory limit bounds its kernel cache, 1 GB
    by default.  Gaps and objectives are computed from the coefficients.

    Raise MemoryLimitError if the limit is below the two kernel rows that LIBSVM always keeps.
    """
    check_memory(problem.sizes, problem.samples.X.shape[1], n_workers, memory_limit_bytes)
    cache_bytes = _CACHE_BYTES if memory_limit_bytes is None else memory_limit_bytes
    samples = problem.float64_samples(slice(None))
    X, parameters = samples.X, problem.kernel.sklearn_parameters
    if parameters is None:
        _check_matrix_memory(len(X), memory_limit_bytes)
        parameters, X = {"kernel": "precomputed"}, np.empty((len(X), len(X)))
        with single_threaded_blas():
            compute_kernel(problem.kernel, samples, samples, X)
    svc = SVC(
        C=1.0,
        **parameters,
        tol=problem.tol,
        max_iter=problem.max_iter,
        cache_size=min(cache_bytes, _CACHE_BYTES) / 2**20,
    )
    y = np.repeat(np.arange(problem.n_classes), problem.sizes)
    with warnings.catch_warnings():
        # The estimator warns for every backend alike, from the pairs' gaps.
        warnings.simplefilter("ignore", ConvergenceWarning)
        svc.fit(X, y, sample_weight=problem.upper)
    sign = -1.0 if problem.n_classes == 2 else 1.0
    solution = OvOSolution.empty(problem)
    solution.coef[:, svc.support_] = sign * svc.dual_coef_
    solution.intercept[:] = sign * svc.intercept_
    solution.n_iter[:] = svc.n_iter_
    certify(replace(problem, samples=samples), solution)
    progress(solution.gap.size)
    return solution


def _check_matrix_memory(n_samples: int, memory_limit_bytes: int | None) -> None:
    """Raise MemoryLimitError if the kernel matrix of a kernel that LIBSVM lacks does not fit."""
    n_bytes = 8 * n_samples**2
    limit = memory_limit_bytes or default_memory_limit()
    if limit is not None and n_bytes > limit:
        raise MemoryLimitError(
            f"The memory limit must be at least {format_least(n_bytes)} for the kernel matrix, "
            f"which LIBSVM cannot compute for this kernel. Got {format_bytes(limit)} instead. "
            f"Use the backend 'numba'."
        )


def check_memory(
    sizes: list[int],
    n_features: int,
    n_workers: int,
    memory_limit_bytes: int | None,
    n_products: int = 1,
) -> None:
    """Raise MemoryLimitError if LIBSVM's least cache for classes of these sizes does not fit."""
    least_bytes = 2 * _ENTRY_BYTES * sum(sorted(sizes)[-2:])
    if memory_limit_bytes is not None and memory_limit_bytes < least_bytes:
        raise MemoryLimitError(
            f"The memory limit must be at least {format_least(least_bytes)} for two kernel rows "
            f"of the largest pair of classes. Got {format_bytes(memory_limit_bytes)} instead. "
            f"Raise it."
        )
