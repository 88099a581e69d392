"""What a model file says of how the model was made."""

from typing import Any

from svmcifar.svm.estimator import RBFSVC


def describe_fit(svc: RBFSVC) -> dict[str, Any]:
    """Describe how a fit went.

    Parameters
    ----------
    svc : RBFSVC
        Fitted.

    Returns
    -------
    dict
        JSON-ready: backend and its memory plan, gamma in use, pairs, SMO steps,
        largest KKT gap, pairs that did not converge, support vectors.
    """
    return {
        "backend": svc.backend_,
        "memory_plan": svc.memory_plan_,
        "gamma": svc.gamma_,
        "n_samples": svc.shape_fit_[0],
        "n_features": svc.shape_fit_[1],
        "n_pairs": len(svc.gap_),
        "n_iter": int(svc.n_iter_.sum()),
        "largest_gap": float(svc.gap_.max()),
        "unconverged_pairs": int((svc.gap_ > svc.tol).sum()),
        "n_support": int(svc.n_support_.sum()),
    }
