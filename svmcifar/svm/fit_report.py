"""How a fit went: in numbers, pair by pair, and as a warning."""

import warnings
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from svmcifar.svm.kernels.registry import KERNELS
from svmcifar.svm.one_vs_one import class_pairs
from svmcifar.svm.rounding import SHARE

if TYPE_CHECKING:
    from svmcifar.svm.estimator import SVC


@dataclass(frozen=True)
class FitReport:
    """What a fit came to, for people and model files."""

    backend: str
    memory_plan: str | None  # None if the backend has its own
    gamma: float  # the kernel coefficient in use
    n_samples: int
    n_features: int
    n_pairs: int
    n_iter: int  # SMO steps of all pairs
    largest_gap: float  # largest KKT gap of a pair
    unconverged_pairs: int  # pairs whose gap is above `tol`
    n_support: int  # support vectors
    n_odd: int = 0  # of `SVC.fit`: above 0 if mirror images are implied


def describe_fit(svc: "SVC") -> FitReport:
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
        unconverged_pairs=int(unconverged_pairs(svc).sum()),
        n_support=int(svc.n_support_.sum()),
        n_odd=svc.n_odd_,
    )


def kernel_parameters(svc: "SVC") -> dict[str, float]:
    """Return the parameters that the kernel of a fitted estimator has, gamma as a number."""
    values = {"gamma": svc.gamma_, "degree": svc.degree, "coef0": svc.coef0}
    own = {field.name for field in fields(KERNELS[svc.kernel])}  # type: ignore[arg-type]
    return {name: value for name, value in values.items() if name in own}


def report_pairs(svc: "SVC") -> pd.DataFrame:
    """See `SVC.pair_report`."""
    first, second = np.array(class_pairs(len(svc.classes_))).T
    # pandas can neither select nor group by numbers in another byte order than the machine's.
    classes = svc.classes_.astype(svc.classes_.dtype.newbyteorder("="))
    return pd.DataFrame(
        {
            "class_a": classes[first],
            "class_b": classes[second],
            "n_iter": svc.n_iter_,
            "gap": svc.gap_,
            "objective": svc.objective_,
            "converged": ~unconverged_pairs(svc),
        }
    )


def warn_of_unsolved_pairs(svc: "SVC") -> None:
    """Warn, on behalf of the caller of `SVC.fit`, if pairs have not converged."""
    if n_unsolved := int(unconverged_pairs(svc).sum()):
        warnings.warn(
            f"{n_unsolved} of {len(svc.gap_)} pairs ended with a KKT gap above "
            f"tol={svc.tol:g} (largest {svc.gap_.max():.3g}, max_iter={svc.max_iter}). "
            f"Raise max_iter or tol; pair_report() lists them.",
            ConvergenceWarning,
            stacklevel=4,
        )


def unconverged_pairs(svc: "SVC") -> NDArray[np.bool_]:
    """Return for each pair whether its gap is above `tol`, but for what rounding may take."""
    return svc.gap_ > (1.0 + SHARE) * svc.tol
