"""A fitted model as scikit-learn's own SVC."""

from typing import Any

import numpy as np
from sklearn.svm import SVC


def to_sklearn_svc(model: Any) -> SVC:
    """Build a fitted `sklearn.svm.SVC` with the decision values of a fitted `RBFSVC`.

    It holds float64 support vectors, the only ones that SVC predicts with.
    """
    svc = SVC(
        C=model.C,
        gamma=model.gamma,
        tol=model.tol,
        max_iter=model.max_iter,
        class_weight=model.class_weight,
        decision_function_shape=model.decision_function_shape,
        break_ties=model.break_ties,
    )
    # SVC keeps LIBSVM's own signs beside the public ones, which it turns for two classes.
    sign = -1.0 if len(model.classes_) == 2 else 1.0
    svc.__dict__.update(
        _sparse=False,
        _gamma=model.gamma_,
        _probA=np.empty(0),
        _probB=np.empty(0),
        _n_support=model.n_support_,
        _num_iter=model.n_iter_,
        _dual_coef_=sign * model.dual_coef_,
        _intercept_=sign * model.intercept_,
        class_weight_=model.class_weight_,
        classes_=model.classes_,
        dual_coef_=model.dual_coef_,
        fit_status_=model.fit_status_,
        intercept_=model.intercept_,
        n_features_in_=model.n_features_in_,
        n_iter_=model.n_iter_,
        shape_fit_=model.shape_fit_,
        support_=model.support_,
        support_vectors_=model.support_vectors_.astype(np.float64),
    )
    return svc
