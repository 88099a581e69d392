"""RBF values on an NVIDIA GPU, by the kernels of ``rbf.cu``."""

from pathlib import Path
from typing import Any

import numpy as np

from svmcifar.compute.arrays import get_dtype
from svmcifar.compute.cuda_source import load_kernel

SOURCE = Path(__file__).with_name("rbf.cu")
# Threads of a block, along columns and along rows.
_THREADS = (32, 8)


def write_mirrored(
    products: Any, sq_norms: Any, gamma: float, rows: slice, columns: slice, K: Any
) -> None:
    """Write one block and its mirror image; see `Kernel.write_mirrored`."""
    n_rows, n_columns = products.shape
    grid = -(-n_columns // _THREADS[0]), -(-n_rows // _THREADS[1])
    dtype = np.dtype(get_dtype(products))
    numbers = (n_rows, n_columns, rows.start, columns.start, len(K))
    load_kernel(SOURCE, f"rbf_{dtype.name}")(
        grid,
        _THREADS,
        (products, sq_norms, dtype.type(gamma), *(np.int32(number) for number in numbers), K),
    )
