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
    """Compute kernel values between two sets of samples of one dtype and centre, on the host.

    They are float32, or of the dtype of `out`; exactly symmetric, with the kernel's own diagonal,
    when `A` and `B` are the same samples.  An executor's ``map`` runs the blocks in parallel.
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
    """Compute kernel values between samples of one dtype and centre, where they are.

    The result has the samples' dtype; three times its size must fit the memory.
    """
    get_namespace(A.X, B.X)
    K = kernel.products(A.X, B.X)
    kernel.write(K, A.sq_norms, B.sq_norms, K)
    return K
