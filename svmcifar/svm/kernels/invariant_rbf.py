"""The RBF kernel summed over a reflection, ``k(a, b) + k(a, M b)``.

M changes the sign of the last features, the odd ones, and of no other.  An SVM trained on samples
and their mirror images, ``a`` and ``M a``, has by symmetry an optimum in which both have the same
coefficient: that is the SVM with this kernel, and the same C, on the samples alone.  Its dual
objective is half of the other's, and its decision values do not change under M.

With ``p`` the inner product of the even features and ``q`` that of the odd ones, the two values are
the RBF values of the inner products ``p + q`` and ``p - q``.

References
----------
B. Haasdonk, H. Burkhardt, "Invariant kernel functions for pattern analysis and machine learning",
Machine Learning 68 (2007).
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from svmcifar.compute.arrays import get_namespace, is_host
from svmcifar.svm.kernels.kernel import FloatArray, Kernel, Precision, first_products
from svmcifar.svm.kernels.rbf import ADDERS, RBF, RBFOfDifferences
from svmcifar.svm.moments import row_batches
from svmcifar.svm.samples import SampleBlocks


@dataclass(frozen=True)
class InvariantRBF(Kernel):
    """The RBF kernel of samples and of their mirror images; values are at most 2.

    Odd features are not centred.
    """

    gamma: float  # > 0
    n_odd: int  # number of the last features, >= 1, which change their sign
    name: ClassVar[str] = "rbf of both images"
    is_shift_invariant: ClassVar[bool] = True  # in the even features
    has_relative_errors: ClassVar[bool] = True
    n_products: ClassVar[int] = 2

    @property
    def dtype(self) -> np.dtype:
        """float32; see `Kernel.dtype`."""
        return np.dtype(np.float32)

    def products(self, A: Any, B: Any, out: Any = None) -> Any:
        """Compute the inner products of the even and of the odd features; see `Kernel.products`."""
        if not is_host(A):
            parts = zip(self._split(A), self._split(B), strict=True)
            return get_namespace(A, B).stack([a @ b.T for a, b in parts])
        out = self.empty_products(A, B) if out is None else out
        for a, b, product in zip(self._split(A), self._split(B), out, strict=True):
            np.matmul(a, b.T, out=product)
        return out

    def _split(self, X: Any) -> tuple[Any, Any]:
        """Return the even and the odd features."""
        n_even = X.shape[1] - self.n_odd
        return X[:, :n_even], X[:, n_even:]

    def values(self, products: Any, a_sq_norms: Any, b_sq_norms: Any) -> Any:
        """Compute kernel values by the array API; see `Kernel.values`."""
        even, odd = products[0, :, :], products[1, :, :]
        kernel = RBF(self.gamma)
        of_sum = kernel.values(even + odd, a_sq_norms, b_sq_norms)
        return of_sum + kernel.values(even - odd, a_sq_norms, b_sq_norms)

    def diagonal(self, samples: SampleBlocks) -> Any:
        """Return the values of samples with themselves, from 1 to 2, float64."""
        xp = get_namespace(samples.sq_norms)
        odd = (xp.astype(self._split(rows)[1], xp.float64) for rows in row_batches(samples.X))
        sq_norms = xp.concat([xp.sum(part * part, axis=1) for part in odd])
        return 1.0 + xp.exp(-4.0 * self.gamma * sq_norms)

    def sizes(self, sq_norms: FloatArray) -> FloatArray:
        """Return the root of 2; see `Kernel.sizes`."""
        return np.full(np.shape(sq_norms), np.sqrt(2.0))

    def rounding(self, sq_norms: FloatArray, precision: Precision) -> FloatArray:
        """Estimate relative errors, those of both summands; see `Kernel.rounding`."""
        return RBF(self.gamma).at(precision).rounding(sq_norms, precision)

    def at(self, precision: Precision) -> Kernel:
        """Return the kernel of a precision; see `Kernel.at`."""
        is_exact = precision == Precision.EXACT
        return (_OfDifferences if is_exact else InvariantRBF)(self.gamma, self.n_odd)

    @property
    def sklearn_parameters(self) -> None:
        """None: `sklearn.svm.SVC` does not know it."""
        return

    def write(self, products: Any, a_sq_norms: Any, b_sq_norms: Any, out: Any) -> None:
        """Write kernel values, compiled on the host; see `Kernel.write`."""
        if not is_host(products):
            super().write(products, a_sq_norms, b_sq_norms, out)
            return
        gamma = products.dtype.type(self.gamma)
        in_place, apart = ADDERS[products.dtype]
        if np.may_share_memory(out, products):
            in_place(*products, a_sq_norms, b_sq_norms, gamma)
        else:
            apart(*products, a_sq_norms, b_sq_norms, gamma, out)


class _OfDifferences(InvariantRBF):
    """The kernel with distances from differences: precise for samples of any size, and slow."""

    def products(self, A: Any, B: Any, out: Any = None) -> Any:
        """Compute the squared distances to samples and to their mirror images."""
        even, odd = self._split(B)
        mirrored = get_namespace(B).concat([even, -odd], axis=1)
        kernel = RBFOfDifferences(self.gamma)
        if not is_host(A):
            return get_namespace(A, B).stack([kernel.products(A, X) for X in (B, mirrored)])
        out = self.empty_products(A, B) if out is None else out
        for X, distances in zip((B, mirrored), out, strict=True):
            kernel.products(A, X, distances)
        return out

    def values(self, products: Any, a_sq_norms: Any, b_sq_norms: Any) -> Any:
        """Compute kernel values from squared distances; see `Kernel.values`."""
        values = get_namespace(products).exp(products * -self.gamma)
        return first_products(values) + values[1, :, :]

    def write(self, products: Any, a_sq_norms: Any, b_sq_norms: Any, out: Any) -> None:
        """Write kernel values; see `Kernel.write`."""
        Kernel.write(self, products, a_sq_norms, b_sq_norms, out)
