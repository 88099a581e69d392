"""The interface of kernels: values from sums over features, such as inner products, and norms."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from enum import IntEnum
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import gen_batches

from svmcifar.compute.arrays import get_namespace, is_host
from svmcifar.svm.samples import SampleBlocks

# Values that `write` computes at a time beside the products: few enough to stay in a processor's
# cache, enough to keep a GPU busy.
HOST_RUN, DEVICE_RUN = 2**15, 2**22
# On the host a batch is at most this part of the rows, so that memory plans need not count it.
_PART = 16
# Terms of features that are computed at a time on a device.
_DIFFERENCES_RUN = 2**24
# Values that no plan needs to count.
_FEW = 2**13
# Standard deviation of the rounding error of an inner product of vectors of like norms, in unit
# roundoffs of the product of their norms: measured with 64 to 12,288 features (see `rbf`).
PRODUCT_ROUNDING = 1.5
# Squared norms and coefficients whose products and quotients float32 holds with all digits.
_FLOAT32_LEAST, _FLOAT32_MOST = 1e-30, 1e30

FloatArray = NDArray[np.float64]


class Precision(IntEnum):
    """How kernel values are computed, fastest first."""

    FLOAT32 = 0  # from float32 inner products; for float32 samples alone
    FLOAT64 = 1  # from float64 inner products
    EXACT = 2  # by the kernel's most precise formula, in float64

    @property
    def dtype(self) -> np.dtype:
        """The dtype of samples and inner products."""
        return np.dtype(np.float32 if self == Precision.FLOAT32 else np.float64)

    @property
    def unit_roundoff(self) -> float:
        """Largest relative error of one operation."""
        return float(np.finfo(self.dtype).eps) / 2


class Kernel(ABC):
    """A kernel function with its parameters.

    A kernel is a subclass in a file of its own, listed in `svmcifar.svm.kernels.registry`.  It
    is a dataclass of the parameters that it has (`gamma`, `degree`, `coef0`).  It defines `values`
    and `diagonal` by the array API, and `sklearn_parameters`; it may override `sizes`, `rounding`
    and `at` where values are large or lose digits, `products` with another sum over features, and
    `write` and `write_mirrored` with compiled code.

    Attributes
    ----------
    name : str
        As in scikit-learn.
    is_shift_invariant : bool
        Whether samples are centred, for precision: a shift of all must change no value.
    has_unit_diagonal : bool
        Whether the value of each sample with itself is 1.
    n_products : int
        Sums over features that a value follows from: arrays of products have a first axis of this
        length, if it is not 1.
    needs_nonnegative : bool
        Whether it is of samples that are nowhere negative.
    has_relative_errors : bool
        Whether small values have small errors; if not, errors are those of the largest values.
    gamma : float
        Coefficient, > 0, of kernels that have one.
    """

    name: ClassVar[str]
    is_shift_invariant: ClassVar[bool] = False
    has_unit_diagonal: ClassVar[bool] = False
    n_products: ClassVar[int] = 1
    needs_nonnegative: ClassVar[bool] = False
    has_relative_errors: ClassVar[bool] = False
    gamma: float

    @property
    def dtype(self) -> np.dtype:
        """The dtype that values are kept in; float64, and computed so, if they have any size."""
        return np.dtype(np.float32 if self.has_unit_diagonal else np.float64)

    @abstractmethod
    def values(self, products: Any, a_sq_norms: Any, b_sq_norms: Any) -> Any:
        """Compute kernel values by the array API.

        Parameters
        ----------
        products : array of shape (n_a, n_b), float32 or float64
            ``a_i . b_j``; not changed.
        a_sq_norms, b_sq_norms : arrays of shape (n_a,) and (n_b,), same dtype and device

        Returns
        -------
        array of shape (n_a, n_b), same dtype and device
        """

    @abstractmethod
    def diagonal(self, samples: SampleBlocks) -> Any:
        """Return the kernel values of samples with themselves, without rounding errors."""

    def sizes(self, sq_norms: FloatArray) -> FloatArray:
        """Return bounds of kernel values, for samples of these squared norms.

        The value of two samples is at most the product of their bounds; by default 1.
        """
        return np.ones(np.shape(sq_norms))

    def rounding(self, sq_norms: FloatArray, precision: Precision) -> FloatArray:
        """Estimate the error of kernel values by rounding (see `svmcifar.svm.rounding`).

        Return its standard deviation, relative to the bounds of `sizes`, for samples of these
        squared norms, float64 on the host, and infinity where the precision cannot hold them.
        """
        return np.full(np.shape(sq_norms), precision.unit_roundoff)

    def at(self, precision: Precision) -> "Kernel":
        """Return the kernel that computes the same values with a precision."""
        return self

    @property
    @abstractmethod
    def sklearn_parameters(self) -> dict[str, Any] | None:
        """Parameters of `sklearn.svm.SVC`, and of cuML's, for this kernel; None if they lack it."""

    def products(self, A: Any, B: Any, out: Any = None) -> Any:
        """Compute the inner products of the rows of `A` and `B`, on the host into `out` if given.

        An override must be a sum over features: a search extends it from few features to more.
        """
        return A @ B.T if out is None else np.matmul(A, B.T, out=out)

    def empty_products(self, A: FloatArray, B: FloatArray) -> FloatArray:
        """Make room for the products of the rows of `A` and `B`, on the host."""
        shape = (len(A), len(B)) if self.n_products == 1 else (self.n_products, len(A), len(B))
        return np.empty(shape, dtype=A.dtype)

    def write(self, products: Any, a_sq_norms: Any, b_sq_norms: Any, out: Any) -> None:
        """Write the kernel values of `products`, as for `values`, to `out`.

        `out` is `products`, the first of them (`first_products`), or another array beside them,
        float32 or of their dtype.
        """
        n_rows, n_columns = products.shape[-2:]
        if is_host(products):
            n_batch = min(HOST_RUN // max(1, n_columns), max(n_rows // _PART, _FEW // n_columns))
        else:
            n_batch = DEVICE_RUN // max(1, n_columns)
        for rows in gen_batches(n_rows, max(1, n_batch)):
            out[rows, :] = self.values(products[..., rows, :], a_sq_norms[rows], b_sq_norms)

    def write_mirrored(
        self, products: Any, sq_norms: Any, rows: slice, columns: slice, K: Any
    ) -> None:
        """Write a block on or above the diagonal of the matrix K, and its mirror image, on a GPU.

        `sq_norms` are those of all samples; K is contiguous, float32 or float64.
        """
        xp = get_namespace(products)
        values = self.values(products, sq_norms[rows], sq_norms[columns])
        if rows == columns:  # products may differ from their mirror image in the last digit
            values = xp.triu(values) + xp.triu(values, k=1).T
        K[rows, columns] = values
        K[columns, rows] = values.T


def first_products(products: Any) -> Any:
    """Return the products of the first sum over features, (n_a, n_b), which may be all."""
    return products if products.ndim == 2 else products[0, :, :]


def beyond_float32(sq_norms: FloatArray, *coefficients: float) -> NDArray[np.bool_]:
    """Return which squared norms float32 cannot hold, or all if it cannot hold a coefficient."""
    held = (sq_norms <= _FLOAT32_MOST) & ((sq_norms >= _FLOAT32_LEAST) | (sq_norms == 0))
    return ~held | (max(map(abs, coefficients), default=0.0) > _FLOAT32_MOST)


def sum_differences(A: Any, B: Any, term: Callable[[Any, Any], Any]) -> Any:
    """Sum a term of two values over features, between the rows of A and B on a device."""
    xp = get_namespace(A, B)
    n_batch = max(1, _DIFFERENCES_RUN // max(1, B.shape[0] * B.shape[1]))
    batches = (A[rows, :] for rows in gen_batches(A.shape[0], n_batch))
    return xp.concat([xp.sum(term(a[:, None, :], B[None, :, :]), axis=2) for a in batches])
