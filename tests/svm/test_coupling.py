"""Against the optimality conditions of the quadratic program, solved as one linear system."""

from itertools import combinations

import numpy as np
import pytest
from scipy.optimize import minimize

from svmcifar.svm.coupling import couple


def pair_matrix(decisions, n_classes):
    """Probabilities r[a, b] of class a among a and b, for A = -1 and B = 0."""
    r = np.full((n_classes, n_classes), 0.5)
    for f, (a, b) in zip(decisions, combinations(range(n_classes), 2), strict=True):
        r[a, b] = min(max(1 / (1 + np.exp(-min(max(f, -700), 700))), 1e-7), 1 - 1e-7)
        r[b, a] = 1 - r[a, b]
    return r


def quadratic_form(r):
    """Q of the sum over pairs of (r[b, a] p[a] - r[a, b] p[b])**2 = p' Q p."""
    Q = -r * r.T
    np.fill_diagonal(Q, (r**2).sum(axis=0) - 0.25)
    return Q


def solve(r):
    """p with Q p the same for all classes and sum 1: a linear system with a multiplier."""
    k = len(r)
    system = np.block([[quadratic_form(r), np.ones((k, 1))], [np.ones((1, k)), np.zeros((1, 1))]])
    return np.linalg.solve(system, np.r_[np.zeros(k), 1.0])[:k]


def coupled(decisions, n_classes, n_workers=1):
    decisions = np.atleast_2d(decisions)
    n_pairs = decisions.shape[1]
    return couple(decisions, np.full(n_pairs, -1.0), np.zeros(n_pairs), n_classes, n_workers)


@pytest.mark.parametrize("scale", [0.1, 1.0, 5.0])
@pytest.mark.parametrize("n_classes", [3, 4, 10, 100])
def test_solves_the_quadratic_program(n_classes, scale):
    rng = np.random.default_rng(n_classes)
    decisions = rng.normal(size=(20, n_classes * (n_classes - 1) // 2)) * scale
    expected = [solve(pair_matrix(f, n_classes)) for f in decisions]
    np.testing.assert_allclose(coupled(decisions, n_classes), expected, rtol=1e-7, atol=1e-12)


def test_no_other_distribution_is_better():
    """By a general solver that knows nothing of the linear system."""
    r = pair_matrix(f := np.array([0.3, -1.2, 2.0, 0.1, 0.7, -0.4]), 4)
    found = minimize(
        lambda p: p @ quadratic_form(r) @ p,
        np.full(4, 0.25),
        bounds=[(0, 1)] * 4,
        constraints={"type": "eq", "fun": lambda p: p.sum() - 1},
        tol=1e-14,
    )
    np.testing.assert_allclose(coupled(f, 4)[0], found.x, rtol=0, atol=1e-6)


@pytest.mark.parametrize("n_classes", [3, 7, 40])
def test_pairs_that_agree_give_back_their_distribution(n_classes):
    p = np.random.default_rng(n_classes).dirichlet(np.ones(n_classes), 10)
    first, second = np.triu_indices(n_classes, 1)
    decisions = np.log(p[:, first] / p[:, second])
    np.testing.assert_allclose(coupled(decisions, n_classes), p, rtol=1e-8)


def test_two_classes_have_the_sigmoid_alone():
    f, A, B = np.linspace(-4, 4, 9), -1.7, 0.3
    p = couple(f[:, None], np.array([A]), np.array([B]), 2, 1)
    np.testing.assert_allclose(p[:, 0], 1 / (1 + np.exp(A * f + B)), rtol=1e-15)
    np.testing.assert_array_equal(p[:, 1], 1 - p[:, 0])


def test_classes_in_another_order_keep_their_probabilities():
    rng, k = np.random.default_rng(0), 9
    full = rng.normal(size=(k, k)) * 3
    full -= full.T
    order = rng.permutation(k)
    upper = np.triu_indices(k, 1)
    p, q = coupled(full[upper], k)[0], coupled(full[np.ix_(order, order)][upper], k)[0]
    np.testing.assert_allclose(q, p[order], rtol=1e-8)


@pytest.mark.parametrize("n_classes", [2, 3, 30])
def test_extreme_decisions_give_a_distribution(n_classes):
    n_pairs = n_classes * (n_classes - 1) // 2
    rng = np.random.default_rng(1)
    values = np.array([1e300, -1e300, 0.0, -0.0, 1e-300, 1.0, 1e308, -1e308])
    decisions = np.vstack([values[rng.integers(len(values), size=(50, n_pairs))]] * 2)
    decisions[0], decisions[1], decisions[2] = 1e300, -1e300, -0.0
    A = np.where(rng.random(n_pairs) < 0.5, -1e300, -2.0)
    for slope in (A, -np.ones(n_pairs), np.zeros(n_pairs)):
        p = couple(decisions, slope, np.zeros(n_pairs), n_classes, 1)
        assert (p > 0).all()
        np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-14)
    np.testing.assert_allclose(p, 1 / n_classes, rtol=1e-9)  # slope 0, B = 0: nothing is known


def test_a_sure_winner_and_a_circle():
    sure = coupled([50.0, 50.0, 0.0], 3)[0]
    assert sure[0] > 1 - 1e-6
    assert sure[1] == pytest.approx(sure[2], rel=1e-8)
    np.testing.assert_allclose(coupled([50.0, -50.0, 50.0], 3)[0], 1 / 3, rtol=1e-8)


@pytest.mark.parametrize("n_rows", [1, 15, 100])
def test_threads_change_no_bit(n_rows):
    decisions = np.random.default_rng(0).normal(size=(n_rows, 45)) * 3
    alone = coupled(decisions, 10)
    for n_workers in (2, 3, 8):
        np.testing.assert_array_equal(coupled(decisions, 10, n_workers), alone)
    np.testing.assert_array_equal(coupled(decisions[-1], 10)[0], alone[-1])
