"""Checks of the input of `SVC`."""

from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import assert_all_finite, check_consistent_length, column_or_1d
from sklearn.utils.validation import _check_sample_weight, validate_data

from svmcifar.compute.arrays import get_namespace, is_host, sklearn_dispatch, to_host
from svmcifar.errors import InputError

# Largest mean squared norm for which no squared distance can overflow float64.
_MOST_SQ_NORM = 1e290

# Parameters of kernels: "rbf" has no degree and no coef0, so the defaults stand for none.
_OF_RBF = {"kernel": "rbf", "degree": 3, "coef0": 0.0}

# Largest kernel value whose multiples the solvers can hold.
_MOST_KERNEL_VALUE = 1e100

Array = NDArray[Any]


def require_rbf(**parameters: Any) -> None:
    """Raise InputError if one of the parameters of kernels has another value than for "rbf"."""
    for name, value in parameters.items():
        only = _OF_RBF[name]
        if not (isinstance(value, str | Real) and value == only):
            shown = " ".join(repr(value).split())
            raise InputError(
                f"The {name!r} parameter of RBFSVC must be {only!r}. Got {shown} instead. "
                f"Use svmcifar.SVC for other kernels."
            )


def read_training_set(estimator: BaseEstimator, X: Any, y: Any) -> tuple[Any, Array]:
    """Check shapes and types of a training set, and set the estimator's `n_features_in_`.

    Return the samples, float32 or float64, where X is, and the labels on the host.
    """
    if is_host(X) and is_host(y):
        return validate_data(
            estimator, X, y, dtype=[np.float64, np.float32], ensure_all_finite=False, order="C"
        )
    labels = column_or_1d(_to_host_beside(y, X), warn=True)
    assert_all_finite(labels)
    check_consistent_length(X, labels)
    xp = get_namespace(X)
    with sklearn_dispatch(X):
        types = [xp.float64, xp.float32]
        return validate_data(estimator, X, dtype=types, ensure_all_finite=False), labels


def read_samples(estimator: BaseEstimator, X: Any, dtype: np.dtype) -> Any:
    """Check samples to predict, and return them as `dtype` where they are."""
    if is_host(X):
        return validate_data(estimator, X, reset=False, dtype=dtype, order="C")
    with sklearn_dispatch(X):
        return validate_data(estimator, X, reset=False, dtype=getattr(get_namespace(X), dtype.name))


def read_sample_weight(sample_weight: Any, X: Any, labels: Array) -> NDArray[np.float64]:
    """Check sample weights, on the host or where X is; ones if there are none."""
    if sample_weight is None:
        return np.ones(len(labels))
    weight = _to_host_beside(sample_weight, X)
    if not np.asarray(weight).any():
        raise InputError(
            "Invalid input - all samples have zero or negative weights. Got 0 alone. "
            "Give weight to samples of at least two classes."
        )
    return _check_sample_weight(weight, labels, dtype=np.float64, ensure_non_negative=True)


def _to_host_beside(values: Any, X: Any) -> Any:
    """Return labels or weights on the host; raise if they are on another device than X."""
    if is_host(values):
        return values
    get_namespace(values, X)
    return to_host(values)


def require_finite(X: Array, mean_sq_norm: float) -> None:
    """Raise if samples have NaN or infinite values, or distances that float64 cannot hold.

    X itself is searched only if the mean squared norm of its rows shows that something is wrong.
    """
    if mean_sq_norm < _MOST_SQ_NORM:
        return
    X = to_host(X)
    bad = ~np.isfinite(X)
    if not bad.any():
        raise InputError(
            f"The dual coefficients or intercepts are not finite unless X has squares that float64 "
            f"can hold. Got values up to {np.abs(X).max():.3g}. Scale it down."
        )
    row, column = np.argwhere(bad)[0]
    value = "NaN" if np.isnan(X[row, column]) else "inf"
    raise InputError(
        f"Input X of an SVM must be finite. Got {value} in row {row}, column {column} "
        f"({bad.any(axis=1).sum()} of {len(X)} rows have NaN or inf). Remove or impute them."
    )


def require_kernel_values(name: str, largest: float) -> None:
    """Raise if kernel values, up to the `largest`, are too large."""
    if not largest <= _MOST_KERNEL_VALUE:
        raise InputError(
            f"Values of the kernel {name!r} must be at most {_MOST_KERNEL_VALUE:g}. "
            f"Got {largest:.3g}. Scale X down, or take a smaller gamma or degree."
        )


def require_odd_features(n_odd: int, n_features: int, kernel: str) -> None:
    """Raise if there cannot be so many features that mirroring negates."""
    if not (isinstance(n_odd, Integral) and 0 <= n_odd <= n_features):
        raise InputError(
            f"The features that mirroring negates must be from 0 to {n_features}, all there are. "
            f"Got n_odd={n_odd!r} instead."
        )
    if n_odd and kernel != "rbf":
        raise InputError(
            f"Mirror images can be implied with the kernel 'rbf' alone. Got n_odd={n_odd} with the "
            f"kernel {kernel!r}. Give them as samples of their own."
        )


def require_square(X: Any) -> None:
    """Raise if precomputed kernel values of a training set are not square."""
    if X.shape[0] != X.shape[1]:
        raise InputError(
            f"Precomputed kernel values must be a square matrix, all training samples against all. "
            f"Got the shape {tuple(X.shape)}. Give kernel(X, X)."
        )


def require_nonnegative(X: Any, kernel: str) -> None:
    """Raise if samples have negative values, which a kernel of histograms does not take."""
    least = float(get_namespace(X).min(X))
    if least < 0:
        raise InputError(
            f"Negative values in data passed to an SVM with the kernel {kernel!r}, which must have "
            f"none. Got {least:g}. Take features such as histograms, and do not centre them."
        )


def require_bounds(upper: Array) -> None:
    """Raise if an upper bound of a dual coefficient is not above zero."""
    if not (upper > 0).all():
        raise InputError(
            f"C times class weight and sample weight must be above 0 for an SVM. "
            f"Got {upper[~(upper > 0)][0]:g}. Leave out classes that are to have no weight."
        )


def require_classes(classes: Array, kept: Array) -> None:
    """Raise if fewer than two classes are kept: those with a sample of positive weight."""
    if len(kept) >= 2:
        return
    if len(classes) < 2:
        raise InputError(
            f"An SVM needs samples of at least two classes. Got 1 class: {classes[0]}."
        )
    raise InputError(
        f"An SVM needs samples of positive weight in at least two classes. "
        f"Got them in 1 of {len(classes)}: {classes[kept[0]]}. Give weight to others."
    )
