"""The sigmoid kernel, ``tanh(gamma a.b + coef0)``, which need not be positive semidefinite."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from svmcifar.compute.arrays import get_namespace
from svmcifar.svm.kernels.kernel import PRODUCT_ROUNDING, FloatArray, Kernel, Precision
from svmcifar.svm.samples import SampleBlocks


@dataclass(frozen=True)
class Sigmoid(Kernel):
    """The sigmoid kernel, ``tanh(gamma a.b + coef0)``."""

    gamma: float  # > 0
    coef0: float
    name: ClassVar[str] = "sigmoid"

    def values(self, products: Any, a_sq_norms: Any, b_sq_norms: Any) -> Any:
        """Compute kernel values by the array API; see `Kernel.values`."""
        return get_namespace(products).tanh(products * self.gamma + self.coef0)

    def diagonal(self, samples: SampleBlocks) -> Any:
        """Return the values of squared norms, which are products of samples with themselves."""
        return self.values(samples.sq_norms, None, None)

    def rounding(self, sq_norms: FloatArray, precision: Precision) -> FloatArray:
        """Estimate errors, those of the argument, between samples of like norms."""
        argument = PRODUCT_ROUNDING * self.gamma * np.asarray(sq_norms) + abs(self.coef0)
        return precision.unit_roundoff * (1.0 + argument)

    @property
    def sklearn_parameters(self) -> dict[str, Any]:
        """Return the parameters; see `Kernel.sklearn_parameters`."""
        return {"kernel": "sigmoid", "gamma": self.gamma, "coef0": self.coef0}
