"""Classification problems on which rounding matters, and exact arithmetic to hold them against."""

from itertools import combinations

import numpy as np

EXACT = np.longdouble


def hard_problem(seed):
    """Make samples, labels, and C and gamma."""
    rng = np.random.default_rng(seed)
    n, d = int(rng.integers(6, 160)), int(rng.integers(1, 30))
    k = min(int(rng.integers(2, 6)), n // 2)
    X, y = rng.normal(size=(n, d)), rng.integers(0, k, n)
    y[: 2 * k] = np.repeat(np.arange(k), 2)
    match rng.integers(0, 6):
        case 1:
            X[n // 2 :] = X[: n - n // 2]
        case 2:
            X[:, 0] = 1.0
        case 3:
            X += 10 ** rng.uniform(0, 7)
        case 4:
            X[rng.integers(0, n)] *= 10 ** rng.uniform(1, 8)
        case 5:
            X = np.round(X)
    X = X * 10 ** rng.uniform(-30, 30)
    C, gamma = 10 ** rng.uniform(-8, 8), "scale"
    kind = rng.integers(0, 3)
    if kind == 1 and X.var() > 0:
        gamma = 10 ** rng.uniform(-8, 8) / (d * X.var())
    elif kind == 2:
        gamma = 10 ** rng.uniform(-8, 60)
    return X.astype(rng.choice([np.float32, np.float64])), y, {"C": C, "gamma": gamma}


def exact_decisions(model, X):
    """Compute the decision values of each pair, in LIBSVM's sign, from a model's coefficients."""
    K = _kernel(X, model.support_vectors_, model._gamma)
    ends = np.cumsum(model.n_support_)
    rows = [slice(end - n, end) for end, n in zip(ends, model.n_support_, strict=True)]
    coef = model.dual_coef_.astype(EXACT)
    values = [
        K[:, rows[a]] @ coef[b - 1, rows[a]] + K[:, rows[b]] @ coef[a, rows[b]]
        for a, b in combinations(range(len(rows)), 2)
    ]
    return np.stack(values, axis=1) + model.intercept_.astype(EXACT)


def exact_gaps(model, X, y):
    """Compute the KKT gap of each pair from a model's coefficients."""
    k = len(model.classes_)
    coef = np.zeros((k - 1, len(X)), dtype=EXACT)
    coef[:, model.support_] = model.dual_coef_ if k > 2 else -model.dual_coef_
    gaps = []
    for a, b in combinations(range(k), 2):
        in_a, in_b = (np.flatnonzero(y == model.classes_[c]) for c in (a, b))
        beta = np.append(coef[b - 1, in_a], coef[a, in_b])
        signs = np.repeat([1.0, -1.0], [len(in_a), len(in_b)])
        Z = X[np.append(in_a, in_b)]
        v = signs - _kernel(Z, Z, model._gamma) @ beta
        rising = beta < np.where(signs > 0, model.C, 0.0)
        falling = beta > np.where(signs > 0, 0.0, -model.C)
        gaps.append(max(0.0, float(v[rising].max() - v[falling].min())))
    return np.array(gaps)


def _kernel(A, B, gamma):
    A, B = A.astype(EXACT), B.astype(EXACT)
    return np.exp(-EXACT(gamma) * ((A[:, None] - B) ** 2).sum(axis=2))
