"""Inner products between samples, extended from few features to more."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from svmcifar.svm.kernels import blocks
from svmcifar.svm.kernels.kernel import Kernel

# Rows of the temporary products that are added to the sums.
STRIP = 256

Array = NDArray[np.floating]


def extend_products(
    kernel: Kernel,
    A: Array,
    B: Array,
    columns: slice,
    out: Array,
    map_blocks: Callable[..., Any] = map,
) -> None:
    """Add the inner products over some columns to those over all previous columns.

    `A` and `B` are of shapes (n_a, n_features) and (n_b, n_features), the same array for products
    within.  The first columns start `out` anew: they give the products of
    `svmcifar.svm.kernels.blocks.compute_kernel` to the bit.  An executor's ``map`` runs the blocks
    in parallel.
    """
    same, size = A is B, blocks.BLOCK

    def fill(corner: tuple[int, int]) -> None:
        rows = slice(corner[0], min(corner[0] + size, len(A)))
        others = slice(corner[1], min(corner[1] + size, len(B)))
        if columns.start == 0:
            kernel.products(A[rows, columns], B[others, columns], out=out[rows, others])
        else:
            for start in range(rows.start, rows.stop, STRIP):
                strip = slice(start, min(start + STRIP, rows.stop))
                out[strip, others] += kernel.products(A[strip, columns], B[others, columns])
        if same and rows != others:
            out[others, rows] = out[rows, others].T

    corners = [
        (i, j) for i in range(0, len(A), size) for j in range(i if same else 0, len(B), size)
    ]
    for _ in map_blocks(fill, corners):
        pass
