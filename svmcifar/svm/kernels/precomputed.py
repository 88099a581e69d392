"""Kernel values that the user has computed.

The values are a matrix, and a sample is the number of its row or column: a kernel that looks values
up is one like any other, for all solvers and schedules.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from svmcifar.compute.arrays import get_namespace, is_host, move_beside, to_host
from svmcifar.compute.jit import njit
from svmcifar.svm.kernels.kernel import FloatArray, Kernel
from svmcifar.svm.samples import SampleBlocks, sample_blocks


@dataclass(frozen=True)
class Precomputed(Kernel):
    """Values of a matrix, float32 or float64, on the host or on a device."""

    matrix: Any  # (n_rows, n_columns)
    name: ClassVar[str] = "precomputed"

    def products(self, A: Any, B: Any, out: Any = None) -> Any:
        """Look up the values of rows A and columns B, (n, 1) numbers; see `Kernel.products`."""
        rows, columns = (to_host(part)[:, 0].astype(np.intp) for part in (A, B))
        if is_host(self.matrix):
            out = np.empty((len(rows), len(columns)), to_host(A).dtype) if out is None else out
            _look_up(self.matrix, rows, columns, out)
            return move_beside(out, A)
        xp = get_namespace(self.matrix)
        values = xp.take(self.matrix, move_beside(rows, self.matrix), axis=0)
        values = xp.take(values, move_beside(columns, self.matrix), axis=1)
        if not is_host(A):
            return xp.astype(values, A.dtype)
        if out is None:
            return to_host(values).astype(A.dtype)
        out[...] = to_host(values)
        return out

    def values(self, products: Any, a_sq_norms: Any, b_sq_norms: Any) -> Any:
        """Return the values that were looked up; see `Kernel.values`."""
        return products

    def diagonal(self, samples: SampleBlocks) -> Any:
        """Return the values of samples with themselves."""
        numbers = to_host(samples.X)[:, 0].astype(np.intp)
        if is_host(self.matrix):
            return move_beside(self.matrix[numbers, numbers].astype(np.float64), samples.X)
        xp, n = get_namespace(self.matrix), self.matrix.shape[1]
        flat = xp.reshape(self.matrix, (-1,))
        values = xp.take(flat, move_beside(numbers * (n + 1), self.matrix))
        values = xp.astype(values, xp.float64)
        return to_host(values) if is_host(samples.X) else values

    def sizes(self, sq_norms: FloatArray) -> FloatArray:
        """Return the root of the largest value, for all samples alike."""
        return np.full(np.shape(sq_norms), np.sqrt(self._largest))

    @cached_property
    def _largest(self) -> float:
        xp = get_namespace(self.matrix)
        return max(float(xp.max(self.matrix)), -float(xp.min(self.matrix)))

    @property
    def sklearn_parameters(self) -> None:
        """None: the samples here are numbers, which `sklearn.svm.SVC` does not take."""
        return

    def write(self, products: Any, a_sq_norms: Any, b_sq_norms: Any, out: Any) -> None:
        """Write the values that were looked up; see `Kernel.write`."""
        if out is not products:
            out[...] = products


def number_samples(numbers: NDArray[np.integer], matrix: Any) -> SampleBlocks:
    """Return rows or columns of a matrix as samples, of one feature, beside it."""
    return sample_blocks(move_beside(numbers.astype(np.float64)[:, None], matrix), None)


@njit(nogil=True, cache=True, error_model="numpy")
def _look_up(matrix, rows, columns, out):  # type: ignore[no-untyped-def]
    """Write the values of some rows and columns."""
    for i in range(len(rows)):
        row = matrix[rows[i]]
        for j in range(len(columns)):
            out[i, j] = row[columns[j]]
