"""Small one-vs-one problems as the CUDA solver takes them, and the CPU solver's answers."""

from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from reference import rbf

from svmcifar.backends.smo_cpu import PairKernel, solve_pair


@dataclass(frozen=True)
class Pairs:
    """All pairs of a problem; samples are sorted by class.

    `blocks` gives the kernel of two classes; `flat` is one buffer that holds all of them, and
    ``tables`` is what `PairTables` is made from: offsets, strides, sizes and starts.
    """

    kernel: np.ndarray
    starts: np.ndarray
    upper: np.ndarray
    pairs: list

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
        """The kernel matrix as it is, and where the pairs' blocks are in it."""
        n = len(self.kernel)
        offsets = [
            [self.starts[c] * n + self.starts[d] for c, d in ((a, a), (a, b), (b, a), (b, b))]
            for a, b in self.pairs
        ]
        return self.kernel.ravel(), self._tables(offsets, np.full((len(self.pairs), 4), n))

    def tiles(self):
        """Each block by itself, padded with NaN on all sides, and where the blocks are."""
        flat, places = [np.full(5, np.nan, np.float32)], {}
        n_classes = len(self.starts) - 1
        for c, d in sorted(np.ndindex(n_classes, n_classes), key=lambda cd: (cd[1], -cd[0])):
            padding = (c + 2 * d) % 3
            block = self.kernel[np.ix_(self.rows(c), self.rows(d))]
            places[c, d] = sum(map(len, flat)), self.n(d) + padding
            wide = np.pad(block, ((0, 0), (0, padding)), constant_values=np.nan)
            flat += [wide.ravel(), np.full(c, np.nan, np.float32)]
        found = [[places[cd] for cd in ((a, a), (a, b), (b, a), (b, b))] for a, b in self.pairs]
        offsets, strides = np.moveaxis(np.array(found), 2, 0)
        return np.concatenate(flat), self._tables(offsets, strides)

    def _tables(self, offsets, strides):
        starts = [[self.starts[a], self.starts[b]] for a, b in self.pairs]
        return [np.array(table, dtype=np.int64) for table in (offsets, strides, self.sizes, starts)]

    def solve_on_cpu(self, tol, max_iter=-1):
        return [self._solve_one(a, b, tol, max_iter) for a, b in self.pairs]

    def _solve_one(self, a, b, tol, max_iter):
        aa, bb, ab, ba = (
            self.kernel[np.ix_(self.rows(c), self.rows(d))]
            for c, d in ((a, a), (b, b), (a, b), (b, a))
        )
        upper = self.upper[self.samples(a, b)]
        return solve_pair(PairKernel(aa, bb, ab, ba), upper, tol=tol, max_iter=max_iter)


def make_pairs(sizes, C=1.0, *, seed=0, gamma=0.3, duplicates=False, weights=False):
    """Draw classes that overlap; duplicates are shared between classes."""
    rng = np.random.default_rng([seed, *sizes])
    y = np.repeat(np.arange(len(sizes)), sizes)
    X = rng.normal(size=(len(sizes), 3))[y] + rng.normal(size=(len(y), 3))
    if duplicates:
        X[rng.integers(len(y), size=len(y) // 3)] = X[rng.integers(len(y), size=len(y) // 3)]
    upper = C * (rng.uniform(0.1, 3.0, len(y)) if weights else np.ones(len(y)))
    return Pairs(
        kernel=rbf(X, X, gamma).astype(np.float32),
        starts=np.concatenate([[0], np.cumsum(sizes)]),
        upper=upper,
        pairs=list(combinations(range(len(sizes)), 2)),
    )


def reordered(problem, order):
    """Put the pairs into another order."""
    return replace(problem, pairs=[problem.pairs[k] for k in order])
