"""How a fit went."""

from dataclasses import dataclass

from svmcifar.svm.estimator import RBFSVC


@dataclass(frozen=True)
class FitReport:
    """What a fit came to, for people and model files.

    Attributes
    ----------
    backend : str
    memory_plan : str or None
        None if the backend has its own.
    gamma : float
        The kernel coefficient in use.
    n_samples, n_features, n_pairs : int
    n_iter : int
        SMO steps of all pairs.
    largest_gap : float
        Largest KKT gap of a pair.
    unconverged_pairs : int
        Pairs whose gap is above `tol`.
    n_support : int
    """

    backend: str
    memory_plan: str | None
    gamma: float
    n_samples: int
    n_features: int
    n_pairs: int
    n_iter: int
    largest_gap: float
    unconverged_pairs: int
    n_support: int


def describe_fit(svc: RBFSVC) -> FitReport:
    """Describe the fit of a fitted estimator."""
    return FitReport(
        backend=svc.backend_,
        memory_plan=svc.memory_plan_,
        gamma=svc.gamma_,
        n_samples=svc.shape_fit_[0],
        n_features=svc.shape_fit_[1],
        n_pairs=len(svc.gap_),
        n_iter=int(svc.n_iter_.sum()),
        largest_gap=float(svc.gap_.max()),
        unconverged_pairs=int((svc.gap_ > svc.tol).sum()),
        n_support=int(svc.n_support_.sum()),
    )
