"""The same model as scikit-learn's SVC, measured by plain NumPy in float64.

What tol allows.  Let solver i stop at coefficients beta_i with a KKT gap of at most tol on
its own kernel, which is within e_i of K, the float64 kernel rounded to float32 that LIBSVM
trains on.  Write S_i = |beta_i|_1, d = beta_1 - beta_2, D = |d|_1 and v_i = y - K beta_i.

1. Gap.  v moves by at most e_i S_i, so on K the gap is g_i <= tol + 2 e_i S_i.
2. Objective.  It is convex but for K's rounding, u = 2^-25 at most:
   f(beta_1) - f(beta_2) <= v_1'(-d) + u D^2 / 2 <= g_1 D / 2 + u D^2 / 2.
   Relative to f this is 2 tol at worst, because S <= 2 |f| and D <= 2 S at an optimum.
3. Decision values without intercept.  |w_1 - w_2|^2 = d'Kd + u D^2 = d'(v_2 - v_1) + u D^2
   <= r^2 = (g_1 + g_2) D / 2 + u D^2, and |phi(x)| = 1, so they differ by at most r.
4. Intercepts.  b_i is within tol of every v_t, of its own kernel, that binds it from its side.
   If D > 0 some sample may fall at beta_1 and rise at beta_2, or the other way round; hence
   |b_1 - b_2| <= 2 tol + r + u D + e_1 S_1 + e_2 S_2.
   If D = 0 and all coefficients are at their bounds the gap is negative and any b within it
   is optimal; a coefficient that rounding leaves at 1e-18 decides which one LIBSVM takes.

LIBSVM has e = 0.  With float64 samples our e is that rounding to float32, of which pairs that are
solved in float64 are free; with float32 samples it is `reference.float32_kernel_error` (which
test_kernel.py checks), and predicting adds as much again.  These are worst cases: the flat limits
below are tighter, ten times what was measured.
"""

from itertools import combinations

import numpy as np
from reference import float32_kernel_error, gap, objective, stored

_STORED_ERROR = 2.0**-25  # of a kernel value below 1 as float32
_ROUNDING = 1e-12


def rbf_by_products(X, gamma):
    """The kernel in float64, by one matrix product; good to 1e-13 near the origin."""
    X = X.astype(np.float64)
    norms = np.einsum("ij,ij->i", X, X)
    K = X @ X.T
    K *= -2
    K += norms[:, None]
    K += norms
    np.maximum(K, 0, out=K)
    K *= -gamma
    np.exp(K, out=K)
    np.fill_diagonal(K, 1)
    return K


def is_certain(predicted, n_classes, values, band):
    """Tell which predictions stay when each pair's values move by less than its band."""
    sure, possible = np.zeros((2, len(values), n_classes), dtype=int)
    for p, (a, b) in enumerate(combinations(range(n_classes), 2)):
        sure[:, a] += values[:, p] > band[p]
        sure[:, b] += values[:, p] < -band[p]
        possible[:, a] += values[:, p] >= -band[p]
        possible[:, b] += values[:, p] <= band[p]
    votes = np.take_along_axis(sure, predicted[:, None], axis=1)
    others = possible + (np.arange(n_classes) < predicted[:, None])  # they win a tie
    np.put_along_axis(others, predicted[:, None], 0, axis=1)
    return (votes >= others).all(axis=1)


def assert_same_model(problem, ours, theirs, tol, objective_rtol, decision_atol):
    """Assert all that the module's docstring derives, within the flat limits given."""
    gamma = theirs._gamma
    np.testing.assert_allclose(ours.gamma_, gamma, rtol=1e-12)
    assert ours.support_vectors_.dtype == problem.X.dtype
    error = _STORED_ERROR
    if ours._support_sq_norms.dtype == np.float32:
        X = problem.X.astype(np.float64)
        sq_norms = np.square(X if ours._center is None else X - X.mean(axis=0)).sum(axis=1)
        error += float32_kernel_error(gamma, sq_norms.max(), X.shape[1])
    K = stored(rbf_by_products(problem.X, gamma))
    our_values, their_values = problem.decisions(ours), problem.decisions(theirs)
    band = np.empty(their_values.shape[1])
    betas = zip(problem.betas(ours), problem.betas(theirs), strict=True)
    for p, ((_, _, rows, y, upper), (beta, other)) in enumerate(
        zip(problem.pairs(), betas, strict=True)
    ):
        K_pair = K[np.ix_(rows, rows)]
        mass, moved = np.abs(beta).sum(), np.abs(beta - other).sum()
        assert (y * beta >= 0).all()
        assert (y * beta <= upper).all()
        assert abs(beta.sum()) <= _ROUNDING * mass

        allowed_gap = tol + 2 * error * mass
        # LIBSVM's solutions are certified by float64 values.
        assert ours.gap_[p] <= (tol if ours.backend_ != "sklearn" else allowed_gap)
        assert gap(K_pair, y, beta, upper) <= allowed_gap + _ROUNDING * mass
        assert gap(K_pair, y, other, upper) <= tol + _ROUNDING * mass

        mine, reference = objective(K_pair, y, beta), objective(K_pair, y, other)
        allowed = allowed_gap * moved / 2 + _STORED_ERROR * moved**2 / 2
        np.testing.assert_allclose(mine, reference, rtol=10 * _ROUNDING, atol=allowed)
        np.testing.assert_allclose(mine, reference, rtol=objective_rtol)
        # Over kernels that differ by `error` it moves by half of error * S^2.
        np.testing.assert_allclose(ours.objective_[p], mine, rtol=1e-10, atol=error * mass**2 / 2)

        radius = np.sqrt((tol + error * mass) * moved + _STORED_ERROR * moved**2)
        allowed = 2 * (radius + tol + error * mass) + _STORED_ERROR * moved + _ROUNDING * mass
        band[p] = min(allowed, decision_atol)
        bounded = np.where(y * beta > upper / 2, y * upper, 0.0)
        if moved > 0 and np.abs(beta - bounded).sum() <= _ROUNDING * mass:
            band[p] += max(-gap(K_pair, y, bounded, upper), 0)
        np.testing.assert_allclose(our_values[:, p], their_values[:, p], rtol=0, atol=band[p])
    predicted = theirs.predict(problem.Z)
    certain = is_certain(predicted, len(theirs.classes_), their_values, band)
    assert certain.mean() > 0.8
    np.testing.assert_array_equal(ours.predict(problem.Z)[certain], predicted[certain])
