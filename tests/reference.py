"""Slow and plain: what the solver's answers are measured against.

Nothing here is shared with the package.  Kernels, duals, gaps and votes are written out from
their definitions; `enumerate_dual` finds the optimum of a tiny dual by trying every set of
free and bounded coefficients.
"""

from dataclasses import dataclass
from itertools import combinations, product

import numpy as np


def rbf(A, B, gamma):
    """``exp(-gamma |a - b|^2)`` in float64, from differences, one row at a time."""
    A, B = np.asarray(A, dtype=np.float64), np.asarray(B, dtype=np.float64)
    K = np.empty((len(A), len(B)))
    for i in range(len(A)):
        K[i] = np.exp(-gamma * np.square(A[i] - B).sum(axis=1))
    return K


def stored(K):
    """Round kernel values to float32, as LIBSVM, and at first the package, keep them."""
    return np.float64(np.float32(K))


def gap(K, y, beta, upper):
    """LIBSVM's ``m(alpha) - M(alpha)`` in signed coefficients ``beta = y alpha``."""
    v = y - K @ beta
    alpha = y * beta
    may_rise = np.where(y > 0, alpha < upper, alpha > 0)
    may_fall = np.where(y > 0, alpha > 0, alpha < upper)
    return v[may_rise].max() - v[may_fall].min()


def objective(K, y, beta):
    """``1/2 alpha' Q alpha - sum(alpha)``, as LIBSVM minimises it."""
    return 0.5 * beta @ K @ beta - y @ beta


def intercept(K, y, beta, upper):
    """The mean of ``y - K beta`` over the free samples, else the middle of its bounds."""
    v, alpha = y - K @ beta, y * beta
    free = (alpha > 0) & (alpha < upper)
    if free.any():
        return v[free].mean()
    rise = np.where(y > 0, alpha < upper, alpha > 0)
    fall = np.where(y > 0, alpha > 0, alpha < upper)
    return (v[rise].max() + v[fall].min()) / 2


def enumerate_dual(K, y, upper):
    """Solve one pair exactly: try every set of zero, bounded and free coefficients.

    An optimum exists at which the equations of the free coefficients have one solution, so
    singular sets are left out.
    """
    n = len(y)
    best, best_value = None, np.inf
    for states in product((0, 1, 2), repeat=n):
        states = np.array(states)
        beta = np.where(states == 1, y * upper, 0.0)
        free = np.flatnonzero(states == 2)
        if len(free):
            # K_FF beta_F + b = y_F - K_FB beta_B  and  sum(beta) = 0
            system = np.ones((len(free) + 1, len(free) + 1))
            system[:-1, :-1] = K[np.ix_(free, free)]
            system[-1, -1] = 0.0
            right = np.append((y - K @ beta)[free], -beta.sum())
            if np.linalg.cond(system) > 1e8:
                continue
            beta[free] = np.linalg.solve(system, right)[:-1]
        alpha = y * beta
        feasible = alpha.min() >= -1e-12 and (alpha - upper).max() <= 1e-12
        if feasible and abs(beta.sum()) < 1e-12 and objective(K, y, beta) < best_value:
            best, best_value = beta, objective(K, y, beta)
    return best


@dataclass(frozen=True)
class Oracle:
    """A one-vs-one model from `enumerate_dual`; labels are 0 to n_classes - 1."""

    X: np.ndarray
    y: np.ndarray
    gamma: float
    pairs: list
    betas: list
    intercepts: list
    objectives: list

    def decisions(self, Z):
        """One column a pair, positive for its first class."""
        K = rbf(Z, self.X, self.gamma)
        values = np.zeros((len(Z), len(self.pairs)))
        for s in range(len(Z)):
            for p, (a, b) in enumerate(self.pairs):
                total = self.intercepts[p]
                rows = np.flatnonzero((self.y == a) | (self.y == b))
                for t, i in enumerate(rows):
                    total += self.betas[p][t] * K[s, i]
                values[s, p] = total
        return values

    def predict(self, Z):
        """Most votes; of those tied, the first."""
        n_classes = max(self.y) + 1
        winners = []
        for row in self.decisions(Z):
            count = [0] * n_classes
            for value, (a, b) in zip(row, self.pairs, strict=True):
                count[a if value > 0 else b] += 1
            winners.append(count.index(max(count)))
        return np.array(winners)


def solve_tiny(X, y, gamma, upper, rounded=stored):
    """Train an `Oracle` on a handful of samples of each class."""
    K = rounded(rbf(X, X, gamma))
    pairs = list(combinations(range(max(y) + 1), 2))
    model = Oracle(X, y, gamma, pairs, [], [], [])
    for a, b in pairs:
        rows = np.flatnonzero((y == a) | (y == b))
        signs = np.where(y[rows] == a, 1.0, -1.0)
        K_pair = K[np.ix_(rows, rows)]
        beta = enumerate_dual(K_pair, signs, upper[rows])
        model.betas.append(beta)
        model.intercepts.append(intercept(K_pair, signs, beta, upper[rows]))
        model.objectives.append(objective(K_pair, signs, beta))
    return model


def float32_kernel_error(gamma, max_sq_norm, d):
    """Bound the error of kernel values whose distances are computed in float32.

    Each of the three terms of the exponent is at most ``2 gamma max|x|^2`` and a few roundings
    of 2^-24 off; the inner product's own roundings add up like the square root of d (blocked
    sums keep the factor small).  The exponential turns that into a relative error.
    """
    return 2.0**-23 * (1 + (3 + np.sqrt(d) / 4) * gamma * max_sq_norm)
