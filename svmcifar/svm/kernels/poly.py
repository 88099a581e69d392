"""The polynomial kernel, ``(gamma a.b + coef0)^degree``."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from svmcifar.compute.arrays import get_namespace
from svmcifar.svm.kernels.kernel import PRODUCT_ROUNDING, FloatArray, Kernel, Precision
from svmcifar.svm.samples import SampleBlocks


@dataclass(frozen=True)
class Polynomial(Kernel):
    """The polynomial kernel, ``(gamma a.b + coef0)^degree``."""

    gamma: float  # > 0
    degree: int  # >= 0
    coef0: float
    name: ClassVar[str] = "poly"

    def values(self, products: Any, a_sq_norms: Any, b_sq_norms: Any) -> Any:
        """Compute kernel values by the array API; see `Kernel.values`."""
        return self._power(products * self.gamma + self.coef0)

    def diagonal(self, samples: SampleBlocks) -> Any:
        """Return the values of squared norms, which are products of samples with themselves."""
        return self._power(samples.sq_norms * self.gamma + self.coef0)

    def sizes(self, sq_norms: FloatArray) -> FloatArray:
        """Return bounds of values; see `Kernel.sizes`."""
        with np.errstate(over="ignore"):
            return (self.gamma * sq_norms + abs(self.coef0)) ** (self.degree / 2)

    def rounding(self, sq_norms: FloatArray, precision: Precision) -> FloatArray:
        """Estimate errors, which a power multiplies; see `Kernel.rounding`."""
        factor = 1.0 + self.degree * (1.0 + PRODUCT_ROUNDING)
        return np.full(np.shape(sq_norms), factor * precision.unit_roundoff)

    @property
    def sklearn_parameters(self) -> dict[str, Any]:
        """Return the parameters; see `Kernel.sklearn_parameters`."""
        return {
            "kernel": "poly", "gamma": self.gamma, "degree": self.degree, "coef0": self.coef0,
        }  # fmt: skip

    def _power(self, base: Any) -> Any:
        """Raise to the degree by products, as LIBSVM does: ``**`` takes many times as long."""
        power, left = get_namespace(base).ones_like(base), self.degree
        while left:
            if left % 2:
                power = power * base
            left //= 2
            base = base * base if left else base
        return power
