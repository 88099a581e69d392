"""Platt's sigmoids: a pair's decision values to the probability of its first class.

The probability is ``1 / (1 + exp(A f + B))`` for a decision value f, with LIBSVM's A and B.
"""

import numpy as np
from numpy.typing import NDArray

from svmcifar.compute.jit import njit
from svmcifar.compute.threads import run_tasks, worker_pool

FloatArray = NDArray[np.float64]

# Newton stops where the decrease that it expects of the loss of a sample is below this: the step
# that follows it is exact to rounding.
_LEAST_DECREASE = 1e-10
_MOST_STEPS = 100
_SHORTEST_STEP = 1e-10
# Its product with a decision value of 0 is one, whatever factor it gets.
_MOST_SLOPE = 1e307


def fit_sigmoids(
    decisions: FloatArray, weight: FloatArray, starts: NDArray[np.intp], n_workers: int
) -> tuple[FloatArray, FloatArray]:
    """Fit the sigmoid of each pair of classes.

    Parameters
    ----------
    decisions : ndarray of shape (n_classes - 1, n_samples)
        Decision values of each sample for the pairs of its class, in LIBSVM's layout and sign
        (see `svmcifar.svm.one_vs_one`); samples are sorted by class.
    weight : ndarray of shape (n_samples,)
        How often each sample counts, >= 0.
    starts : ndarray of shape (n_classes + 1,)
        Class c is the samples ``starts[c]`` to ``starts[c + 1] - 1``.
    n_workers : int
        Threads; the result does not depend on it.

    Returns
    -------
    A, B : ndarray of shape (n_pairs,)
        A is never above 0: a larger decision value never makes its class less likely.  Where
        decisions say nothing, or the contrary, it is 0, and B the odds of the classes.

    References
    ----------
    H.-T. Lin, C.-J. Lin and R. C. Weng, "A note on Platt's probabilistic outputs for support
    vector machines", Machine Learning 68 (2007), 267-276.
    """
    n_classes = len(starts) - 1
    A = np.empty(n_classes * (n_classes - 1) // 2)
    B = np.empty(len(A))
    with worker_pool(n_workers) as pool:
        tasks = ((decisions, weight, starts, a, A, B) for a in range(n_classes - 1))
        run_tasks(pool, _fit_pairs_of_class, tasks, lambda _: None)
    return A, B


@njit(nogil=True, cache=True, error_model="numpy")
def fit_sigmoid(decisions, weight, n_first):  # type: ignore[no-untyped-def]
    """Return A and B of one pair; the first `n_first` samples are those of its first class."""
    of_first, of_second = weight[:n_first].sum(), weight[n_first:].sum()
    total = of_first + of_second
    target = np.full(len(decisions), 1.0 / (of_second + 2.0))
    target[:n_first] = (of_first + 1.0) / (of_first + 2.0)
    share = (weight * target).sum() / total if total > 0.0 else 0.5
    B = np.log((1.0 - share) / share)
    # Newton works on values around 0 of size 1, whatever the unit of the decisions.
    size = np.abs(decisions).max()
    if size == 0.0 or total == 0.0:
        return 0.0, B
    f = decisions / size
    center = (weight * f).sum() / total
    f -= center
    spread = np.abs(f).max()
    if spread < 1e-12:
        return 0.0, B
    f /= spread
    # With the best B for A = 0, the slope in A tells the sign of the best A: the loss is convex.
    slope, A = (weight * f * (target - share)).sum(), 0.0
    if slope <= 1e-12 * total:
        return 0.0, B
    loss, g_A, g_B, h_AA, h_AB, h_BB = _loss(f, target, weight, A, B)
    for _ in range(_MOST_STEPS):
        ridge = 1e-12 * total
        determinant = (h_AA + ridge) * (h_BB + ridge) - h_AB * h_AB
        step_A = -((h_BB + ridge) * g_A - h_AB * g_B) / determinant
        step_B = -((h_AA + ridge) * g_B - h_AB * g_A) / determinant
        decrease = -(g_A * step_A + g_B * step_B)
        if decrease <= _LEAST_DECREASE * total:
            A, B = A + step_A, B + step_B
            break
        length = 1.0
        while length >= _SHORTEST_STEP:
            values = _loss(f, target, weight, A + length * step_A, B + length * step_B)
            if values[0] < loss - 1e-4 * length * decrease:
                break
            length /= 2.0
        else:
            break
        A, B = A + length * step_A, B + length * step_B
        loss, g_A, g_B, h_AA, h_AB, h_BB = values
    B -= A * center / spread
    return max(min(A, 0.0) / spread / size, -_MOST_SLOPE), B


@njit(inline="always")
def _loss(f, target, weight, A, B):  # type: ignore[no-untyped-def]
    """Return the cross-entropy at (A, B), its gradient and its second derivatives."""
    loss = g_A = g_B = h_AA = h_AB = h_BB = 0.0
    for i in range(len(f)):
        z = A * f[i] + B
        e = np.exp(-abs(z))
        p = e / (1.0 + e) if z >= 0.0 else 1.0 / (1.0 + e)
        loss += weight[i] * (target[i] * z + max(-z, 0.0) + np.log1p(e))
        d = weight[i] * (target[i] - p)
        g_A += f[i] * d
        g_B += d
        h = weight[i] * p * (1.0 - p)
        h_AA += f[i] * f[i] * h
        h_AB += f[i] * h
        h_BB += h
    return loss, g_A, g_B, h_AA, h_AB, h_BB


@njit(nogil=True, cache=True, error_model="numpy")
def _fit_pairs_of_class(decisions, weight, starts, a, A, B):  # type: ignore[no-untyped-def]
    """Write the sigmoids of the pairs whose first class is `a`."""
    n_classes = len(starts) - 1
    start, stop = starts[a], starts[a + 1]
    number = a * n_classes - a * (a + 1) // 2
    for b in range(a + 1, n_classes):
        in_b = slice(starts[b], starts[b + 1])
        f = np.concatenate((decisions[b - 1, start:stop], decisions[a, in_b]))
        A[number], B[number] = fit_sigmoid(
            f, np.concatenate((weight[start:stop], weight[in_b])), stop - start
        )
        number += 1
