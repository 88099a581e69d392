"""Small one-vs-one problems as the CUDA solver takes them, and the CPU solver's answers."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from onepair import solve_pair
from reference import gap, intercept, objective, rbf

from svmcifar.svm.backends.smo import PairKernel
from svmcifar.svm.backends.smo_cuda import PairTables


@dataclass(frozen=True)
class Pairs:
    """Pairs of classes of one problem; samples are sorted by class, class c from starts[c] on."""

    kernel: np.ndarray
    starts: np.ndarray
    upper: np.ndarray
    pairs: list
    diagonal: np.ndarray | None = None  # None for ones

    @property
    def sizes(self):
        return np.array([[self.n(a), self.n(b)] for a, b in self.pairs])

    def n(self, c):
        return self.starts[c + 1] - self.starts[c]

    def rows(self, c):
        return np.arange(self.starts[c], self.starts[c + 1])

    def samples(self, a, b):
        return np.concatenate([self.rows(a), self.rows(b)])

    def tables(self):
        """Where the pairs' samples are, as the solver takes it."""
        starts = [[self.starts[a], self.starts[b]] for a, b in self.pairs]
        return PairTables(np.array(self.sizes, dtype=np.int64), np.array(starts, dtype=np.int64))

    def solve_on_cpu(self, tol, max_iter=-1):
        answers = []
        for pair in self.pairs:
            a, b = pair
            aa, ab, ba, bb = (
                self.kernel[np.ix_(self.rows(c), self.rows(d))]
                for c, d in ((a, a), (a, b), (b, a), (b, b))
            )
            upper = self.upper[self.samples(*pair)]
            kernel = PairKernel(aa=aa, bb=bb, ab=ab, ba=ba)
            running = np.array([False])
            settings = {"tol": tol, "max_iter": max_iter, "cancelled": running}
            if self.diagonal is not None:
                settings["diagonal"] = self.diagonal[self.samples(*pair)]
            answers.append(solve_pair(kernel, upper, **settings))
        return answers

    def assert_solved(self, solutions, tol, objective_rtol=1e-12, decision_atol=1e-9):
        """Recompute all that the solutions claim, and hold them against the CPU solver's.

        The limits suit kernels compiled for the host, which round as the CPU solver does and take
        the same steps.
        """
        expected = self.solve_on_cpu(tol)
        for (a, b), ours, theirs in zip(self.pairs, solutions, expected, strict=True):
            samples = self.samples(a, b)
            y = np.repeat([1.0, -1.0], [self.n(a), self.n(b)])
            K, upper = np.float64(self.kernel[np.ix_(samples, samples)]), self.upper[samples]
            beta, exact = ours.beta, {"rtol": 1e-9, "atol": 1e-9}
            assert ((y * beta >= 0) & (y * beta <= upper)).all()
            assert abs(beta.sum()) <= 1e-12 * np.abs(beta).sum()
            assert ours.gap <= tol
            true_gap = max(gap(K, y, beta, upper), 0)
            np.testing.assert_allclose(ours.gap, true_gap, rtol=0, atol=1e-11 * max(upper.max(), 1))
            np.testing.assert_allclose(ours.objective, objective(K, y, beta), **exact)
            np.testing.assert_allclose(ours.intercept, intercept(K, y, beta, upper), **exact)
            np.testing.assert_allclose(ours.objective, theirs.objective, rtol=objective_rtol)
            decisions = K @ beta + ours.intercept
            theirs_decisions = K @ theirs.beta + theirs.intercept
            np.testing.assert_allclose(decisions, theirs_decisions, rtol=1e-9, atol=decision_atol)


def assert_identical(ours, theirs):
    """Compare solutions bit for bit."""
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one.beta, other.beta)
        assert one._replace(beta=None) == other._replace(beta=None)


def make_pairs(
    sizes,
    C=1.0,
    *,
    seed=0,
    gamma=0.3,
    period=None,
    duplicates=False,
    weights=False,
    kernel="rbf",
):
    """Draw classes that overlap.

    The kernel is "rbf", "linear" or "indefinite": these two with a diagonal and in float64.
    Samples of a class that are `period` apart are the same; `duplicates` are those of any class.
    """
    rng = np.random.default_rng([seed, *sizes])
    y = np.repeat(np.arange(len(sizes)), sizes)
    X = rng.normal(size=(len(sizes), 3))[y] + rng.normal(size=(len(y), 3))
    if period:
        X = np.concatenate([np.resize(X[y == c][:period], (n, 3)) for c, n in enumerate(sizes)])
    if duplicates:
        X[rng.integers(len(y), size=len(y) // 3)] = X[rng.integers(len(y), size=len(y) // 3)]
    upper = C * (rng.uniform(0.1, 3.0, len(y)) if weights else np.ones(len(y)))
    if kernel == "rbf":
        K = rbf(X, X, gamma).astype(np.float32)
    else:
        K = X @ X.T if kernel == "linear" else np.tanh(X @ X.T - 1.0)
    return Pairs(
        kernel=K,
        starts=np.concatenate([[0], np.cumsum(sizes)]),
        upper=upper,
        pairs=list(combinations(range(len(sizes)), 2)),
        diagonal=None if kernel == "rbf" else np.diag(K).copy(),
    )
