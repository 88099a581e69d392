"""The chi-squared kernel of histograms, ``exp(-gamma sum (a - b)^2 / (a + b))``.

References
----------
J. Zhang, M. Marszalek, S. Lazebnik, C. Schmid, "Local features and kernels for classification of
texture and object categories: a comprehensive study", IJCV 73 (2007).
"""

from typing import Any, ClassVar

import numpy as np

from svmcifar.compute.arrays import get_namespace
from svmcifar.compute.jit import njit
from svmcifar.compute.llvm import fast_max
from svmcifar.svm.kernels.exponential import COLUMNS, ROWS, ExponentialOfSums

# Stands for a sum of zero, whose difference is zero too; a normal number in float32.
_LEAST_SUM = 1e-37


class Chi2(ExponentialOfSums):
    """The chi-squared kernel of samples that are nowhere negative; 1 on the diagonal."""

    name: ClassVar[str] = "chi2"
    needs_nonnegative: ClassVar[bool] = True

    def fill_sums(self, A: Any, B: Any, out: Any) -> None:
        """Write chi-squared distances; see `ExponentialOfSums.fill_sums`."""
        _sum_squares_by_sums(A, B, out)

    def term(self, a: Any, b: Any) -> Any:
        """Return the square of the difference by the sum; see `ExponentialOfSums.term`."""
        xp, total = get_namespace(a), a + b
        return (a - b) ** 2 / xp.where(total > 0, total, xp.ones_like(total))


@njit(nogil=True, cache=True, fastmath={"nnan", "nsz", "reassoc", "contract"}, error_model="numpy")
def _sum_squares_by_sums(A, B, out):  # type: ignore[no-untyped-def]
    """Write the chi-squared distances between the rows of A and B."""
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
                        a, b = A[i, column], B[j, column]
                        difference = a - b
                        total += difference * difference / fast_max(a + b, real(_LEAST_SUM))
                    out[i, j] += total
