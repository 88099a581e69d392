"""Pairwise coupling: class probabilities from the probabilities of pairs.

With ``r[a, b]`` the probability of class a among a and b, the result is the distribution p that
minimises the sum over pairs of ``(r[b, a] p[a] - r[a, b] p[b])**2``: the second method of Wu, Lin
and Weng, which LIBSVM uses too.

References
----------
T.-F. Wu, C.-J. Lin and R. C. Weng, "Probability estimates for multi-class classification by
pairwise coupling", JMLR 5 (2004), 975-1005.
"""

import numpy as np
from numpy.typing import NDArray

from svmcifar.compute.jit import njit
from svmcifar.compute.threads import run_tasks, worker_pool

FloatArray = NDArray[np.float64]

# LIBSVM's bound of a pair's probability.
LEAST = 1e-7
# The iteration ends where no probability is to change by a larger share of itself.
_PRECISION = 1e-10
_MOST_SWEEPS = 1000
# Fewer samples than this are not worth a thread.
_LEAST_ROWS = 16


def couple(
    decisions: FloatArray, A: FloatArray, B: FloatArray, n_classes: int, n_workers: int
) -> FloatArray:
    """Return class probabilities, (n_samples, n_classes), from pairs' decision values.

    Parameters
    ----------
    decisions : ndarray of shape (n_samples, n_pairs), float64
        In LIBSVM's order and sign (see `svmcifar.svm.one_vs_one`).
    A, B : ndarray of shape (n_pairs,), float64
        The pairs' sigmoids (see `svmcifar.svm.sigmoids`).
    n_classes : int
    n_workers : int
        Threads; the result does not depend on it.
    """
    probabilities = np.empty((len(decisions), n_classes))
    n_rows = max(_LEAST_ROWS, -(-len(decisions) // n_workers))
    parts = [slice(i, i + n_rows) for i in range(0, len(decisions), n_rows)]
    tasks = [(decisions[rows], A, B, probabilities[rows]) for rows in parts]
    if len(tasks) == 1:
        _couple_rows(*tasks[0])
    else:
        with worker_pool(n_workers) as pool:
            run_tasks(pool, _couple_rows, tasks, lambda _: None)
    return probabilities


# The compiled functions stay in one file: see one_vs_one.py.


@njit(inline="always")
def _probability_of_first(decision, A, B):  # type: ignore[no-untyped-def]
    """Return the probability of a pair's first class, within LIBSVM's bounds."""
    z = A * decision + B
    e = np.exp(-abs(z))
    p = e / (1.0 + e) if z >= 0.0 else 1.0 / (1.0 + e)
    return min(max(p, LEAST), 1.0 - LEAST)


@njit(nogil=True, cache=True, error_model="numpy")
def _couple_rows(decisions, A, B, probabilities):  # type: ignore[no-untyped-def]
    """Write the class probabilities of each row of decision values."""
    n_classes = probabilities.shape[1]
    Q = np.empty((n_classes, n_classes))
    Qp = np.empty(n_classes)
    for i in range(len(decisions)):
        if n_classes == 2:
            r = _probability_of_first(decisions[i, 0], A[0], B[0])
            probabilities[i, 0] = r
            probabilities[i, 1] = 1.0 - r
            continue
        for a in range(n_classes):
            Q[a, a] = 0.0
        pair = 0
        for a in range(n_classes):
            for b in range(a + 1, n_classes):
                r = _probability_of_first(decisions[i, pair], A[pair], B[pair])
                Q[a, b] = Q[b, a] = -r * (1.0 - r)
                Q[a, a] += (1.0 - r) * (1.0 - r)
                Q[b, b] += r * r
                pair += 1
        _minimise(Q, probabilities[i], Qp)


@njit(inline="always")
def _minimise(Q, p, Qp):  # type: ignore[no-untyped-def]
    """Write the distribution p that minimises ``p' Q p`` (algorithm 2 of the paper)."""
    n = len(p)
    p[:] = 1.0 / n
    for _ in range(_MOST_SWEEPS):
        pQp = 0.0
        for a in range(n):
            total = 0.0
            for b in range(n):
                total += Q[a, b] * p[b]
            Qp[a] = total
            pQp += p[a] * total
        # Optimal where Qp is the same for all classes.
        largest = 0.0
        for a in range(n):
            largest = max(largest, abs(pQp - Qp[a]) / (Q[a, a] * p[a]))
        if largest <= _PRECISION:
            break
        for a in range(n):
            change = (pQp - Qp[a]) / Q[a, a]
            scale = 1.0 / (1.0 + change)
            p[a] += change
            pQp = (pQp + change * (change * Q[a, a] + 2.0 * Qp[a])) * scale * scale
            for b in range(n):
                Qp[b] = (Qp[b] + change * Q[a, b]) * scale
                p[b] *= scale
    p /= p.sum()
