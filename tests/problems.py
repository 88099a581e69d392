"""Classification problems, and fitted models taken apart pair by pair."""

from dataclasses import dataclass, field, replace
from itertools import combinations

import numpy as np
from sklearn.svm import SVC

N_PROBLEMS = 57


@dataclass(frozen=True)
class Problem:
    """A training set with its parameters, and samples to predict; labels are 0, 1, ..."""

    X: np.ndarray
    y: np.ndarray
    Z: np.ndarray
    sample_weight: np.ndarray | None = None
    params: dict = field(default_factory=dict)

    def fit(self, estimator, **params):
        return estimator(**self.params, **params).fit(self.X, self.y, self.sample_weight)

    def astype(self, dtype):
        return replace(self, X=self.X.astype(dtype), Z=self.Z.astype(dtype))

    @property
    def kept(self):
        """The samples that have a weight."""
        weight = np.ones(len(self.y)) if self.sample_weight is None else self.sample_weight
        return np.flatnonzero(weight > 0)

    @property
    def upper(self):
        """C times class weight times sample weight, of each sample."""
        sizes = np.bincount(self.y)
        class_weight = self.params.get("class_weight")
        if class_weight == "balanced":
            factors = len(self.y) / (len(sizes) * sizes)
        else:
            factors = np.array([(class_weight or {}).get(c, 1.0) for c in range(len(sizes))])
        upper = self.params.get("C", 1.0) * factors[self.y]
        return upper if self.sample_weight is None else upper * self.sample_weight

    def pairs(self):
        """Yield classes, samples, signs and bounds of each pair, in LIBSVM's order."""
        kept, upper = self.kept, self.upper
        rows_of = [kept[self.y[kept] == c] for c in range(max(self.y) + 1)]
        for a, b in combinations(range(len(rows_of)), 2):
            rows = np.sort(np.concatenate([rows_of[a], rows_of[b]]))
            yield a, b, rows, np.where(self.y[rows] == a, 1.0, -1.0), upper[rows]

    def betas(self, model):
        """Give the signed coefficients of each pair of a fitted model, LIBSVM's sign."""
        # scikit-learn's support_ counts samples of positive weight alone, ours all samples.
        support = self.kept[model.support_] if isinstance(model, SVC) else model.support_
        sign = -1.0 if len(model.classes_) == 2 else 1.0
        coef = np.zeros((len(model.classes_) - 1, len(self.y)))
        coef[:, support] = sign * model.dual_coef_
        return [
            np.where(y > 0, coef[b - 1, rows], coef[a, rows]) for a, b, rows, y, _ in self.pairs()
        ]

    def decisions(self, model):
        """Give the decision values of each pair for Z, LIBSVM's sign."""
        values = model.set_params(decision_function_shape="ovo").decision_function(self.Z)
        return -values[:, None] if values.ndim == 1 else values


def clusters(rng, sizes, d, spread=1.0):
    """Draw a cluster of normal samples for each class; return shuffled samples and labels."""
    y = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    return rng.normal(size=(len(sizes), d))[y] * spread + rng.normal(size=(len(y), d)), y


def training_set(n_classes=3, n=12, d=3, seed=0, dtype=np.float64):
    X, y = clusters(np.random.default_rng(seed), [n] * n_classes, d)
    return X.astype(dtype), y


def random_problem(number):
    """Make problem `number` of `N_PROBLEMS`: 2 to 20 classes, C from 1e-3 to 1e4, float64.

    One in two is unbalanced (down to one sample a class), one in three has duplicates, some of
    them of another class; class weights, sample weights (some zero) and gamma take turns.
    """
    rng = np.random.default_rng([number, 2026])
    n_classes, d = 2 + number % 19, (2, 4, 8, 24)[number // 3 % 4]
    sizes = rng.integers(1, 25, n_classes) if number % 2 else np.full(n_classes, 12)
    X, y = clusters(rng, sizes, d, rng.uniform(0.2, 2))
    if number % 3 == 0:
        X[rng.integers(len(y), size=len(y) // 4)] = X[rng.integers(len(y), size=len(y) // 4)]
    weight = None
    if number % 4 >= 2:
        weight = rng.uniform(0.1, 3.0, len(y))
        weight[(rng.random(len(y)) < 0.1) & (sizes[y] > 20)] = 0.0
    params = {
        "C": 10 ** (7 * (number * 23 % N_PROBLEMS) / (N_PROBLEMS - 1) - 3),
        "gamma": ("scale", "auto", 10 ** rng.uniform(-2, 1) / d)[number // 2 % 3],
        "class_weight": (None, "balanced", {0: 3.0, n_classes - 1: 0.2})[number % 5 % 3],
    }
    return Problem(X, y, X[::2] + rng.normal(size=X[::2].shape), weight, params)
