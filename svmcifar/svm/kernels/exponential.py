"""What the kernels ``exp(-gamma sum_k t(a_k, b_k))`` share, for a term t that is no product.

Their sums over features are no matrix product: they are loops over blocks that stay in cache.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from svmcifar.compute.arrays import get_namespace, is_host
from svmcifar.svm.kernels.kernel import (
    FloatArray,
    Kernel,
    Precision,
    beyond_float32,
    sum_differences,
)
from svmcifar.svm.samples import SampleBlocks

# Features and rows of a block, which fits the second level of a processor's cache.
COLUMNS, ROWS = 512, 32
# Standard deviation of the error of values, in unit roundoffs: that of a sum s is relative, so that
# ``exp(-gamma s)`` moves by at most the share of ``x exp(-x)``, which is below 0.37.
_VALUE_ROUNDING = 3.0


@dataclass(frozen=True)
class ExponentialOfSums(Kernel):
    """A kernel ``exp(-gamma sum_k t(a_k, b_k))``; 1 on the diagonal."""

    gamma: float  # > 0
    has_unit_diagonal: ClassVar[bool] = True

    @abstractmethod
    def fill_sums(self, A: Any, B: Any, out: Any) -> None:
        """Write the sums between the rows of A and B on the host to `out`, of their dtype."""

    @abstractmethod
    def term(self, a: Any, b: Any) -> Any:
        """Compute the term of features by the array API."""

    def products(self, A: Any, B: Any, out: Any = None) -> Any:
        """Compute the sums over features; see `Kernel.products`."""
        if not is_host(A):
            return sum_differences(A, B, self.term)
        out = np.empty((len(A), len(B)), dtype=A.dtype) if out is None else out
        self.fill_sums(A, B, out)
        return out

    def values(self, products: Any, a_sq_norms: Any, b_sq_norms: Any) -> Any:
        """Compute kernel values from the sums; see `Kernel.values`."""
        return get_namespace(products).exp(products * -self.gamma)

    def diagonal(self, samples: SampleBlocks) -> Any:
        """Return ones."""
        return get_namespace(samples.sq_norms).ones_like(samples.sq_norms)

    def rounding(self, sq_norms: FloatArray, precision: Precision) -> FloatArray:
        """Estimate errors, whatever the norms; see `Kernel.rounding`."""
        error = np.full(np.shape(sq_norms), _VALUE_ROUNDING * precision.unit_roundoff)
        if precision == Precision.FLOAT32:
            error[beyond_float32(sq_norms, self.gamma)] = np.inf
        return error

    @property
    def sklearn_parameters(self) -> None:
        """None: `sklearn.svm.SVC` does not know it."""
        return
