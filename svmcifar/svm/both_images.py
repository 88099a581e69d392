"""A model that implies mirror images (`n_odd` of `SVC.fit`), with them as support vectors."""

import copy
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from svmcifar.svm.estimator import SVC


def with_mirror_images(svc: "SVC") -> "SVC":
    """Return a fitted model with the same decision values that implies no mirror images.

    It is of the plain RBF kernel, which other programs know: each support vector is followed by its
    mirror image, as in a training set of twice as many rows.  Another model is returned itself.
    """
    if not svc.n_odd_:
        return svc
    whole, n_even = copy.copy(svc), svc.shape_fit_[1] - svc.n_odd_
    del whole.n_odd_
    support = np.repeat(svc.support_vectors_, 2, axis=0)
    support[1::2, n_even:] *= -1
    places = np.repeat(2 * svc.support_, 2)
    places[1::2] += 1
    whole.__dict__.update(
        support_vectors_=support,
        support_=places,
        n_support_=2 * svc.n_support_,
        dual_coef_=np.repeat(svc.dual_coef_, 2, axis=1),
        objective_=2 * svc.objective_,
        shape_fit_=(2 * svc.shape_fit_[0], svc.shape_fit_[1]),
        _support_sq_norms=np.repeat(svc._support_sq_norms, 2),
    )
    return whole
