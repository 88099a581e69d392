"""What a model file says of how the model was made."""

from typing import Any

import numpy as np

from svmcifar.svm.estimator import RBFSVC


def plain(value: Any) -> Any:
    """Turn NumPy scalars, also in dicts and lists, into Python's own, for JSON."""
    if isinstance(value, dict):
        return {plain(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


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
