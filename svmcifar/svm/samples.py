"""Samples as kernels need them: centred, with their squared norms, on the host or on a device."""

from collections.abc import Sequence
from dataclasses import dataclass
from mmap import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

from svmcifar.compute.arrays import get_namespace, is_host, move_beside
from svmcifar.compute.jit import njit
from svmcifar.svm.moments import row_batches

Array = NDArray[np.floating]


@dataclass(frozen=True)
class SampleBlocks:
    """Samples as the kernel needs them, float32 or float64."""

    X: Any  # samples minus the centre, (n_samples, n_features), C-contiguous, or `GatheredRows`
    sq_norms: Any  # squared Euclidean norm of each row of `X`, of its dtype and where it is

    def __getitem__(self, rows: slice) -> "SampleBlocks":
        """Select consecutive rows, without a copy."""
        return SampleBlocks(self.X[rows, :], self.sq_norms[rows])

    def __len__(self) -> int:
        return self.X.shape[0]


def sample_blocks(X: Any, center: Array | None, *, in_place: bool = False) -> SampleBlocks:
    """Centre samples (see `svmcifar.svm.moments.kernel_center`) and compute their squared norms.

    X, float32 or float64, on the host or on a device, is copied only if it must change; `in_place`
    subtracts the centre from X itself.
    """
    if center is not None:
        center = move_beside(center, X)
        if in_place:
            X -= center
        else:
            X = X - center
    if not is_host(X):
        return SampleBlocks(X, _device_sq_norms(X))
    X = np.ascontiguousarray(X)
    sq_norms = np.empty(X.shape[0], dtype=X.dtype)
    _sq_norms(X, sq_norms)
    return SampleBlocks(X, sq_norms)


def is_memory_mapped(X: Any) -> bool:
    """Return whether an array lies in a file (`numpy.memmap`), or is a view of one that does."""
    while isinstance(X, np.ndarray):
        X = X.base
    return isinstance(X, mmap)


class GatheredRows:
    """Rows of an array in a file, in another order and centred: copied when they are selected.

    It stands for an array of shape (n_rows, n_features) of which a part is in memory at a time.
    """

    def __init__(
        self, source: Array, order: NDArray[np.intp], center: Array | None, dtype: np.dtype
    ) -> None:
        self.source = source
        self.order = order
        self.center = center
        self.dtype = dtype
        self.shape = (len(order), source.shape[1])
        self.size = len(order) * source.shape[1]
        self.nbytes = self.size * dtype.itemsize  # of all; few of them are in memory

    def __len__(self) -> int:
        return len(self.order)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """Copy all, for solvers that need them at once."""
        return self[:].astype(self.dtype if dtype is None else dtype, copy=False)

    def __getitem__(self, index: Any) -> Array:
        """Copy rows; `index` are rows, or rows and columns."""
        rows, *columns = index if isinstance(index, tuple) else (index,)
        X = self.source[self.order[rows]].astype(self.dtype, copy=False)
        if self.center is not None:
            X -= self.center
        return np.ascontiguousarray(X[:, *columns]) if columns else X


def gather_samples(
    source: Array, order: NDArray[np.intp], center: Array | None, dtype: np.dtype
) -> SampleBlocks:
    """Return samples that lie in a file in their order, copied a block at a time when in use.

    Values are those of `sample_blocks` of a copy, to the bit.
    """
    X = GatheredRows(source, order, center, dtype)
    sq_norms = [sample_blocks(rows, None).sq_norms for rows in row_batches(X)]
    return SampleBlocks(X, np.concatenate(sq_norms))


def first_columns(samples: SampleBlocks, widths: Sequence[int]) -> dict[int, SampleBlocks]:
    """Return views of the first columns of samples, with squared norms, by number of columns."""
    return {
        width: samples
        if width == samples.X.shape[1]
        else SampleBlocks(samples.X[:, :width], sample_blocks(samples.X[:, :width], None).sq_norms)
        for width in widths
    }


def _device_sq_norms(X: Any) -> Any:
    """Compute the squared norm of each row, summed in float64."""
    xp = get_namespace(X)
    batches = (xp.astype(rows, xp.float64) for rows in row_batches(X))
    return xp.concat([xp.astype(xp.sum(rows * rows, axis=1), X.dtype) for rows in batches])


@njit(nogil=True, cache=True, fastmath={"nnan", "nsz", "reassoc"}, error_model="numpy")
def _sq_norms(X, out):  # type: ignore[no-untyped-def]
    """Write the squared norm of each row, summed in float64."""
    for i in range(X.shape[0]):
        total = 0.0
        for j in range(X.shape[1]):
            total += np.float64(X[i, j]) * np.float64(X[i, j])
        out[i] = total
