"""Blocks of kernel values over samples sorted by class.

Inner products are one matrix product; the kernel turns them into its values in place.  On the
host values are float32, as in LIBSVM, from products in the precision of the samples.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from svmcifar.compute.arrays import get_namespace
from svmcifar.svm.kernels.kernel import Kernel, first_products
from svmcifar.svm.samples import SampleBlocks

# Matrix products are cut into blocks of this many rows and columns, whatever the number of workers,
# so that rounding does not depend on it.
BLOCK = 2560

Array = NDArray[np.floating]


def fill_blocks(
    fill: Callable[[slice, slice], None], out: Array, is_symmetric: bool, map_blocks: Callable
) -> None:
    """Call ``fill(rows, columns)`` for the blocks of `out`; mirror them if it is symmetric."""

    def work(block: tuple[slice, slice]) -> None:
        rows, columns = block
        fill(rows, columns)
        if is_symmetric and rows != columns:
            out[columns, rows] = out[rows, columns].T

    # Not scikit-learn's gen_batches: checking its arguments takes longer than a small block.
    strips, cuts = ([slice(i, min(i + BLOCK, n)) for i in range(0, n, BLOCK)] for n in out.shape)
    blocks = [(r, c) for r in strips for c in cuts if not is_symmetric or r.start <= c.start]
    for _ in map_blocks(work, blocks):
        pass


def compute_kernel(
    kernel: Kernel,
    A: SampleBlocks,
    B: SampleBlocks,
    out: Array | None = None,
    map_blocks: Callable[..., Any] = map,
) -> Array:
    """Compute kernel values between two sets of samples of one dtype and centre, on the host.

    They are float32, or of the dtype of `out`; exactly symmetric, with the kernel's own diagonal,
    if `A` and `B` are the same samples.  An executor's ``map`` runs the blocks in parallel.
    """
    K = np.empty((len(A), len(B)), dtype=np.float32) if out is None else out

    def fill(rows: slice, columns: slice) -> None:
        a, b, part = A[rows], B[columns], K[rows, columns]
        is_whole = part.flags.c_contiguous  # compiled code writes in steps of one
        in_place = is_whole and part.dtype == a.X.dtype and kernel.n_products == 1
        products = part if in_place else kernel.empty_products(a.X, b.X)
        kernel.products(a.X, b.X, out=products)
        values = part if is_whole else first_products(products)
        kernel.write(products, a.sq_norms, b.sq_norms, values)
        if not is_whole:
            part[...] = values

    is_symmetric = A.X is B.X
    fill_blocks(fill, K, is_symmetric, map_blocks)
    if is_symmetric:
        np.fill_diagonal(K, kernel.diagonal(A))
    return K


def kernel_block(kernel: Kernel, A: SampleBlocks, B: SampleBlocks) -> Any:
    """Compute kernel values between samples of one dtype and centre, where they are.

    The result has the samples' dtype; three times its size, or four with two products a value,
    must fit the memory.
    """
    get_namespace(A.X, B.X)
    products = kernel.products(A.X, B.X)
    K = first_products(products)
    kernel.write(products, A.sq_norms, B.sq_norms, K)
    return K
