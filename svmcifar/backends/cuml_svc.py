"""cuML's binary SVC as a backend: pair by pair on an NVIDIA GPU.

cuML trains several classes in a loop on the host that slices the samples and sends them to the
GPU anew for every pair.  Here the samples are sent once, sorted by class; each pair takes its two
runs of them on the GPU, and its binary `cuml.svm.SVC` gives coefficients, intercept and steps.
cuML does not say whether it converged, so gap and objective are computed afterwards, also on the
GPU and over shared kernel blocks.
"""

from dataclasses import dataclass
from itertools import combinations
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from svmcifar.backends.problem import FloatArray, OvOProblem, OvOSolution, Progress
from svmcifar.errors import MemoryLimitError
from svmcifar.memory import format_bytes
from svmcifar.ovo import class_pairs, pair_numbers

# cuML's gradient is in the samples' precision.  In float32 it drifts from the exact one while it
# is updated; asked for half the tolerance, cuML stops where the exact gap is within it too.
_TOL_SHARE = {np.dtype(np.float32): 0.5, np.dtype(np.float64): 1.0}

# cuML works on so many samples at a time, and its cache is made of sets of so many rows.
_WORKING_SET = 1024
_CACHE_SET = 32
_TILE_BYTES = 2**30

_MIB = 2**20


def solve_cuml(
    problem: OvOProblem,
    *,
    n_workers: int,
    memory_limit_bytes: int | None = None,
    progress: Progress = lambda n_pairs: None,
) -> OvOSolution:
    """Solve every pair with cuML's binary SVC.

    Parameters
    ----------
    problem : OvOProblem
    n_workers : int
        Not used: the pairs are solved one after another.
    memory_limit_bytes : int, optional
        Bounds cuML's kernel cache, which otherwise holds the whole kernel matrix of a pair if the
        GPU has room for it.
    progress : callable, optional
        Called after every pair.

    Returns
    -------
    OvOSolution
        Gap and objective are computed from its coefficients afterwards.

    Raises
    ------
    MemoryLimitError
        If the samples and the largest pair do not fit the GPU's free memory.

    Notes
    -----
    Coefficients have the precision of the samples.  Those that cuML holds at a bound, as rounded
    to that precision, are set to the bound itself.  Where cuML gives up on a pair because float32
    steps no longer change anything, the pair is solved again in float64.
    """
    import cupy  # type: ignore[import-not-found,unused-ignore]
    from cuml import using_output_type  # type: ignore[import-not-found,unused-ignore]
    from cuml.svm import SVC  # type: ignore[import-not-found,unused-ignore]

    cupy.get_default_memory_pool().free_all_blocks()
    spare_bytes = _spare_bytes(problem, cupy.cuda.runtime.memGetInfo()[0])
    gpu = _Gpu(
        xp=cupy,
        problem=problem,
        X=cupy.asarray(problem.samples.X),
        sq_norms=cupy.asarray(problem.samples.sq_norms),
        max_cache_bytes=min(spare_bytes, memory_limit_bytes or spare_bytes),
    )
    solution = OvOSolution.empty(problem)
    # A type that the user has set for cuML's results would win over the estimator's own.
    with using_output_type("cupy"):
        for number, (a, b) in enumerate(class_pairs(problem.n_classes)):
            pair = gpu.solve_pair(SVC, a, b)
            n_a = problem.sizes[a]
            solution.coef[b - 1, problem.rows(a)] = pair.beta[:n_a]
            solution.coef[a, problem.rows(b)] = pair.beta[n_a:]
            solution.intercept[number] = pair.intercept
            solution.n_iter[number] = pair.n_iter
            progress(1)
    _certify(problem, solution, gpu)
    return solution


@dataclass(frozen=True)
class _PairSolution:
    """Signed coefficients, class a first; intercept; SMO steps."""

    beta: FloatArray
    intercept: float
    n_iter: int


@dataclass(frozen=True)
class _Gpu:
    """What the GPU holds of a problem, and what it computes from it.

    Attributes
    ----------
    xp : module
        CuPy.
    problem : OvOProblem
    X : cupy.ndarray of shape (n_samples, n_features)
    sq_norms : cupy.ndarray of shape (n_samples,)
    max_cache_bytes : int
        Largest kernel cache to give cuML.
    """

    xp: ModuleType
    problem: OvOProblem
    X: Any
    sq_norms: Any
    max_cache_bytes: int

    def solve_pair(self, svc_class: Any, a: int, b: int) -> _PairSolution:
        """Solve one pair in the samples' precision, or in float64 where cuML needs it."""
        dtype = np.dtype(self.X.dtype)
        try:
            return self._fit(svc_class, a, b, dtype)
        except RuntimeError:
            if dtype == np.float64:
                raise
            return self._fit(svc_class, a, b, np.dtype(np.float64))

    def _fit(self, svc_class: Any, a: int, b: int, dtype: np.dtype) -> _PairSolution:
        in_a, in_b = self.problem.rows(a), self.problem.rows(b)
        n_a, n_b = self.problem.sizes[a], self.problem.sizes[b]
        n = n_a + n_b
        # Column-major, in the precision to work in: cuML copies anything else.
        X = self.xp.empty((n, self.X.shape[1]), dtype=dtype, order="F")
        X[:n_a] = self.X[in_a]
        X[n_a:] = self.X[in_b]
        # The larger label is cuML's positive class: class a, as in LIBSVM.
        y = np.repeat(np.array([1, 0], dtype=np.int32), [n_a, n_b])
        upper = np.concatenate([self.problem.upper[in_a], self.problem.upper[in_b]])
        upper_on_gpu = upper.astype(dtype)
        svc = svc_class(
            C=1.0,
            kernel="rbf",
            gamma=float(self.problem.gamma),
            tol=_TOL_SHARE[dtype] * self.problem.tol,
            max_iter=self.problem.max_iter,
            cache_size=self._cache_mib(n, dtype),
        )
        svc.fit(X, self.xp.asarray(y), sample_weight=self.xp.asarray(upper_on_gpu))
        alpha = np.zeros(n, dtype=dtype)
        support = self.xp.asnumpy(svc.support_)
        alpha[support] = self.xp.asnumpy(svc.dual_coef_)[0] * np.where(support < n_a, 1, -1)
        exact = np.where(alpha >= upper_on_gpu, upper, np.clip(alpha, 0.0, upper))
        return _PairSolution(
            beta=np.where(y == 1, exact, -exact),
            intercept=float(self.xp.asnumpy(svc.intercept_)[0]),
            n_iter=int(svc.n_iter_[0]),
        )

    def _cache_mib(self, n: int, dtype: np.dtype) -> float:
        """Size cuML's kernel cache for n samples; cuML takes all of it, needed or not."""
        row_bytes = n * dtype.itemsize
        n_rows = min(-(-n // _CACHE_SET) * _CACHE_SET, self.max_cache_bytes // row_bytes)
        if n_rows < _CACHE_SET:
            return 0.0
        return (n_rows + 0.5) * row_bytes / _MIB  # half a row against rounding

    def kernel(self, a: int, b: int) -> Any:
        """Compute the kernel between two classes, in the samples' precision."""
        in_a, in_b = self.problem.rows(a), self.problem.rows(b)
        K = self.X[in_a] @ self.X[in_b].T
        K *= -2.0
        K += self.sq_norms[in_a, None]
        K += self.sq_norms[in_b]
        self.xp.maximum(K, 0.0, out=K)
        K *= -self.problem.gamma
        self.xp.exp(K, out=K)
        if a == b:
            self.xp.fill_diagonal(K, 1.0)
        return K


def _spare_bytes(problem: OvOProblem, free_bytes: int) -> int:
    """Find what the GPU has left for cuML's kernel cache.

    Parameters
    ----------
    problem : OvOProblem
    free_bytes : int
        Free memory of the GPU before anything is sent to it.

    Returns
    -------
    int

    Raises
    ------
    MemoryLimitError
        If there is not enough for anything else.
    """
    X, sizes = problem.samples.X, problem.sizes
    itemsize = 8  # a pair may have to be solved in float64
    n, d = sum(sorted(sizes)[-2:]), X.shape[1]
    tile = max(min(n * _WORKING_SET * itemsize, _TILE_BYTES), _WORKING_SET**2 * itemsize)
    pair = (2 * n + _WORKING_SET) * d * itemsize + tile  # its samples, its support vectors
    certificate = 3 * max(sizes) ** 2 * itemsize
    coefficients = 2 * (problem.n_classes - 1) * len(X) * itemsize
    needed = X.nbytes + problem.samples.sq_norms.nbytes + max(pair, certificate + coefficients)
    if needed > free_bytes:
        raise MemoryLimitError(
            f"The free memory of the GPU must be at least {format_bytes(needed)} for these "
            f"samples. Got {format_bytes(free_bytes)} instead. Use fewer features, or the backend "
            f"'numba', which works in the computer's own memory."
        )
    return free_bytes - needed


def _certify(problem: OvOProblem, solution: OvOSolution, gpu: _Gpu) -> None:
    """Write each pair's KKT gap and dual objective into `solution`.

    As `svmcifar.backends.certificate.certify`, with the kernel and its products on the GPU.
    """
    products = _kernel_products(problem, solution.coef, gpu)
    numbers = pair_numbers(problem.n_classes)
    for a, b in combinations(range(problem.n_classes), 2):
        in_a, in_b = problem.rows(a), problem.rows(b)
        beta = np.concatenate([solution.coef[b - 1, in_a], solution.coef[a, in_b]])
        y = np.repeat([1.0, -1.0], [problem.sizes[a], problem.sizes[b]])
        bound = y * np.concatenate([problem.upper[in_a], problem.upper[in_b]])
        v = y - np.concatenate([products[b - 1, in_a], products[a, in_b]])
        may_rise, may_fall = beta < np.maximum(bound, 0.0), beta > np.minimum(bound, 0.0)
        number = numbers[a, b - 1]
        solution.gap[number] = max(v[may_rise].max() - v[may_fall].min(), 0.0)
        solution.objective[number] = -0.5 * (beta @ v + np.abs(beta).sum())


def _kernel_products(problem: OvOProblem, coef: FloatArray, gpu: _Gpu) -> NDArray[np.float64]:
    """Multiply every pair's kernel matrix with its coefficients.

    Parameters
    ----------
    problem : OvOProblem
    coef : ndarray of shape (n_classes - 1, n_samples)
        In LIBSVM's layout.
    gpu : _Gpu

    Returns
    -------
    ndarray of shape (n_classes - 1, n_samples)
        ``K beta`` in the same layout.
    """
    beta = gpu.xp.asarray(coef)
    products = gpu.xp.empty(coef.shape, dtype=np.float64)
    for c in range(problem.n_classes):
        products[:, problem.rows(c)] = beta[:, problem.rows(c)] @ gpu.kernel(c, c)
    for a, b in combinations(range(problem.n_classes), 2):
        in_a, in_b = problem.rows(a), problem.rows(b)
        K = gpu.kernel(a, b)
        products[b - 1, in_a] += K @ beta[a, in_b]
        products[a, in_b] += beta[b - 1, in_a] @ K
    return gpu.xp.asnumpy(products)
