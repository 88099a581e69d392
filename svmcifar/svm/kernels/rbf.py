"""The RBF kernel, ``exp(-gamma |a - b|^2)``.

Squared distances are ``|a|^2 + |b|^2 - 2 a.b``.  The formula stands here three times: by the array
API, for devices, and compiled, for float32 and float64 on the host, where loops for sums of two
values use it too (`svmcifar.svm.kernels.invariant_rbf`); `rbf_cuda` has it for whole matrices.
Where that difference loses too many digits, distances are sums of squared differences
(`RBFOfDifferences`).
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from svmcifar.compute.arrays import get_namespace, is_host
from svmcifar.compute.jit import njit
from svmcifar.compute.llvm import double_from_bits, float_from_bits
from svmcifar.svm.kernels.kernel import (
    PRODUCT_ROUNDING,
    FloatArray,
    Kernel,
    Precision,
    beyond_float32,
    sum_differences,
)
from svmcifar.svm.samples import SampleBlocks

# Standard deviation of the rounding error of ``|a|^2 + |b|^2 - 2 a.b``, in unit roundoffs of
# ``|a|^2 + |b|^2``: measured with 64 to 12,288 features, 0.6 to 2.8 (for samples far from the
# centre and near each other).
_DISTANCE_ROUNDING = PRODUCT_ROUNDING


@dataclass(frozen=True)
class RBF(Kernel):
    """The RBF kernel, ``exp(-gamma |a - b|^2)``; 1 on the diagonal."""

    gamma: float  # > 0
    name: ClassVar[str] = "rbf"
    is_shift_invariant: ClassVar[bool] = True
    has_unit_diagonal: ClassVar[bool] = True
    has_relative_errors: ClassVar[bool] = True

    def values(self, products: Any, a_sq_norms: Any, b_sq_norms: Any) -> Any:
        """Compute kernel values by the array API; see `Kernel.values`."""
        xp = get_namespace(products)
        values = products * -2.0
        values += a_sq_norms[:, None]
        values += b_sq_norms[None, :]
        # Rounding may leave squared distances below zero.
        values = xp.maximum(values, xp.zeros_like(b_sq_norms)[None, :])
        values *= -self.gamma
        return xp.exp(values)

    def diagonal(self, samples: SampleBlocks) -> Any:
        """Return ones."""
        return get_namespace(samples.sq_norms).ones_like(samples.sq_norms)

    def rounding(self, sq_norms: FloatArray, precision: Precision) -> FloatArray:
        """Estimate relative errors; see `Kernel.rounding`.

        They are those of exponents, between samples of like norms: others are far apart.
        """
        exponents = 2.0 * self.gamma * np.asarray(sq_norms, dtype=np.float64)
        error = precision.unit_roundoff * (1.0 + _DISTANCE_ROUNDING * exponents)
        if precision == Precision.FLOAT32:
            error[beyond_float32(sq_norms, self.gamma)] = np.inf
        return error

    def at(self, precision: Precision) -> Kernel:
        """Return the kernel of a precision; see `Kernel.at`."""
        return RBFOfDifferences(self.gamma) if precision == Precision.EXACT else RBF(self.gamma)

    @property
    def sklearn_parameters(self) -> dict[str, Any]:
        """Return the parameters; see `Kernel.sklearn_parameters`."""
        return {"kernel": "rbf", "gamma": self.gamma}

    def write(self, products: Any, a_sq_norms: Any, b_sq_norms: Any, out: Any) -> None:
        """Write kernel values, compiled on the host; see `Kernel.write`."""
        if not is_host(products):
            super().write(products, a_sq_norms, b_sq_norms, out)
            return
        gamma = products.dtype.type(self.gamma)
        in_place, apart = _WRITERS[products.dtype]
        if out is products:
            in_place(products, a_sq_norms, b_sq_norms, gamma)
        else:
            apart(products, a_sq_norms, b_sq_norms, gamma, out)

    def write_mirrored(
        self, products: Any, sq_norms: Any, rows: slice, columns: slice, K: Any
    ) -> None:
        """Write a block and its mirror image by one CUDA kernel; see `Kernel.write_mirrored`."""
        from svmcifar.svm.kernels import rbf_cuda

        rbf_cuda.write_mirrored(products, sq_norms, self.gamma, rows, columns, K)


class RBFOfDifferences(RBF):
    """The RBF kernel with distances from differences: precise for samples of any size, and slow."""

    def rounding(self, sq_norms: FloatArray, precision: Precision) -> FloatArray:
        """Estimate relative errors: a few unit roundoffs, whatever the norms."""
        return Kernel.rounding(self, sq_norms, precision)

    def products(self, A: Any, B: Any, out: Any = None) -> Any:
        """Compute squared distances, a sum over features too; see `Kernel.products`."""
        if is_host(A):
            out = np.empty((len(A), len(B)), dtype=A.dtype) if out is None else out
            _sq_distances(A, B, out)
            return out
        return sum_differences(A, B, lambda a, b: (a - b) ** 2)

    def values(self, products: Any, a_sq_norms: Any, b_sq_norms: Any) -> Any:
        """Compute kernel values from squared distances; see `Kernel.values`."""
        return get_namespace(products).exp(products * -self.gamma)

    def write(self, products: Any, a_sq_norms: Any, b_sq_norms: Any, out: Any) -> None:
        """Write kernel values; see `Kernel.write`."""
        Kernel.write(self, products, a_sq_norms, b_sq_norms, out)

    def write_mirrored(
        self, products: Any, sq_norms: Any, rows: slice, columns: slice, K: Any
    ) -> None:
        """Write a block and its mirror image; see `Kernel.write_mirrored`."""
        Kernel.write_mirrored(self, products, sq_norms, rows, columns, K)


@njit(nogil=True, cache=True, fastmath={"nnan", "nsz", "reassoc", "contract"}, error_model="numpy")
def _sq_distances(A, B, out):  # type: ignore[no-untyped-def]
    """Write the squared distances between the rows of A and B."""
    for i in range(A.shape[0]):
        for j in range(B.shape[0]):
            total = 0.0
            for k in range(A.shape[1]):
                difference = A[i, k] - B[j, k]
                total += difference * difference
            out[i, j] = total


@njit(inline="always")
def _exp_f32(x):  # type: ignore[no-untyped-def]
    """Exponential of a float32 in [-87, 0], to 1.5 units in the last place.

    ``2^n * exp(r)`` with the polynomial and the split logarithm of Cephes' ``expf``.
    """
    # No branches, so that the loop around it becomes SIMD code.
    n = np.floor(x * np.float32(1.44269504) + np.float32(0.5))
    r = x - n * np.float32(0.693359375) + n * np.float32(2.12194440e-4)
    p = np.float32(1.9875691500e-4)
    p = p * r + np.float32(1.3981999507e-3)
    p = p * r + np.float32(8.3334519073e-3)
    p = p * r + np.float32(4.1665795894e-2)
    p = p * r + np.float32(1.6666665459e-1)
    p = p * r + np.float32(5.0000001201e-1)
    p = p * r * r + r + np.float32(1)
    return p * float_from_bits((np.int32(n) + np.int32(127)) << np.int32(23))


@njit(inline="always")
def _rbf_f32(product, sq_norms, gamma, two_gamma):  # type: ignore[no-untyped-def]
    """Turn one inner product into an RBF value."""
    t = min(two_gamma * product - gamma * sq_norms, np.float32(0))
    value = _exp_f32(max(t, np.float32(-87)))
    return value if t >= np.float32(-87) else np.float32(0)


@njit(inline="always")
def _loop_f32(products, a_sq_norms, b_sq_norms, gamma, out):  # type: ignore[no-untyped-def]
    """Turn inner products into RBF values, in one pass."""
    two_gamma = np.float32(2) * gamma
    for i in range(products.shape[0]):
        for j in range(products.shape[1]):
            sq_norms = a_sq_norms[i] + b_sq_norms[j]
            out[i, j] = _rbf_f32(products[i, j], sq_norms, gamma, two_gamma)


@njit(inline="always")
def _loop_both_f32(even, odd, a_sq_norms, b_sq_norms, gamma, out):  # type: ignore[no-untyped-def]
    """Add the RBF values of ``even + odd`` and ``even - odd``, in one pass."""
    two_gamma = np.float32(2) * gamma
    for i in range(even.shape[0]):
        for j in range(even.shape[1]):
            sq_norms = a_sq_norms[i] + b_sq_norms[j]
            value = _rbf_f32(even[i, j] + odd[i, j], sq_norms, gamma, two_gamma)
            out[i, j] = value + _rbf_f32(even[i, j] - odd[i, j], sq_norms, gamma, two_gamma)


# Two functions: a loop whose arrays may overlap does not become SIMD code.


@njit(nogil=True, cache=True, fastmath={"nnan", "nsz", "contract"}, error_model="numpy")
def _write_in_place_f32(products, a_sq_norms, b_sq_norms, gamma):  # type: ignore[no-untyped-def]
    """Turn inner products into RBF values in place."""
    _loop_f32(products, a_sq_norms, b_sq_norms, gamma, products)


@njit(nogil=True, cache=True, fastmath={"nnan", "nsz", "contract"}, error_model="numpy")
def _write_f32(products, a_sq_norms, b_sq_norms, gamma, out):  # type: ignore[no-untyped-def]
    """Compute RBF values from inner products that stay."""
    _loop_f32(products, a_sq_norms, b_sq_norms, gamma, out)


@njit(inline="always")
def _exp_f64(x):  # type: ignore[no-untyped-def]
    """Exponential of a float64 in [-708, 0], to about a unit in the last place.

    ``2^n * exp(r)`` with the split logarithm of Cephes' ``exp`` and Taylor's polynomial, whose
    remainder is below 1e-17 for ``|r| <= log(2) / 2``.
    """
    n = np.floor(x * 1.4426950408889634 + 0.5)
    r = x - n * 6.93145751953125e-1 - n * 1.42860682030941723212e-6
    p = 1.6059043836821613e-10 * r + 2.08767569878681e-09
    p = p * r + 2.505210838544172e-08
    p = p * r + 2.755731922398589e-07
    p = p * r + 2.7557319223985893e-06
    p = p * r + 2.48015873015873e-05
    p = p * r + 0.0001984126984126984
    p = p * r + 0.001388888888888889
    p = p * r + 0.008333333333333333
    p = p * r + 0.041666666666666664
    p = p * r + 0.16666666666666666
    p = p * r + 0.5
    p = p * r * r + r + 1.0
    return p * double_from_bits((np.int64(np.int32(n)) + np.int64(1023)) << np.int64(52))


@njit(inline="always")
def _rbf_f64(product, sq_norms, gamma, two_gamma):  # type: ignore[no-untyped-def]
    """Turn one inner product into an RBF value."""
    t = min(two_gamma * product - gamma * sq_norms, 0.0)
    value = _exp_f64(max(t, -708.0))
    return value if t >= -708.0 else 0.0


@njit(inline="always")
def _loop_f64(products, a_sq_norms, b_sq_norms, gamma, out):  # type: ignore[no-untyped-def]
    """Turn inner products into RBF values, in one pass."""
    two_gamma = 2.0 * gamma
    for i in range(products.shape[0]):
        for j in range(products.shape[1]):
            sq_norms = a_sq_norms[i] + b_sq_norms[j]
            out[i, j] = _rbf_f64(products[i, j], sq_norms, gamma, two_gamma)


@njit(inline="always")
def _loop_both_f64(even, odd, a_sq_norms, b_sq_norms, gamma, out):  # type: ignore[no-untyped-def]
    """Add the RBF values of ``even + odd`` and ``even - odd``, in one pass."""
    two_gamma = 2.0 * gamma
    for i in range(even.shape[0]):
        for j in range(even.shape[1]):
            sq_norms = a_sq_norms[i] + b_sq_norms[j]
            value = _rbf_f64(even[i, j] + odd[i, j], sq_norms, gamma, two_gamma)
            out[i, j] = value + _rbf_f64(even[i, j] - odd[i, j], sq_norms, gamma, two_gamma)


@njit(nogil=True, cache=True, fastmath={"nnan", "nsz", "contract"}, error_model="numpy")
def _write_in_place_f64(products, a_sq_norms, b_sq_norms, gamma):  # type: ignore[no-untyped-def]
    """Turn inner products into RBF values in place."""
    _loop_f64(products, a_sq_norms, b_sq_norms, gamma, products)


@njit(nogil=True, cache=True, fastmath={"nnan", "nsz", "contract"}, error_model="numpy")
def _write_f64(products, a_sq_norms, b_sq_norms, gamma, out):  # type: ignore[no-untyped-def]
    """Compute RBF values from inner products that stay; `out` may be float32."""
    _loop_f64(products, a_sq_norms, b_sq_norms, gamma, out)


@njit(nogil=True, cache=True, fastmath={"nnan", "nsz", "contract"}, error_model="numpy")
def _add_in_place_f32(even, odd, a_sq_norms, b_sq_norms, gamma):  # type: ignore[no-untyped-def]
    """Add the RBF values of the sum and the difference of two products, into the first."""
    _loop_both_f32(even, odd, a_sq_norms, b_sq_norms, gamma, even)


@njit(nogil=True, cache=True, fastmath={"nnan", "nsz", "contract"}, error_model="numpy")
def _add_f32(even, odd, a_sq_norms, b_sq_norms, gamma, out):  # type: ignore[no-untyped-def]
    """Add the RBF values of the sum and the difference of two products."""
    _loop_both_f32(even, odd, a_sq_norms, b_sq_norms, gamma, out)


@njit(nogil=True, cache=True, fastmath={"nnan", "nsz", "contract"}, error_model="numpy")
def _add_in_place_f64(even, odd, a_sq_norms, b_sq_norms, gamma):  # type: ignore[no-untyped-def]
    """Add the RBF values of the sum and the difference of two products, into the first."""
    _loop_both_f64(even, odd, a_sq_norms, b_sq_norms, gamma, even)


@njit(nogil=True, cache=True, fastmath={"nnan", "nsz", "contract"}, error_model="numpy")
def _add_f64(even, odd, a_sq_norms, b_sq_norms, gamma, out):  # type: ignore[no-untyped-def]
    """Add the RBF values of the sum and the difference of two products; `out` may be float32."""
    _loop_both_f64(even, odd, a_sq_norms, b_sq_norms, gamma, out)


# In place, and to another array.
_WRITERS = {
    np.dtype(np.float32): (_write_in_place_f32, _write_f32),
    np.dtype(np.float64): (_write_in_place_f64, _write_f64),
}
# Likewise for the sum of two values.
ADDERS = {
    np.dtype(np.float32): (_add_in_place_f32, _add_f32),
    np.dtype(np.float64): (_add_in_place_f64, _add_f64),
}
