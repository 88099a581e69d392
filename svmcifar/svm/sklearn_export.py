"""A fitted model as scikit-learn's own SVC."""

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import sklearn.svm._classes as sklearn_svm  # its own, also where it has been patched
from sklearn.metrics.pairwise import chi2_kernel, laplacian_kernel

if TYPE_CHECKING:
    from svmcifar.svm.estimator import SVC

# What both estimators have under the same name and in the same form.
_PARAMETERS = (
    "C", "gamma", "tol", "max_iter", "class_weight", "decision_function_shape", "break_ties",
    "shrinking", "cache_size", "random_state", "kernel", "degree", "coef0",
)  # fmt: skip
_ATTRIBUTES = (
    "class_weight_", "classes_", "dual_coef_", "fit_status_", "intercept_", "n_features_in_",
    "n_iter_", "shape_fit_", "support_",
)  # fmt: skip
# Kernels that SVC takes as functions alone.
_FUNCTIONS = {"laplacian": laplacian_kernel, "chi2": chi2_kernel}


def to_sklearn_svc(model: "SVC") -> sklearn_svm.SVC:
    """Build a fitted `sklearn.svm.SVC` with the decision values of a fitted `SVC`.

    It holds float64 support vectors, the only ones that scikit-learn's predicts with.
    """
    svc = sklearn_svm.SVC(**{name: getattr(model, name) for name in _PARAMETERS})
    if model.probability:  # only then: scikit-learn is about to drop the parameter
        svc.probability = True
    # SVC keeps LIBSVM's own signs beside the public ones, which it flips for two classes.
    sign = -1.0 if len(model.classes_) == 2 else 1.0
    svc.__dict__.update(
        {name: getattr(model, name) for name in _ATTRIBUTES},
        _sparse=False,
        _gamma=model.gamma_,
        _effective_probability=model.probability,
        _probA=getattr(model, "probA_", np.empty(0)),
        _probB=getattr(model, "probB_", np.empty(0)),
        _n_support=model.n_support_,
        _num_iter=model.n_iter_,
        _dual_coef_=sign * model.dual_coef_,
        _intercept_=sign * model.intercept_,
        support_vectors_=model.support_vectors_.astype(np.float64),
    )
    if model.kernel in _FUNCTIONS:
        _set_function(svc, model)
    return svc


def _set_function(svc: Any, model: "SVC") -> None:
    """Give SVC a kernel that is a function, whose values it takes as precomputed.

    They are between samples and all of the training set: of that, the support vectors.
    """
    support = svc.support_vectors_
    svc.kernel = partial(_FUNCTIONS[model.kernel], gamma=model.gamma_)
    svc._BaseLibSVM__Xfit = support
    svc.support_ = np.arange(len(support), dtype=np.int32)
    svc.shape_fit_ = support.shape
