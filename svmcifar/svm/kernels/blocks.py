"""Blocks of kernel values over samples sorted by class.

Inner products are one matrix product; the kernel turns them into its values in place.  On the
host values are float32, as in LIBSVM; the products behind them are in the precision of the
samples.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from svmcifar.compute.arrays import get_namespace
from svmcifar.svm.kernels.kernel import Kernel
from svmcifar.svm.samples import SampleBlocks

# Every matrix product is cut into blocks of this many rows and columns,
# whatever the number of workers, so that its rounding never depends on them.
BLOCK = 2560

Array = NDArray[np.floating]


def compute_kernel(
    kernel: Kernel,
    A: SampleBlocks,
    B: SampleBlocks,
    out: Array | None = None,
    map_blocks: Callable[..., Any] = map,
) -> Array:
    """Compute kernel values between two sets of samples on the host.

    Parameters
    ----------
    kernel : Kernel
    A, B : SampleBlocks
        n_a and n_b samples of the same dtype and centre.
    out : ndarray of shape (n_a, n_b), float32 or the samples' dtype, optional
        Where to write.
    map_blocks : callable, default=map
        Runs the blocks; an executor's ``map`` runs them in parallel.

    Returns
    -------
    ndarray of shape (n_a, n_b), float32 by default
        Exactly symmetric, with the kernel's own diagonal, when `A` and `B` are the same samples.
    """
    K = np.empty((len(A), len(B)), dtype=np.float32) if out is None else out
    same = A.X is B.X

    def fill(corner: tuple[int, int]) -> None:
        rows = slice(corner[0], min(corner[0] + BLOCK, len(A)))
        columns = slice(corner[1], min(corner[1] + BLOCK, len(B)))
        _fill_block(kernel, A[rows], B[columns], K[rows, columns])
        if same and rows != columns:
            K[columns, rows] = K[rows, columns].T

    corners = [
        (i, j) for i in range(0, len(A), BLOCK) for j in range(i if same else 0, len(B), BLOCK)
    ]
    for _ in map_blocks(fill, corners):
        pass
    if same:
        np.fill_diagonal(K, kernel.diagonal(A.sq_norms))
    return K


def _fill_block(kernel: Kernel, A: SampleBlocks, B: SampleBlocks, K: Array) -> None:
    """Write the kernel of one block of at most BLOCK x BLOCK entries into `K`."""
    in_place = K.dtype == A.X.dtype and K.flags.c_contiguous
    products = K if in_place else np.empty(K.shape, dtype=A.X.dtype)
    kernel.products(A.X, B.X, out=products)
    kernel.write(products, A.sq_norms, B.sq_norms, products)
    if not in_place:
        K[...] = products


def kernel_block(kernel: Kernel, A: SampleBlocks, B: SampleBlocks) -> Any:
    """Compute one block of kernel values where the samples are.

    Parameters
    ----------
    kernel : Kernel
    A, B : SampleBlocks
        n_a and n_b samples of the same dtype, centre and device; the caller sees to it that three
        times the result fits the memory.

    Returns
    -------
    array of shape (n_a, n_b), in the samples' dtype
    """
    get_namespace(A.X, B.X)
    K = kernel.products(A.X, B.X)
    kernel.write(K, A.sq_norms, B.sq_norms, K)
    return K
