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


def require_finite(X: Array) -> None:
    """Refuse samples with NaN or infinite values.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)

    Raises
    ------
    InputError
        Naming the first such value and how many rows have one.
    """
    bad = ~np.isfinite(X)
    if not bad.any():
        return
    row, column = np.argwhere(bad)[0]
    value = "NaN" if np.isnan(X[row, column]) else "inf"
    raise InputError(
        f"Input X of RBFSVC must be finite. Got {value} in row {row}, column {column} "
        f"({bad.any(axis=1).sum()} of {len(X)} rows have NaN or inf). Remove or impute them."
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
            f"RBFSVC needs samples of at least two classes. Got 1 class: {classes[0]!r}."
        )
    if (sizes == 0).any():
        empty = classes[sizes == 0]
        raise InputError(
            f"RBFSVC needs a sample of positive weight in every class. "
            f"Got none in class {empty[0]!r}. Leave such classes out."
        )
