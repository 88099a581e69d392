"""All pairs at once over one kernel matrix, on an NVIDIA GPU.

The samples, sorted by class, are sent to the device once unless they are there.  The kernel matrix
of a tile (all classes, if the memory allows) is computed by matrix products, and all pairs on it
are solved by one launch of the kernel in `smo_cuda`.
"""

import math
from typing import Any

import numpy as np
from numba import cuda
from sklearn.utils import gen_batches

from svmcifar.compute.arrays import free_gpu_bytes, get_dtype, get_namespace, is_host, refuse_tf32
from svmcifar.svm.backends.gpu_memory_plan import DevicePlan, make_device_plan
from svmcifar.svm.backends.smo_cuda import PairTables, launch_smo, longest_first
from svmcifar.svm.problem import OvOProblem, OvOSolution, Progress

# Rows and columns of one matrix product.
_BLOCK = 4096
# What of the free memory may be taken.
_SHARE = 0.9
# Threads of a block of `rbf_from_products`, along columns and along rows.
_THREADS = (32, 8)


def solve_cupy(
    problem: OvOProblem,
    *,
    n_workers: int,
    memory_limit_bytes: int | None = None,
    progress: Progress = lambda n_pairs: None,
) -> OvOSolution:
    """Solve every pair of a one-vs-one problem on the GPU.

    Parameters
    ----------
    problem : OvOProblem
    n_workers : int
        Not used: the GPU does the work.
    memory_limit_bytes : int, optional
        Limit on kernel values and the solver's state on the GPU; by default
        nine tenths of its free memory, less the samples.
    progress : callable, optional
        Called after each tile.

    Returns
    -------
    OvOSolution

    Raises
    ------
    BackendUnavailableError
        If CuPy is set to round matrix products to TF32.
    MemoryLimitError
        If the kernel of the largest pair of classes does not fit.
    """
    import cupy  # type: ignore[import-not-found,unused-ignore]

    refuse_tf32()
    X = problem.samples.X
    itemsize = get_dtype(X).itemsize
    to_send = X.size * itemsize if is_host(X) else 0
    blocks = 2 * _BLOCK**2 * itemsize
    room = int(_SHARE * free_gpu_bytes()) - to_send - blocks
    limit = room if memory_limit_bytes is None else min(room, memory_limit_bytes)
    plan = make_device_plan(problem.sizes, max(limit, 0), room, (X.shape[1] + 1) * itemsize)
    return solve_on_device(problem, plan, cupy, progress)


def solve_on_device(
    problem: OvOProblem, plan: DevicePlan, xp: Any, progress: Progress
) -> OvOSolution:
    """Work through the tiles of a plan.

    Parameters
    ----------
    problem : OvOProblem
        Its samples are sent to the device if they are on the host.
    plan : DevicePlan
    xp : module
        CuPy; NumPy under numba's CUDA simulator.
    progress : callable

    Returns
    -------
    OvOSolution
    """
    solution = OvOSolution.empty(problem)
    solution.memory_plan = plan.describe()
    X, sq_norms = problem.samples.X, problem.samples.sq_norms
    if is_host(X):
        X, sq_norms = xp.asarray(X), xp.asarray(sq_norms)
    sizes = np.array(problem.sizes, dtype=np.int64)
    for classes, pairs in plan.tiles():
        if len(classes) == problem.n_classes:
            tile_X, tile_norms = X, sq_norms
        else:
            concat = get_namespace(X).concat
            tile_X = concat([X[problem.rows(c), :] for c in classes])
            tile_norms = concat([sq_norms[problem.rows(c)] for c in classes])
        K = kernel_matrix(tile_X, tile_norms, problem.gamma, xp)
        upper = np.concatenate([problem.upper[problem.rows(c)] for c in classes])
        place = {c: number for number, c in enumerate(classes)}
        pairs = [pairs[k] for k in longest_first(sizes[np.array(pairs)])]
        tables = pair_tables(sizes[classes], [(place[a], place[b]) for a, b in pairs])
        solved = launch_smo(K, upper, tables, tol=problem.tol, max_iter=problem.max_iter)
        for (a, b), pair in zip(pairs, solved, strict=True):
            solution.put(problem, a, b, pair)
        del K, tile_X, tile_norms  # before the next ones are made
        progress(len(pairs))
    return solution


def pair_tables(sizes: np.ndarray, pairs: list[tuple[int, int]]) -> PairTables:
    """Find each pair's blocks in the kernel matrix of class-sorted samples.

    Parameters
    ----------
    sizes : ndarray of shape (n_classes,), int64
        Samples of each class on the tile.
    pairs : list of (int, int)
        Pairs of classes, by their place on the tile.

    Returns
    -------
    PairTables
    """
    n = int(sizes.sum())
    starts = np.concatenate([[0], np.cumsum(sizes)])[np.array(pairs, dtype=np.int64)]
    a, b = starts[:, 0], starts[:, 1]
    return PairTables(
        offsets=np.column_stack([a * n + a, a * n + b, b * n + a, b * n + b]),
        strides=np.full((len(pairs), 4), n, dtype=np.int64),
        sizes=sizes[np.array(pairs, dtype=np.int64)],
        starts=starts,
    )


def kernel_matrix(X: Any, sq_norms: Any, gamma: float, xp: Any) -> Any:
    """Compute the RBF kernel of samples with themselves.

    Parameters
    ----------
    X : array of shape (n_samples, n_features), float32 or float64
    sq_norms : array of shape (n_samples,), same dtype
        Squared norms of the rows of `X`.
    gamma : float
    xp : module
        The arrays' namespace.

    Returns
    -------
    array of shape (n_samples * n_samples,), float32
        Row by row; exactly symmetric, and exactly 1 on the diagonal.
    """
    n = X.shape[0]
    K = xp.empty(n * n, dtype=xp.float32)
    runs = list(gen_batches(n, _BLOCK))
    for number, rows in enumerate(runs):
        for columns in runs[number:]:
            products = X[rows, :] @ X[columns, :].T
            n_rows, n_columns = products.shape
            grid = -(-n_columns // _THREADS[0]), -(-n_rows // _THREADS[1])
            rbf_from_products[grid, _THREADS](
                _on_device(products),
                _on_device(sq_norms),
                get_dtype(products).type(gamma),
                rows.start,
                columns.start,
                n,
                _on_device(K),
            )
    return K


def _on_device(array: Any) -> Any:
    """Give numba an array that is on the device already; the simulator takes NumPy's."""
    return cuda.as_cuda_array(array) if hasattr(array, "__cuda_array_interface__") else array


@cuda.jit(cache=True)
def rbf_from_products(products, sq_norms, gamma, first_row, first_column, n, K):  # type: ignore[no-untyped-def]
    """Turn a block of inner products into kernel values, and write them and their mirror image."""
    r = cuda.blockIdx.y * cuda.blockDim.y + cuda.threadIdx.y
    c = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
    if r < products.shape[0] and c < products.shape[1]:
        i, j = first_row + r, first_column + c
        # A block on the diagonal holds both images: the upper one counts, so that they are equal.
        if i <= j:
            sq_distance = sq_norms[i] + sq_norms[j] - products[r, c] - products[r, c]
            apart = i < j and sq_distance > 0
            value = math.exp(-gamma * sq_distance) if apart else 1.0
            K[i * n + j] = value
            K[j * n + i] = value
