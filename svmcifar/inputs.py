"""What `RBFSVC.fit` asks of its input and of the machine before it starts."""

import os
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray

from svmcifar.errors import InputError

Array = NDArray[Any]


def count_workers(n_jobs: int | None) -> int:
    """Count the threads to work with.

    Parameters
    ----------
    n_jobs : int or None
        As in joblib; None for OMP_NUM_THREADS, or all processors where that
        is not set.

    Returns
    -------
    int
        At least 1.
    """
    if n_jobs is not None:
        return int(joblib.effective_n_jobs(n_jobs))
    configured = os.environ.get("OMP_NUM_THREADS", "")
    return max(int(configured), 1) if configured.isdigit() else int(joblib.cpu_count())


# Largest mean squared norm for which no squared distance can overflow float64.
_MOST_SQ_NORM = 1e290


def require_finite(X: Array, mean_sq_norm: float) -> None:
    """Refuse samples with NaN or infinite values, or with distances that float64 cannot hold.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
    mean_sq_norm : float
        Mean squared norm of the samples; X itself is looked at only if this
        shows that something is wrong.

    Raises
    ------
    InputError
        Naming the first such value and how many rows have one.
    """
    if mean_sq_norm < _MOST_SQ_NORM:
        return
    bad = ~np.isfinite(X)
    if not bad.any():
        raise InputError(
            f"Input X of RBFSVC must have squares that float64 can hold. Got values up to "
            f"{np.abs(X).max():.3g}. Scale it down."
        )
    row, column = np.argwhere(bad)[0]
    value = "NaN" if np.isnan(X[row, column]) else "inf"
    raise InputError(
        f"Input X of RBFSVC must be finite. Got {value} in row {row}, column {column} "
        f"({bad.any(axis=1).sum()} of {len(X)} rows have NaN or inf). Remove or impute them."
    )


def require_bounds(upper: Array) -> None:
    """Refuse upper bounds of dual coefficients that are not above zero.

    Parameters
    ----------
    upper : ndarray of shape (n_samples,)
        C times class weight and sample weight.

    Raises
    ------
    InputError
    """
    if not (upper > 0).all():
        raise InputError(
            f"C times class weight and sample weight must be above 0 for RBFSVC. "
            f"Got {upper[~(upper > 0)][0]:g}. Leave out classes that are to have no weight."
        )


def require_classes(classes: Array, sizes: Array) -> None:
    """Refuse a training set in which a class, or all but one, has no sample to train on.

    Parameters
    ----------
    classes : ndarray of shape (n_classes,)
    sizes : ndarray of shape (n_classes,)
        Samples of positive weight of each class.

    Raises
    ------
    InputError
    """
    if len(classes) < 2:
        raise InputError(
            f"RBFSVC needs samples of at least two classes. Got 1 class: {classes[0]}."
        )
    if (sizes == 0).any():
        empty = classes[sizes == 0]
        raise InputError(
            f"RBFSVC needs a sample of positive weight in every class. "
            f"Got none in class {empty[0]}. Leave such classes out."
        )
