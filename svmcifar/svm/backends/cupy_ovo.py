"""All pairs at once over one kernel matrix, on an NVIDIA GPU.

The samples, sorted by class, are sent to the device once unless they are there.  The kernel matrix
of a tile (all classes, if the memory allows) is computed by matrix products, and all pairs on it
are solved by one launch of the kernel in `smo_cuda`.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from sklearn.utils import gen_batches

from svmcifar.compute.arrays import (
    free_gpu_bytes,
    get_dtype,
    get_namespace,
    is_host,
    named_out_of_memory,
    on_device_of,
    refuse_tf32,
    to_device,
)
from svmcifar.svm.backends.gpu_memory_plan import DevicePlan, make_device_plan
from svmcifar.svm.backends.refinement import refine
from svmcifar.svm.backends.smo_cuda import PairTables, launch_smo, longest_first
from svmcifar.svm.kernels.kernel import Kernel
from svmcifar.svm.problem import OvOProblem, OvOSolution, Progress
from svmcifar.svm.samples import SampleBlocks

# Rows and columns of one matrix product.
_BLOCK = 4096
# Share of the free memory to use.
_SHARE = 0.9


def solve_cupy(
    problem: OvOProblem,
    *,
    n_workers: int,
    memory_limit_bytes: int | None = None,
    progress: Progress = lambda n_pairs: None,
) -> OvOSolution:
    """Solve every pair on the GPU (a `Solver`).

    The memory limit is on kernel values and the solver's state on the GPU; by default nine tenths
    of its free memory, less the samples.  Raise BackendUnavailableError if CuPy is set to round
    matrix products to TF32, and MemoryLimitError if the kernel of the largest pair does not fit.
    """
    refuse_tf32()
    X = problem.samples.X
    with on_device_of(X):
        plan = _plan(problem, memory_limit_bytes)
        solution = solve_on_device(problem, plan, progress)
        refine(problem, solution, n_workers)
    return solution


def _plan(problem: OvOProblem, memory_limit_bytes: int | None) -> DevicePlan:
    """Plan for what is free on the current device."""
    X = problem.samples.X
    itemsize = get_dtype(X).itemsize
    to_send = X.size * itemsize if is_host(X) else 0
    blocks = 2 * problem.kernel.n_products * _BLOCK**2 * itemsize
    room = int(_SHARE * free_gpu_bytes()) - to_send - blocks
    limit = room if memory_limit_bytes is None else min(room, memory_limit_bytes)
    sample_bytes, kept = (X.shape[1] + 1) * itemsize, _stored_dtype(problem.kernel).itemsize
    return make_device_plan(problem.sizes, max(limit, 0), room, sample_bytes, kept)


def check_memory(
    sizes: list[int],
    n_features: int,
    n_workers: int,
    memory_limit_bytes: int | None,
    n_products: int = 1,
) -> None:
    """Raise MemoryLimitError if kernel values of classes of these sizes do not fit."""
    room = int(_SHARE * free_gpu_bytes())
    make_device_plan(sizes, min(room, memory_limit_bytes or room))


def solve_on_device(problem: OvOProblem, plan: DevicePlan, progress: Progress) -> OvOSolution:
    """Solve the pairs tile by tile, with samples on the device or sent there."""
    solution = OvOSolution.empty(problem)
    solution.memory_plan = plan.describe()
    with named_out_of_memory(solution.memory_plan):
        solve_tiles(problem, plan.tiles(), solution, progress)
    return solution


def solve_tiles(
    problem: OvOProblem,
    tiles: Iterable[tuple[list[int], list[tuple[int, int]]]],
    solution: OvOSolution,
    progress: Progress = lambda n_pairs: None,
) -> None:
    """Solve the pairs on some tiles, each of ascending classes and pairs of these."""
    X, sq_norms = problem.samples.X, problem.samples.sq_norms
    diagonal = problem.diagonal()
    if is_host(X):
        X, sq_norms = to_device(X), to_device(sq_norms)
    sizes = np.array(problem.sizes, dtype=np.int64)
    for classes, pairs in tiles:
        if len(classes) == problem.n_classes:
            tile_X, tile_norms = X, sq_norms
        else:
            concat = get_namespace(X).concat
            tile_X = concat([X[problem.rows(c), :] for c in classes])
            tile_norms = concat([sq_norms[problem.rows(c)] for c in classes])
        K = kernel_matrix(problem.kernel, tile_X, tile_norms)
        upper = np.concatenate([problem.upper[problem.rows(c)] for c in classes])
        of_tile = None
        if diagonal is not None:
            of_tile = np.concatenate([diagonal[problem.rows(c)] for c in classes])
        place = {c: number for number, c in enumerate(classes)}
        pairs = [pairs[k] for k in longest_first(sizes[np.array(pairs)])]
        tables = pair_tables(sizes[classes], [(place[a], place[b]) for a, b in pairs])
        solved = launch_smo(
            K, upper, tables, tol=problem.tol, max_iter=problem.max_iter, diagonal=of_tile,
            progress=progress,
        )  # fmt: skip
        for (a, b), pair in zip(pairs, solved, strict=True):
            solution.store(problem, a, b, pair)
        del K, tile_X, tile_norms  # before the next ones are made


def pair_tables(sizes: np.ndarray, pairs: list[tuple[int, int]]) -> PairTables:
    """Return where each pair's samples are among a tile's, which are sorted by class.

    `sizes` are the samples of each class on the tile, and `pairs` count the classes on the tile.
    """
    classes = np.array(pairs, dtype=np.int64)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    return PairTables(sizes=sizes[classes], starts=starts[classes])


def kernel_matrix(kernel: Kernel, X: Any, sq_norms: Any) -> Any:
    """Compute the kernel of samples with themselves, (n_samples, n_samples).

    It is float32, or float64 for a kernel whose diagonal is not 1, exactly symmetric, with the
    kernel's own diagonal.  `X`, (n_samples, n_features) on the device, and the squared norms of its
    rows are float32 or float64.
    """
    xp, n = get_namespace(X), X.shape[0]
    K = xp.empty((n, n), dtype=getattr(xp, _stored_dtype(kernel).name))
    blocks = list(gen_batches(n, _BLOCK))
    for number, rows in enumerate(blocks):
        for columns in blocks[number:]:
            products = kernel.products(X[rows, :], X[columns, :])
            kernel.write_mirrored(products, sq_norms, rows, columns, K)
    K.reshape(-1)[:: n + 1] = kernel.diagonal(SampleBlocks(X, sq_norms))
    return K


def _stored_dtype(kernel: Kernel) -> np.dtype:
    """Return the dtype of values on the GPU, whose float32 solver takes a diagonal of 1 alone."""
    return np.dtype(np.float32 if kernel.has_unit_diagonal else np.float64)
