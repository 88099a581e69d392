"""Small one-vs-one problems as the CUDA solver takes them, and the CPU solver's answers."""

from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
from onepair import solve_pair
from reference import gap, intercept, objective, rbf

from svmcifar.svm.backends.smo import PairKernel


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

    def whole(self):
        """The kernel matrix as it is, and the tables of where the pairs' blocks are in it."""
        n = len(self.kernel)
        offsets = [
            [self.starts[c] * n + self.starts[d] for c, d in self._blocks(p)] for p in self.pairs
        ]
        return self.kernel.ravel(), self._tables(offsets, np.full((len(self.pairs), 4), n))

    def tiles(self):
        """Each block by itself, in no order and among NaN, and the tables of where they are."""
        parts, places = [], {}
        classes = range(len(self.starts) - 1)
        for c, d in sorted(product(classes, classes), key=lambda cd: (cd[1], -cd[0])):
            padding = (c + 2 * d) % 3
            parts.append(np.full(c + 1, np.nan))
            places[c, d] = sum(map(len, parts)), self.n(d) + padding
            block = self.kernel[np.ix_(self.rows(c), self.rows(d))]
            parts.append(np.pad(block, ((0, 0), (0, padding)), constant_values=np.nan).ravel())
        found = np.array([[places[block] for block in self._blocks(pair)] for pair in self.pairs])
        return np.concatenate(parts).astype(self.kernel.dtype), self._tables(
            found[..., 0], found[..., 1]
        )

    def _blocks(self, pair):
        a, b = pair
        return (a, a), (a, b), (b, a), (b, b)

    def _tables(self, offsets, strides):
        starts = [[self.starts[a], self.starts[b]] for a, b in self.pairs]
        return [np.array(table, dtype=np.int64) for table in (offsets, strides, self.sizes, starts)]

    def solve_on_cpu(self, tol, max_iter=-1):
        answers = []
        for pair in self.pairs:
            aa, ab, ba, bb = (
                self.kernel[np.ix_(self.rows(c), self.rows(d))] for c, d in self._blocks(pair)
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

        The limits suit the simulator, which rounds as the CPU does and takes the same steps.
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
