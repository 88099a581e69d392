"""Inner products between samples, extended from few features to more."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from svmcifar.svm.kernels.blocks import fill_blocks
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
    """Add the inner products over some columns to `out`, those over all previous columns.

    `A` and `B`, (n_a, n_features) and (n_b, n_features), are the same array for products within.
    The first columns overwrite `out`, with the products of
    `svmcifar.svm.kernels.blocks.compute_kernel` to the bit.  An executor's ``map`` runs the blocks
    in parallel.
    """

    def fill(rows: slice, others: slice) -> None:
        if columns.start == 0:
            kernel.products(A[rows, columns], B[others, columns], out=out[rows, others])
            return
        for start in range(rows.start, rows.stop, STRIP):
            strip = slice(start, min(start + STRIP, rows.stop))
            out[strip, others] += kernel.products(A[strip, columns], B[others, columns])

    fill_blocks(fill, out, A is B, map_blocks)
