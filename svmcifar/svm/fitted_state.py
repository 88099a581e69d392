"""What a fitted `SVC` holds, checked where it comes from a file."""

from typing import TYPE_CHECKING, Any

import numpy as np

from svmcifar.svm.moments import row_batches
from svmcifar.svm.samples import sample_blocks

if TYPE_CHECKING:
    from svmcifar.svm.estimator import SVC

# How far squared norms may be from those of the samples, which were summed in another way.
_TOLERANCE = 1e-3
_ITEM_SIZES = (4, 8)


def check_fitted_state(svc: "SVC") -> None:
    """Raise ValueError unless parameters and fitted attributes are such as a fit leaves.

    Shapes agree, numbers are finite, coefficients have the signs of their classes, and squared
    norms are those of the support vectors.  An attribute that is missing is an AttributeError.
    """
    svc._validate_params()
    classes = np.asarray(svc.classes_)
    n_classes = len(classes)
    _require(classes.ndim == 1 and n_classes >= 2 and len(np.unique(classes)) == n_classes,
             "classes_")  # fmt: skip
    n_pairs = n_classes * (n_classes - 1) // 2
    n_samples, n_features = svc.shape_fit_
    counts = svc.n_support_
    _require(_is_of(counts, "iu", (n_classes,)) and counts.min() >= 0, "n_support_")
    n_support = int(counts.sum(dtype=np.int64))
    _require(_is_of(svc.support_, "iu", (n_support,)), "support_")
    _require(n_support == 0 or 0 <= svc.support_.min() <= svc.support_.max() < n_samples,
             "support_")  # fmt: skip
    _require_numbers(svc, "dual_coef_", (n_classes - 1, n_support))
    _require_numbers(svc, "intercept_", (n_pairs,))
    _require(bool(np.isfinite(svc.gamma_)) and svc.gamma_ >= 0, "gamma_")
    _require(isinstance(svc.n_odd_, int) and 0 <= svc.n_odd_ <= n_features, "n_odd_")
    _require(svc.n_odd_ == 0 or svc.kernel == "rbf", "n_odd_")
    for name in ("probA_", "probB_"):
        if hasattr(svc, name):
            _require_numbers(svc, name, (n_pairs,))
    _require_numbers(svc, "_support_sq_norms", (n_support,))
    if svc._center is not None:
        _require_numbers(svc, "_center", (n_features,))
    _check_signs(svc)


def check_support_vectors(svc: "SVC") -> None:
    """Raise ValueError unless the support vectors are those of the other fitted attributes."""
    if svc.kernel == "precomputed":
        _require_numbers(svc, "support_vectors_", (0, 0))
        return
    _require_numbers(svc, "support_vectors_", (int(svc.n_support_.sum()), svc.shape_fit_[1]))
    batches = row_batches(
        svc.support_vectors_
    )  # centred all at once they would take twice the room
    sq_norms = np.concatenate([sample_blocks(rows, svc._center).sq_norms for rows in batches])
    _require(np.allclose(sq_norms, svc._support_sq_norms, rtol=_TOLERANCE), "support_vectors_")


def _check_signs(svc: "SVC") -> None:
    """Raise ValueError unless each pair's coefficients have the signs of its classes.

    Row r of the coefficients of class c is of its pair with the r-th of the other classes, in
    which c is the second for r < c (see `svmcifar.svm.one_vs_one`).
    """
    coef = -svc.dual_coef_ if len(svc.classes_) == 2 else svc.dual_coef_
    ends = np.cumsum(svc.n_support_)
    for c, (end, n) in enumerate(zip(ends, svc.n_support_, strict=True)):
        own = coef[:, end - n : end]
        _require((own[:c] <= 0).all() and (own[c:] >= 0).all(), "dual_coef_")


def _require_numbers(svc: "SVC", name: str, shape: tuple[int, ...]) -> None:
    value = getattr(svc, name)
    _require(_is_of(value, "f", shape) and bool(np.isfinite(value).all()), name)


def _is_of(value: Any, kinds: str, shape: tuple[int, ...]) -> bool:
    """Return whether a value is an array of a type that compiled code knows."""
    if not isinstance(value, np.ndarray) or value.shape != shape or not value.dtype.isnative:
        return False
    return value.dtype.kind in kinds and value.dtype.itemsize in _ITEM_SIZES


def _require(condition: "bool | np.bool_", name: str) -> None:
    if not condition:
        raise ValueError(f"{name} must be that of a fitted model")
