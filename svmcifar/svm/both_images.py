"""Mirror images that a model implies (`n_odd` of `SVC.fit`), written out."""

import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from svmcifar.compute.arrays import get_namespace

if TYPE_CHECKING:
    from svmcifar.svm.estimator import SVC


def with_mirror_rows(X: Any, n_odd: int) -> Any:
    """Return samples each followed by its mirror image, whose last `n_odd` features are negated."""
    xp, n_even = get_namespace(X), X.shape[1] - n_odd
    rows = xp.repeat(X, 2, axis=0)
    rows[1::2, n_even:] = -X[:, n_even:]
    return rows


def with_mirror_images(svc: "SVC") -> "SVC":
    """Return a fitted model with the same decision values that implies no mirror images.

    It is of the plain RBF kernel, which other programs know: each support vector is followed by its
    mirror image, as in a training set of twice as many rows.  Another model is returned itself.
    """
    if not svc.n_odd_:
        return svc
    whole = copy.copy(svc)
    del whole.n_odd_
    places = np.repeat(2 * svc.support_, 2)
    places[1::2] += 1
    whole.__dict__.update(
        support_vectors_=with_mirror_rows(svc.support_vectors_, svc.n_odd_),
        support_=places,
        n_support_=2 * svc.n_support_,
        dual_coef_=np.repeat(svc.dual_coef_, 2, axis=1),
        objective_=2 * svc.objective_,
        shape_fit_=(2 * svc.shape_fit_[0], svc.shape_fit_[1]),
        _support_sq_norms=np.repeat(svc._support_sq_norms, 2),
    )
    return whole
