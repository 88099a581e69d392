"""cuML's binary SVC as a backend: pair by pair on an NVIDIA GPU.

cuML trains several classes in a loop on the host that slices the samples and sends them to the
GPU anew for every pair.  Here the samples, sorted by class, are sent once unless they are there; a
pair is two slices of them on the GPU, and a binary `cuml.svm.SVC` computes coefficients, intercept
and steps.  cuML does not report whether it has converged, so each pair's gap is computed from its
coefficients.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from svmcifar.compute.arrays import (
    free_gpu_bytes,
    is_host,
    named_out_of_memory,
    on_device_of,
    refuse_tf32,
)
from svmcifar.compute.gpu import IMPORT_ERRORS, one_line
from svmcifar.compute.memory import format_bytes
from svmcifar.errors import BackendUnavailableError, InputError, MemoryLimitError
from svmcifar.svm.backends.refinement import refine
from svmcifar.svm.backends.smo_numba import dual_objective, end_state
from svmcifar.svm.kernels.blocks import kernel_block
from svmcifar.svm.kernels.kernel import DEVICE_RUN
from svmcifar.svm.one_vs_one import class_pairs
from svmcifar.svm.problem import OvOProblem, OvOSolution, PairSolution, Progress
from svmcifar.svm.samples import SampleBlocks

# cuML keeps its gradient in the samples' precision, and float32 drifts while it is updated.  Half
# the tolerance takes a tenth more steps, and leaves room for the drift in most problems.
_TOL_SHARE = {np.dtype(np.float32): 0.5, np.dtype(np.float64): 1.0}

# cuML's working set in samples, its largest kernel tile in bytes, and the rows of a cache set.
_WORKING_SET = 1024
_TILE_BYTES = 2**30
_CACHE_SET = 32

_MIB = 2**20
_REMEDY = "Use fewer features, or the backend 'numba', which works in the computer's own memory."


def solve_cuml(
    problem: OvOProblem,
    *,
    n_workers: int,
    memory_limit_bytes: int | None = None,
    progress: Progress = lambda n_pairs: None,
) -> OvOSolution:
    """Solve every pair with cuML's binary SVC, one after another (a `Solver`).

    The memory limit bounds cuML's kernel cache, which otherwise holds all kernel values of a pair
    if the GPU has room for them.  Raise MemoryLimitError if samples and the largest pair do not fit
    the GPU's free memory, or if it runs out nevertheless.

    float32 samples are solved in float32.  A pair whose gap turns out to be above the tolerance,
    or on which cuML gives up because float32 steps no longer change anything, is solved again in
    float64; its steps are those of the second time.

    cuML rounds bounds to its working precision: coefficients at a rounded bound are set to the
    bound itself.  Raise InputError for a kernel that cuML lacks.
    """
    if problem.kernel.sklearn_parameters is None:
        raise InputError(
            f"The kernel must be one that cuML has for the backend 'cuml'. "
            f"Got {problem.kernel.name!r}. Use the backend 'cupy' or 'numba'."
        )
    refuse_tf32()
    X = problem.samples.X
    with on_device_of(X):
        spare_bytes = _spare_bytes(problem, free_gpu_bytes())
        cache_bytes = min(spare_bytes, memory_limit_bytes or spare_bytes)
        plan = f"pair by pair, kernel cache of {format_bytes(cache_bytes)} at most"
        solution = OvOSolution.empty(problem)
        solution.memory_plan = plan
        with named_out_of_memory(plan), _cuml() as (cupy, svc_class):
            gpu = _Gpu(
                xp=cupy,
                svc_class=svc_class,
                problem=problem,
                X=cupy.asarray(X) if is_host(X) else X,
                max_cache_bytes=cache_bytes,
            )
            for a, b in class_pairs(problem.n_classes):
                solution.store(problem, a, b, gpu.solve_pair(a, b))
                progress(1)
            del gpu  # its samples are memory of the pool
        refine(problem, solution, n_workers, solve_on=False)
    return solution


@contextmanager
def _cuml() -> Iterator[tuple[ModuleType, Any]]:
    """Give CuPy and cuML's SVC, which allocate from one pool; put back what there was before.

    To import cuML gives CuPy an allocator without a pool, for all of the process.
    """
    import cupy  # type: ignore[import-not-found,unused-ignore]

    allocator = cupy.cuda.get_allocator()
    try:
        import rmm  # type: ignore[import-not-found,unused-ignore]
        from cuml import using_output_type  # type: ignore[import-not-found,unused-ignore]
        from cuml.svm import SVC  # type: ignore[import-not-found,unused-ignore]
        from rmm.allocators.cupy import (  # type: ignore[import-not-found,unused-ignore]
            rmm_cupy_allocator,
        )
    except IMPORT_ERRORS as error:
        raise BackendUnavailableError(
            f"The backend 'cuml' does not work here: the package cuml does not import "
            f"({one_line(error)}). Use the backend 'cupy' or 'numba'."
        ) from error
    finally:
        if cupy.cuda.get_allocator() != allocator:
            cupy.cuda.set_allocator(allocator)
    resource = rmm.mr.get_current_device_resource()
    rmm.mr.set_current_device_resource(rmm.mr.CudaAsyncMemoryResource())
    try:
        # The user's global output type would win over an estimator's own.
        with cupy.cuda.using_allocator(rmm_cupy_allocator), using_output_type("cupy"):
            yield cupy, SVC
    finally:
        rmm.mr.set_current_device_resource(resource)


@dataclass(frozen=True)
class _Gpu:
    """A problem whose samples are on the GPU."""

    xp: ModuleType  # CuPy
    svc_class: Any  # cuML's SVC
    problem: OvOProblem
    X: Any  # (n_samples, n_features)
    max_cache_bytes: int  # of cuML's kernel cache

    def solve_pair(self, a: int, b: int) -> PairSolution:
        """Solve the pair (a, b), in float64 if float32 is not precise enough."""
        max_iter = self.problem.max_iter
        if self.X.dtype == np.float32:
            try:
                pair = self._solve(a, b, np.dtype(np.float32))
            except RuntimeError as error:
                if "made no progress" not in str(error):
                    raise
            else:
                if pair.gap <= self.problem.tol or 0 < max_iter <= pair.n_iter:
                    return pair
        return self._solve(a, b, np.dtype(np.float64))

    def _solve(self, a: int, b: int, dtype: np.dtype) -> PairSolution:
        n_a, n_b = self.problem.sizes[a], self.problem.sizes[b]
        n = n_a + n_b
        # Column-major and of one of cuML's own types: it copies anything else.
        X = self.xp.empty((n, self.X.shape[1]), dtype=dtype, order="F")
        X[:n_a] = self.X[self.problem.rows(a)]
        X[n_a:] = self.X[self.problem.rows(b)]
        y = np.repeat([1.0, -1.0], [n_a, n_b])
        upper = self.problem.upper_of(a, b)
        rounded_upper = upper.astype(dtype)
        svc = self.svc_class(
            C=1.0,
            **(self.problem.kernel.sklearn_parameters or {}),
            tol=_TOL_SHARE[dtype] * self.problem.tol,
            max_iter=self.problem.max_iter,
            cache_size=self._cache_mib(n, dtype),
        )
        labels, weight = self.xp.asarray(y), self.xp.asarray(rounded_upper)
        # cuML works in a stream of its own, which does not wait for a non-blocking one.
        self.xp.cuda.get_current_stream().synchronize()
        # The larger label is cuML's positive class: class a, as in LIBSVM.
        svc.fit(X, labels, sample_weight=weight)
        coef = np.zeros(n, dtype=dtype)
        coef[self.xp.asnumpy(svc.support_)] = self.xp.asnumpy(svc.dual_coef_)[0]
        intercept = float(self.xp.asnumpy(svc.intercept_)[0])
        n_iter = int(svc.n_iter_[0])
        del svc  # its support vectors
        alpha = y * coef
        beta = y * np.where(alpha >= rounded_upper, upper, np.clip(alpha, 0.0, upper))
        v = y - self.xp.asnumpy(self._kernel(X) @ self.xp.asarray(beta))
        _, gap = end_state(beta, v, n_a, upper)
        return PairSolution(beta, intercept, float(dual_objective(beta, v)), gap, n_iter)

    def _cache_mib(self, n: int, dtype: np.dtype) -> float:
        """Return the size of cuML's kernel cache, which is allocated whole, for n samples."""
        row_bytes = n * dtype.itemsize
        n_rows = min(-(-n // _CACHE_SET) * _CACHE_SET, self.max_cache_bytes // row_bytes)
        if n_rows < _CACHE_SET:
            return 0.0
        return (n_rows + 0.5) * row_bytes / _MIB  # half a row against rounding

    def _kernel(self, X: Any) -> Any:
        """Compute the kernel matrix of samples on the GPU, in their precision."""
        samples = SampleBlocks(X, self.xp.square(X).sum(axis=1))
        K = kernel_block(self.problem.kernel, samples, samples)
        diagonal = self.xp.arange(len(samples))
        K[diagonal, diagonal] = self.problem.kernel.diagonal(samples)
        return K


def _spare_bytes(problem: OvOProblem, free_bytes: int) -> int:
    """Return the bytes left for cuML's kernel cache; raise MemoryLimitError if there are none."""
    X = problem.samples.X
    n, d = sum(sorted(problem.sizes)[-2:]), X.shape[1]
    tile = min(n * _WORKING_SET, _TILE_BYTES // 8)
    fit = (2 * n + _WORKING_SET) * d + max(tile, _WORKING_SET**2)  # samples, support vectors
    # Samples and their squares; the kernel matrix, and what a batch of its rows goes through.
    optimality = 2 * n * d + n**2 + 2 * min(n**2, DEVICE_RUN)
    to_send = X.nbytes if is_host(X) else 0
    needed = to_send + 8 * max(fit, optimality)  # a pair may have to be solved in float64
    if needed > free_bytes:
        raise MemoryLimitError(
            f"The free memory of the GPU must be at least {format_bytes(needed)} for these "
            f"samples. Got {format_bytes(free_bytes)} instead. {_REMEDY}"
        )
    return free_bytes - needed
