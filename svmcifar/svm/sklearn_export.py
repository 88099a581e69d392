"""A fitted model as scikit-learn's own SVC."""

from typing import TYPE_CHECKING

import numpy as np
from sklearn.svm._classes import SVC  # scikit-learn's own, also where it has been patched

if TYPE_CHECKING:
    from svmcifar.svm.estimator import RBFSVC

# What both estimators have under the same name and in the same form.
_PARAMETERS = (
    "C", "gamma", "tol", "max_iter", "class_weight", "decision_function_shape", "break_ties",
    "shrinking", "cache_size", "random_state",
)  # fmt: skip
_ATTRIBUTES = (
    "class_weight_", "classes_", "dual_coef_", "fit_status_", "intercept_", "n_features_in_",
    "n_iter_", "shape_fit_", "support_",
)  # fmt: skip


def to_sklearn_svc(model: "RBFSVC") -> SVC:
    """Build a fitted `sklearn.svm.SVC` with the decision values of a fitted `RBFSVC`.

    It holds float64 support vectors, the only ones that SVC predicts with.
    """
    svc = SVC(**{name: getattr(model, name) for name in _PARAMETERS})
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
    return svc
