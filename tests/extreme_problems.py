"""Problems at the ends of what numbers can be, held against LIBSVM and exact arithmetic.

The docstring of parity.py derives what two solutions may differ by, if their KKT gaps are g_1 and
g_2 and |beta_1 - beta_2|_1 is D: each objective exceeds the other by at most g D / 2 of its own
gap, decision values differ by at most 2 r + g_1 + g_2, where r^2 = (g_1 + g_2) D / 2.  Here the
gaps are those of exact arithmetic, so that nothing is left for kernel values; rounding in
prediction is added, and the interval that is left to an intercept where all coefficients are at
their bounds.

LIBSVM keeps kernel values in float32 and computes distances by products, so it may stop at
solutions that are none.  Its gap in exact arithmetic tells, and these are not compared.
"""

import re
import warnings
from dataclasses import dataclass

import numpy as np
import pytest
from hard_problems import EXACT, exact_decisions
from parity import is_certain
from problems import Problem
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import SVC

from svmcifar import RBFSVC
from svmcifar.errors import MemoryLimitError

# Values of differences between samples, which exact arithmetic takes one by one.
_MOST_DIFFERENCES = 2e7
_LIBSVM_TOL = 1e-6
# Of all pairs, and of one.
_STEPS, _STEPS_OF_PAIR = 10_000_000, 200_000
# Of values of float64 relative to the sum of coefficients.
_ROUNDING = 1e-15
_SPOILS = (
    "samples", "new samples", "labels", "weights", "one class", "parameters", "squares",
)  # fmt: skip


@dataclass(frozen=True)
class Extreme:
    """A problem, what is asked of its fit, and what makes it none, if anything."""

    problem: Problem
    tol: float
    max_iter: int
    tight: bool  # whether it gets the least memory that does
    spoil: str | None


def extreme_problem(seed):
    """Make a problem of 2 to 200 classes and 1 to 5,000 features, of any scale, C and gamma."""
    rng = np.random.default_rng([seed, 2000])
    k, d = round(2 * 100 ** rng.random() ** 3), round(5000 ** rng.random() ** 1.5)
    most = max(2 * k, int(min(np.sqrt(_MOST_DIFFERENCES / d), 1100)))
    sizes = _sizes(rng, k, most)
    y = rng.permutation(np.repeat(np.arange(k), sizes))
    spread = 10 ** rng.uniform(-2, 1) * (rng.random() < 0.8)
    X = rng.normal(size=(k, d))[y] * spread + rng.normal(size=(len(y), d))
    for _ in range(rng.integers(0, 3)):
        X = _distorted(rng, X)
    Z = X[rng.integers(len(X), size=12)] * rng.choice([1.0, 1.0, 0.0, 1.5, 1e3], 12)[:, None]
    scale = 10 ** rng.uniform(-30, 30) if rng.random() < 0.6 else 1.0
    dtype = rng.choice([np.float32, np.float64])
    with np.errstate(over="ignore"):
        X, Z = ((A * scale).astype(dtype) for A in (X, Z))
    X, Z = (np.clip(A, -1e37, 1e37) for A in (X, Z))
    params = {"C": 10 ** rng.uniform(-8, 8), "gamma": _gamma(rng, X)}
    weight = None
    match rng.integers(0, 6):
        case 0:
            weight = 10 ** rng.uniform(-3, 3, len(y))
            weight[(rng.random(len(y)) < 0.1) & (np.array(sizes)[y] > 20)] = 0.0
        case 1:
            params["class_weight"] = "balanced"
        case 2:
            params["class_weight"] = {0: 1e3, k - 1: 1e-3}
    return Extreme(
        Problem(X, y, Z, weight, params),
        max_iter=min(_STEPS_OF_PAIR, _STEPS // (k * (k - 1) // 2)),
        tol=float(rng.choice([1e-3, 1e-3, 1e-6])),
        tight=rng.random() < 0.15,
        spoil=str(rng.choice(_SPOILS)) if rng.random() < 0.08 else None,
    )


def _sizes(rng, k, most):
    """Draw the samples of each class, `most` in all or less."""
    match rng.integers(0, 4):
        case 0:
            return np.ones(k, dtype=int)
        case 1:
            large = min(1000, most - k)
            return np.where(np.arange(k) == rng.integers(k), max(large, 1), 1)
        case 2:
            return rng.integers(1, max(2, min(2 * most // k, 60)), k)
    return np.full(k, max(1, min(most // k, 30)))


def _distorted(rng, X):
    n, d = X.shape
    match rng.integers(0, 10):
        case 0:  # duplicates, of other labels too
            return X[rng.integers(0, max(1, n // 2), n)]
        case 1:
            return X + (rng.random(d) < 0.5) * 10 ** rng.uniform(0, 8)
        case 2:
            return np.where(rng.random(d) < 0.5, 1.0, X)
        case 3:
            return np.broadcast_to(X[:1], X.shape)  # nothing to tell samples by
        case 4:
            return np.round(X)
        case 5:
            return (
                X * np.where(np.arange(n) == rng.integers(n), 10 ** rng.uniform(1, 8), 1)[:, None]
            )
        case 6:
            return X * 10 ** rng.uniform(-8, 8, d)
        case 7:
            return np.where(rng.random(X.shape) < 0.9, 0.0, X)
        case 8:  # twins that float32 can hardly tell apart
            return X[np.arange(n) // 2 * 2] * (1 + 1e-7 * rng.normal(size=X.shape))
    return X / np.maximum(np.abs(rng.normal(size=X.shape)), 1e-6)


def _gamma(rng, X):
    match rng.integers(0, 4):
        case 0:
            return "scale"
        case 1:
            return "auto"
        case 2:
            return 10 ** rng.uniform(-8, 4)
    variance = X.astype(np.float64).var()
    return 10 ** rng.uniform(-8, 4) / (X.shape[1] * variance if variance > 0 else 1.0)


def hold(seed):
    """Assert that a problem is solved, or refused in one line; return what it came to."""
    extreme = extreme_problem(seed)
    if extreme.spoil:
        return f"refused: {_refuse(extreme.problem, extreme.spoil, np.random.default_rng(seed))}"
    problem, tol = extreme.problem, extreme.tol
    model, warned = _fit(extreme)
    ours = Solution(problem, model)
    rounding = 0.8 * tol + _ROUNDING * ours.masses  # eight standard deviations of a tenth

    for (_, _, _, signs, upper), beta in zip(ours.pairs, ours.betas, strict=True):
        assert (signs * beta >= 0).all()
        assert (signs * beta <= upper).all()
        assert abs(beta.sum()) <= 1e-12 * np.abs(beta).sum()
    assert (np.abs(ours.gaps - model.gap_) <= rounding).all()
    assert model.fit_status_ == (model.gap_ > 1.1 * tol).any()
    assert model.fit_status_ or (ours.gaps <= tol + rounding).all()
    assert warned == (model.fit_status_ == 1)

    allowed = ours.masses * rounding / 2 + 1e-12 * np.abs(ours.objectives)
    assert (np.abs(ours.objectives - model.objective_) <= allowed).all()
    assert np.isfinite(ours.values).all()
    assert (ours.errors <= 0.8 * tol + _ROUNDING * ours.masses.max()).all()

    moved = max((np.abs(ours.gaps - model.gap_) - _ROUNDING * ours.masses).max() / tol, 0)
    state = "not converged, and said" if model.fit_status_ else "solved"
    return f"{state}; {_compare(extreme, ours, rounding)}; gaps by {moved:.2f} tol"


class Solution:
    """A fitted model taken apart, in exact arithmetic; gaps below 0 are 0."""

    def __init__(self, problem, model, K=None):
        self.model = model
        self.K = _exact_kernel(problem.X, model._gamma) if K is None else K
        self.pairs = list(problem.pairs())
        self.betas = problem.betas(model)
        self.masses = np.array([np.abs(beta).sum() for beta in self.betas])
        self.gaps, self.objectives = np.zeros((2, len(self.pairs)))
        for p, ((_, _, rows, signs, upper), beta) in enumerate(
            zip(self.pairs, self.betas, strict=True)
        ):
            v = self.gradient(rows, signs, beta)
            self.gaps[p] = max(_gap(v, signs, beta, upper), 0)
            self.objectives[p] = -beta @ (signs + v) / 2
        self.values = problem.decisions(model)
        exact = exact_decisions(model, problem.Z) * (-1 if len(model.classes_) == 2 else 1)
        self.errors = np.abs(self.values - exact).max(axis=0).astype(float)

    def gradient(self, rows, signs, beta):
        """Compute the negative gradient of a pair, in signed coefficients."""
        support = np.flatnonzero(beta)
        return signs - self.K[np.ix_(rows, rows[support])] @ beta[support]


def _gap(v, signs, beta, upper):
    """LIBSVM's rule, as in reference.py."""
    alpha = signs * beta
    may_rise = np.where(signs > 0, alpha < upper, alpha > 0)
    may_fall = np.where(signs > 0, alpha > 0, alpha < upper)
    return v[may_rise].max() - v[may_fall].min()


def _fit(extreme):
    """Fit, in the least memory that does if it is to be tight; return whether it warned."""
    options = {"tol": extreme.tol, "max_iter": extreme.max_iter}
    if extreme.tight:
        try:
            extreme.problem.fit(RBFSVC, memory_limit=1, **options)
        except MemoryLimitError as error:
            options["memory_limit"] = re.search("at least (.*?) for", str(error))[1]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
        model = extreme.problem.fit(RBFSVC, **options)
    assert all(warning.category is ConvergenceWarning for warning in caught), caught
    return model, bool(caught)


def _compare(extreme, ours, rounding):
    """Assert that LIBSVM's solution is within the band of ours, pair by pair, where it is one."""
    problem = extreme.problem
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = problem.fit(SVC, tol=_LIBSVM_TOL, max_iter=extreme.max_iter)
    theirs = Solution(problem, model, ours.K)
    np.testing.assert_allclose(ours.model._gamma, theirs.model._gamma, rtol=1e-12)
    their_rounding = 2.0**-24 * theirs.masses + _ROUNDING * theirs.masses
    # Of its solution, and of its predictions.
    is_right = (theirs.gaps <= _LIBSVM_TOL + 2 * their_rounding) & (
        theirs.errors <= _LIBSVM_TOL + their_rounding.max()
    )
    moved = np.array([np.abs(b - c).sum() for b, c in zip(ours.betas, theirs.betas, strict=True)])
    slack = 1e-12 * (np.abs(ours.objectives) + np.abs(theirs.objectives))
    difference = ours.objectives - theirs.objectives
    gaps = ours.gaps + theirs.gaps
    band = 2 * np.sqrt(gaps * moved / 2) + gaps + rounding + their_rounding + _LIBSVM_TOL
    for p, (_, _, rows, signs, upper) in enumerate(ours.pairs):
        bounded = np.where(signs * ours.betas[p] > upper / 2, signs * upper, 0.0)
        if np.abs(ours.betas[p] - bounded).sum() <= 1e-12 * ours.masses[p]:
            band[p] += max(-_gap(ours.gradient(rows, signs, bounded), signs, bounded, upper), 0)
    assert (difference <= ours.gaps * moved / 2 + slack)[is_right].all()
    assert (-difference <= theirs.gaps * moved / 2 + slack)[is_right].all()
    assert (np.abs(ours.values - theirs.values).max(axis=0) <= band)[is_right].all()
    band[~is_right] = np.inf
    predicted = theirs.model.predict(problem.Z)
    certain = is_certain(predicted, len(theirs.model.classes_), theirs.values, band)
    np.testing.assert_array_equal(ours.model.predict(problem.Z)[certain], predicted[certain])
    state = "LIBSVM did not converge, " if theirs.model.fit_status_ else ""
    return f"{state}{is_right.sum()} of {len(is_right)} pairs held against LIBSVM"


def _refuse(problem, spoil, rng):
    """Assert that a spoilt problem is refused, and nothing is fitted; return the first line."""
    X, y, Z, weight = problem.X.copy(), problem.y.astype(float), problem.Z.copy(), None
    params = dict(problem.params)
    bad = rng.choice([np.nan, np.inf, -np.inf])
    match spoil:
        case "samples":
            X[rng.integers(len(X)), rng.integers(X.shape[1])] = bad
        case "new samples":
            Z[rng.integers(len(Z)), rng.integers(X.shape[1])] = bad
        case "labels":
            y[rng.integers(len(y))] = bad
        case "weights":
            weight = np.where(np.arange(len(y)) == rng.integers(len(y)), rng.choice([bad, -1]), 1.0)
        case "one class":
            y[:] = 7
        case "parameters":
            params[str(rng.choice(["C", "gamma"]))] = float(rng.choice([np.nan, -np.inf, 0, -1]))
        case "squares":
            X = X.astype(np.float64) / np.abs(X).max() * 1e200 if X.any() else X + 1e200
    model = RBFSVC(**params)
    if spoil == "new samples":
        model.fit(X, y)
    with pytest.raises(ValueError, match=r"\S") as caught:
        model.decision_function(Z) if spoil == "new samples" else model.fit(X, y, weight)
    assert spoil == "new samples" or not [name for name in vars(model) if name.endswith("_")]
    return str(caught.value).splitlines()[0]


def _exact_kernel(X, gamma):
    """Compute kernel values in exact arithmetic, a row at a time."""
    A = X.astype(EXACT)
    squares = np.stack([((A - row) ** 2).sum(axis=1) for row in A])
    return np.exp(-EXACT(gamma) * squares)
