"""The Laplacian kernel, ``exp(-gamma |a - b|_1)``: sums of absolute differences."""

from typing import Any, ClassVar

import numpy as np

from svmcifar.compute.jit import njit
from svmcifar.svm.kernels.exponential import COLUMNS, ROWS, ExponentialOfSums


class Laplacian(ExponentialOfSums):
    """The Laplacian kernel, ``exp(-gamma |a - b|_1)``; 1 on the diagonal."""

    name: ClassVar[str] = "laplacian"

    def fill_sums(self, A: Any, B: Any, out: Any) -> None:
        """Write sums of absolute differences; see `ExponentialOfSums.fill_sums`."""
        _sum_absolute_differences(A, B, out)

    def term(self, a: Any, b: Any) -> Any:
        """Return the absolute difference; see `ExponentialOfSums.term`."""
        return abs(a - b)


@njit(nogil=True, cache=True, fastmath={"nnan", "nsz", "reassoc", "contract"}, error_model="numpy")
def _sum_absolute_differences(A, B, out):  # type: ignore[no-untyped-def]
    """Write the sums of absolute differences between the rows of A and B."""
    real = A.dtype.type
    out[:, :] = real(0)
    for first in range(0, A.shape[1], COLUMNS):
        count, start = min(COLUMNS, A.shape[1] - first), np.uint64(first)
        for top in range(0, B.shape[0], ROWS):
            for i in range(A.shape[0]):
                for j in range(top, min(top + ROWS, B.shape[0])):
                    total = real(0)
                    for k in range(count):
                        column = start + np.uint64(k)
                        total += abs(A[i, column] - B[j, column])
                    out[i, j] += total
