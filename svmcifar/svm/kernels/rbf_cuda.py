"""RBF values on an NVIDIA GPU: one pass from inner products to a symmetric matrix.

The formula of `rbf`, in a file of its own because importing numba's CUDA target takes time.
"""

import math
from typing import Any

from numba import cuda

from svmcifar.compute.arrays import get_dtype
from svmcifar.compute.jit import cuda_jit

# Threads of a block of `rbf_from_products`, along columns and along rows.
_THREADS = (32, 8)


def write_mirrored(
    products: Any, sq_norms: Any, gamma: float, rows: slice, columns: slice, K: Any
) -> None:
    """Launch `rbf_from_products` on one block; see `Kernel.write_mirrored`."""
    n_rows, n_columns = products.shape
    grid = -(-n_columns // _THREADS[0]), -(-n_rows // _THREADS[1])
    rbf_from_products[grid, _THREADS](
        _on_device(products),
        _on_device(sq_norms),
        get_dtype(products).type(gamma),
        rows.start,
        columns.start,
        K.shape[0],
        _on_device(K.reshape(-1)),
    )


def _on_device(array: Any) -> Any:
    """Wrap a device array for numba without a copy; the simulator takes NumPy's."""
    return cuda.as_cuda_array(array) if hasattr(array, "__cuda_array_interface__") else array


@cuda_jit(cache=True)
def rbf_from_products(products, sq_norms, gamma, first_row, first_column, n, K):  # type: ignore[no-untyped-def]
    """Write the kernel values of a block of inner products, and their mirror image."""
    r = cuda.blockIdx.y * cuda.blockDim.y + cuda.threadIdx.y
    c = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
    if r < products.shape[0] and c < products.shape[1]:
        i, j = first_row + r, first_column + c
        # A block on the diagonal holds both images: the upper one wins, so that they are equal.
        if i <= j:
            sq_distance = sq_norms[i] + sq_norms[j] - products[r, c] - products[r, c]
            apart = i < j and sq_distance > 0
            value = math.exp(-gamma * sq_distance) if apart else 1.0
            K[i * n + j] = value
            K[j * n + i] = value
