"""How far rounding may move decision values, and the precision that keeps it below the tolerance.

A decision value is ``f = sum_i beta_i K_i + b``.  Rounding moves K_i by a relative error of
standard deviation r_i (`svmcifar.svm.kernels.kernel.Kernel.rounding`), and each partial sum by half
a unit roundoff u or less.  These errors are independent of each other, so that they add up in
squares:

    sigma^2 = k^2 (sum_i (beta_i r_i)^2 + (u/3 sum_i |beta_i|)^2) + max_i (beta_i r_i)^2

with k, at most 1, the root mean square of kernel values between samples; the last summand is for a
sample that lies on a support vector.  The factor 1/3 of the sums is measured: they are those of a
matrix product over at most `svmcifar.svm.kernels.blocks.BLOCK` support vectors, and these are added
in float64.

Kernels of other sizes than 1 come down to this: if the values of two samples are bounded by the
product of their sizes s (`Kernel.sizes`; the norms, for a linear kernel), errors are relative to
these, and beta_i stands for ``beta_i s_i max_j s_j``: so large may samples be.  Unless errors
become smaller with kernel values, as those of the RBF kernel do, k is 1.

The same holds for the negative gradient of a solution, but that it is kept in float64: there is no
error of sums, and r_i is that of the stored kernel value.

What follows from it: the fastest precision is taken whose sigma is at most a tenth of the tolerance
(`SHARE`).  No error of more than eight sigma has been seen, or is let pass by the tests.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from svmcifar.compute.arrays import is_host, on_device_of, take_rows, to_host
from svmcifar.svm.kernels.blocks import compute_kernel
from svmcifar.svm.kernels.kernel import FloatArray, Kernel, Precision
from svmcifar.svm.one_vs_one import pair_arrays
from svmcifar.svm.samples import sample_blocks

# First column of each class, and the number of columns.
Starts = NDArray[np.integer] | Sequence[int]

# Largest standard deviation of rounding errors, as a share of the tolerance.
SHARE = 0.1
# Largest relative error of kernel values with which a fit begins; its solution is looked at again.
_MOST_AT_FIRST = 2.0**-15
# Samples between which typical kernel values are taken.
_N_TYPICAL = 256
_SUM_SHARE = 1.0 / 3.0
# Of coefficients, of which temporary copies are made.
_ROWS_AT_ONCE = 16


def first_precision(dtype: np.dtype, kernel: Kernel, largest_sq_norm: float) -> Precision:
    """Return the fastest precision that a fit of samples of a dtype may begin with."""
    norms = np.array([largest_sq_norm])
    return next(
        (
            precision
            for precision in Precision
            if (precision != Precision.FLOAT32 or (dtype == np.float32 == kernel.dtype))
            and kernel.at(precision).rounding(norms, precision)[0] <= _MOST_AT_FIRST
        ),
        Precision.EXACT,
    )


def pair_errors(
    coef: FloatArray, starts: Starts, relative: FloatArray, sums: float, typical: float
) -> FloatArray:
    """Return sigma of the decision values of each pair, (n_pairs,).

    `coef`, (n_classes - 1, n), are coefficients in LIBSVM's layout, class c those of the columns
    ``starts[c]`` to ``starts[c + 1] - 1``; `relative`, (n,), are relative errors of kernel values;
    `sums` is the unit roundoff of sums, and `typical` the root mean square of kernel values.
    """
    parts = [
        _row_errors(coef[row : row + _ROWS_AT_ONCE], starts, relative)
        for row in range(0, len(coef), _ROWS_AT_ONCE)
    ]
    largest, squares, total = (np.concatenate(part) for part in zip(*parts, strict=True))
    with np.errstate(over="ignore"):
        a, b = pair_arrays(len(starts) - 1)
        of_values = squares[b - 1, a] + squares[a, b]
        of_sums = _SUM_SHARE * sums * (total[b - 1, a] + total[a, b])
        alone = np.maximum(largest[b - 1, a], largest[a, b])
        return np.sqrt(typical**2 * (of_values + of_sums**2) + alone**2)


def _row_errors(
    coef: FloatArray, starts: Starts, relative: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the largest error, the sum of squared errors and that of coefficients, by class."""
    size = np.abs(coef)
    with np.errstate(invalid="ignore"):
        moved = np.where(size > 0, size * relative, 0.0)  # a relative error may be infinite
    largest = _over_classes(np.maximum, moved, starts)
    with np.errstate(over="ignore"):
        squares = _over_classes(np.add, moved * moved, starts)
        return largest, squares, _over_classes(np.add, size, starts)


def _over_classes(ufunc: np.ufunc, values: FloatArray, starts: Starts) -> FloatArray:
    """Reduce over the columns of each class, zero for classes without any."""
    first, last = np.asarray(starts[:-1]), np.asarray(starts[1:])
    # A column more, for empty classes at the end.
    reduced = ufunc.reduceat(np.pad(values, ((0, 0), (0, 1))), first, axis=1)
    reduced[:, first == last] = 0.0
    return reduced


def doubtful_pairs(
    coef: FloatArray,
    starts: Starts,
    relative: FloatArray,
    sums: float,
    tol: float,
    typical: Callable[[], float],
    sizes: FloatArray | None = None,
) -> NDArray[np.intp]:
    """Return the numbers of the pairs whose decision values rounding may move too much.

    Arguments as for `pair_errors`; `typical` is called if it makes a difference.  `sizes`, (n,),
    are the kernel's bounds of its values, by default 1 (`Kernel.sizes`).
    """
    if sizes is not None and (sizes != 1.0).any():
        coef = coef * (sizes * sizes.max())
    # At first as if all coefficients were of one pair, and as large as the largest.
    n, largest = coef.shape[1], float(max(coef.max(initial=0.0), -coef.min(initial=0.0)))
    if largest * (np.sqrt(n + 1) * float(relative.max(initial=0.0)) + n * sums) <= SHARE * tol:
        return np.empty(0, dtype=np.intp)
    errors = pair_errors(coef, starts, relative, sums, 1.0)
    if (errors > SHARE * tol).any():
        errors = pair_errors(coef, starts, relative, sums, typical())
    return np.flatnonzero(errors > SHARE * tol)


def typical_value(kernel: Kernel, X: Any, center: NDArray[np.floating] | None) -> float:
    """Return the root mean square of kernel values between distinct samples, from a few of them.

    Values are relative to the kernel's bounds (`Kernel.sizes`).  X, (n_samples, n_features), is on
    the host or on a device.  For a kernel whose errors do not become smaller with its values it is
    1.
    """
    if not kernel.has_relative_errors:
        return 1.0
    rows = np.unique(np.linspace(0, X.shape[0] - 1, _N_TYPICAL).astype(np.intp))
    with on_device_of(X):
        some = X[rows] if is_host(X) else to_host(take_rows(X, rows))
    samples = sample_blocks(some.astype(np.float64), center)
    K = np.empty((len(rows), len(rows)))
    compute_kernel(kernel.at(Precision.EXACT), samples, samples, out=K)
    np.fill_diagonal(K, 0.0)
    sizes = kernel.sizes(samples.sq_norms)
    K /= np.outer(sizes, sizes)
    return float(np.sqrt((K * K).sum() / max(1, K.size - len(K))))
