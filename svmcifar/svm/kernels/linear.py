"""The linear kernel, ``a.b``."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from svmcifar.svm.kernels.kernel import PRODUCT_ROUNDING, FloatArray, Kernel, Precision
from svmcifar.svm.samples import SampleBlocks


@dataclass(frozen=True)
class Linear(Kernel):
    """The linear kernel, ``a.b``."""

    name: ClassVar[str] = "linear"

    def values(self, products: Any, a_sq_norms: Any, b_sq_norms: Any) -> Any:
        """Return the products; see `Kernel.values`."""
        return products

    def diagonal(self, samples: SampleBlocks) -> Any:
        """Return squared norms."""
        return samples.sq_norms

    def sizes(self, sq_norms: FloatArray) -> FloatArray:
        """Return norms, by the inequality of Cauchy and Schwarz."""
        return np.sqrt(sq_norms)

    def rounding(self, sq_norms: FloatArray, precision: Precision) -> FloatArray:
        """Estimate errors; see `Kernel.rounding`."""
        return np.full(np.shape(sq_norms), PRODUCT_ROUNDING * precision.unit_roundoff)

    @property
    def sklearn_parameters(self) -> dict[str, Any]:
        """Return the parameters; see `Kernel.sklearn_parameters`."""
        return {"kernel": "linear"}

    def write(self, products: Any, a_sq_norms: Any, b_sq_norms: Any, out: Any) -> None:
        """Write the products; see `Kernel.write`."""
        if out is not products:
            out[...] = products
