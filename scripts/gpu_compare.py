"""What the solvers of `bench_gpu.py` are compared by."""

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

# How far decision values of two solvers may be apart at C = 1 and tol = 1e-3: the limit that
# tests/svm/test_parity.py sets for 5,000 images.
DECISION_BAND = 5e-3
# Decision values that are kept to compare by.
_N_VALUES = 20_000_000


def answers_of(svc: Any, Z: Any) -> dict[str, np.ndarray]:
    """Return what a fitted `RBFSVC` is compared by.

    Returns
    -------
    dict of str to ndarray
        ``predicted``, ``values`` (decision values of all pairs, of as many samples as 20 million
        allow), ``objective``, ``classes``, ``gamma``.
    """
    n = min(len(Z), max(1, _N_VALUES // len(svc.intercept_)))
    return {
        "predicted": svc.predict(Z),
        "values": svc.decision_function(Z[:n]),
        "objective": svc.objective_,
        "classes": svc.classes_,
        "gamma": np.float64(svc.gamma_),
    }


def compare(base: dict, other: dict) -> dict:
    """Set a solver's answers against those of another one.

    Returns
    -------
    dict
        JSON-ready.  Predictions that *stay* are those that no change of decision values by
        less than `DECISION_BAND` turns; they are told of as many samples as have ``values``.
    """
    values = base["values"]
    n = len(values)
    codes = np.searchsorted(base["classes"], base["predicted"][:n])
    stay = is_certain(codes, len(base["classes"]), values, DECISION_BAND)
    differ = other["predicted"] != base["predicted"]
    return {
        "predictions_that_differ": int(differ.sum()),
        "predictions_judged": n,
        "predictions_that_stay": int(stay.sum()),
        "of_these_differ": int((differ[:n] & stay).sum()),
        "decision_band": DECISION_BAND,
        "decision_values_off_by": float(np.abs(other["values"] - values).max()),
        "objective_off_by": float(np.abs(other["objective"] / base["objective"] - 1.0).max()),
    }


def is_certain(
    predicted: np.ndarray, n_classes: int, values: np.ndarray, band: float
) -> np.ndarray:
    """Return which predictions stay when every decision value moves by less than a band.

    Parameters
    ----------
    predicted : ndarray of shape (n_samples,), int
        Places in the list of classes.
    n_classes : int
        At least 3.
    values : ndarray of shape (n_samples, n_pairs)
        Positive for a vote for the pair's first class.
    band : float

    Returns
    -------
    ndarray of shape (n_samples,), bool
    """
    sure, possible = np.zeros((2, len(values), n_classes), dtype=np.int32)
    for p, (a, b) in enumerate(combinations(range(n_classes), 2)):
        sure[:, a] += values[:, p] > band
        sure[:, b] += values[:, p] < -band
        possible[:, a] += values[:, p] >= -band
        possible[:, b] += values[:, p] <= band
    place = predicted[:, None]
    possible += np.arange(n_classes) < place  # they win a tie
    own = np.take_along_axis(sure, place, axis=1)
    np.put_along_axis(possible, place, 0, axis=1)
    return (own >= possible).all(axis=1)


def save(task: dict, answers: dict) -> None:
    """Keep the answers of the backend 'cupy' for the tasks that are compared with it."""
    np.savez(_path(task), **answers)


def load(task: dict) -> dict[str, np.ndarray]:
    """Return the answers of the backend 'cupy' at a task's samples and labels."""
    with np.load(_path(task)) as file:
        return dict(file)


def _path(task: dict) -> Path:
    return Path(task["work"]) / f"cupy-{task['labels']}-{task['n']}.npz"
