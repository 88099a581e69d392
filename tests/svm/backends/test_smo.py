import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onepair import solve_pair
from reference import enumerate_dual, gap, intercept, objective, rbf, solve_tiny, stored
from sklearn.svm import SVC

from svmcifar.svm.backends import smo
from svmcifar.svm.backends.smo import PairKernel, solve_path
from svmcifar.svm.backends.smo_numba import BARRED, GAP, INTERCEPT, N_ITER, end_state
from svmcifar.svm.problem import PairSolution


def signs_of(n_a, n_b):
    return np.repeat([1.0, -1.0], [n_a, n_b])


RUNNING, CANCELLED = np.array([False]), np.array([True])


def solve(K, n_a, upper, tol=1e-6, max_iter=-1, cancelled=RUNNING):
    """Hand a pair's kernel matrix to the solver, in the blocks that it wants."""
    K = K.astype(np.float32)
    blocks = K[:n_a, :n_a], K[n_a:, n_a:], K[:n_a, n_a:], K[n_a:, :n_a]
    kernel = PairKernel(*map(np.ascontiguousarray, blocks))
    return solve_pair(kernel, upper, tol=tol, max_iter=max_iter, cancelled=cancelled)


def assert_solved(solution, K, y, upper, tol):
    """Recompute from scratch everything that the solution claims."""
    beta, mass = solution.beta, np.abs(solution.beta).sum()
    rounding = 1e-13 * max(mass, 1) * max(solution.n_iter, 1)
    assert (y * beta >= 0).all()
    assert (y * beta <= upper).all()
    np.testing.assert_allclose(beta.sum(), 0, atol=1e-14 * max(mass, 1) * len(y))
    assert gap(K, y, beta, upper) <= tol + rounding
    claimed = max(gap(K, y, beta, upper), 0)
    np.testing.assert_allclose(solution.gap, claimed, rtol=0, atol=rounding)
    np.testing.assert_allclose(
        solution.objective, objective(K, y, beta), rtol=1e-12, atol=rounding * mass
    )
    np.testing.assert_allclose(
        solution.intercept, intercept(K, y, beta, upper), rtol=0, atol=rounding
    )


def random_pair(seed, n_a, n_b, gamma=0.5, d=3, duplicates=False):
    """Make the kernel matrix of a pair whose classes overlap, and its signs."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_a + n_b, d))
    X[:n_a] += 0.3
    if duplicates:
        X[rng.integers(len(X), size=len(X) // 2 + 1)] = X[0]
    return stored(rbf(X, X, gamma)), signs_of(n_a, n_b)


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_a=st.integers(1, 15),
    n_b=st.integers(1, 15),
    log_gamma=st.floats(-4, 2),
    log_C=st.floats(-3, 4),
    spread=st.floats(0, 3),
    tol=st.sampled_from([1e-1, 1e-3, 1e-6]),
    duplicates=st.booleans(),
)
def test_solution_is_optimal(seed, n_a, n_b, log_gamma, log_C, spread, tol, duplicates):
    """C differs by up to six orders of magnitude from sample to sample."""
    K, y = random_pair(seed, n_a, n_b, 10**log_gamma, duplicates=duplicates)
    upper = 10 ** (log_C + np.random.default_rng(seed).uniform(-spread, spread, len(y)))
    assert_solved(solve(K, n_a, upper, tol), K, y, upper, tol)


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_a=st.integers(1, 3),
    n_b=st.integers(1, 3),
    log_C=st.floats(-2, 2),
    duplicates=st.booleans(),
)
def test_solution_is_that_of_the_enumeration(seed, n_a, n_b, log_C, duplicates):
    K, y = random_pair(seed, n_a, n_b, duplicates=duplicates)
    upper = 10 ** (log_C + np.random.default_rng(seed).uniform(-1, 1, len(y)))
    best = enumerate_dual(K, y, upper)
    solution = solve(K, n_a, upper, 1e-11)
    np.testing.assert_allclose(solution.objective, objective(K, y, best), rtol=1e-12)
    np.testing.assert_allclose(K @ solution.beta, K @ best, rtol=0, atol=1e-9)
    if not duplicates:
        np.testing.assert_allclose(solution.beta, best, rtol=0, atol=1e-9 * upper.max())


@pytest.mark.parametrize("seed", range(6))
def test_the_enumeration_agrees_with_libsvm(seed):
    rng = np.random.default_rng(seed)
    y = np.repeat([0, 1, 2], [3, 2, 3])
    X, Z = rng.normal(size=(8, 2)), rng.normal(size=(20, 2))
    weight = rng.uniform(0.2, 5, 8)
    oracle = solve_tiny(X, y, 0.7, weight)
    svc = SVC(gamma=0.7, tol=1e-12, decision_function_shape="ovo").fit(X, y, weight)
    np.testing.assert_allclose(oracle.decisions(Z), svc.decision_function(Z), rtol=0, atol=1e-9)
    np.testing.assert_array_equal(oracle.predict(Z), svc.predict(Z))
    dense = np.zeros((2, 8))
    dense[:, svc.support_] = svc.dual_coef_
    for (a, b), beta in zip(oracle.pairs, oracle.betas, strict=True):
        theirs = np.append(dense[b - 1, y == a], dense[a, y == b])
        np.testing.assert_allclose(beta, theirs, rtol=0, atol=1e-9)


@pytest.mark.parametrize("n_a", [1, 255, 256, 257, 513])
@pytest.mark.parametrize("n_b", [1, 256, 300])
def test_sizes_about_the_length_of_a_run(n_a, n_b):
    """The extreme samples, which the solver must not miss, are the last ones of each class."""
    rng = np.random.default_rng(n_a * n_b)
    X = rng.normal(size=(n_a + n_b, 4)) * 0.1
    X[n_a - 1], X[-1] = X[-1] + 0.01, X[n_a - 1] - 0.01
    X[n_a // 2 :] += rng.normal(size=(n_a + n_b - n_a // 2, 4))
    K, y = stored(rbf(X, X, 0.3)), signs_of(n_a, n_b)
    upper = rng.uniform(0.5, 5, len(y))
    solution = solve(K, n_a, upper)
    assert_solved(solution, K, y, upper, 1e-6)
    svc = SVC(kernel="precomputed", tol=1e-6).fit(K, -y, upper)
    theirs = np.zeros(len(y))
    theirs[svc.support_] = -svc.dual_coef_[0]
    np.testing.assert_allclose(solution.objective, objective(K, y, theirs), rtol=1e-9)


@pytest.mark.parametrize("C_a", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("C_b", [0.02, 100.0])
@pytest.mark.parametrize("similarity", [0.0, 0.5, 0.96875])
def test_one_sample_a_class(C_a, C_b, similarity):
    """``max 2 a - a^2 (1 - k)``, ``0 <= a <= C``; where one bound is hit the other one is free."""
    K = np.array([[1, similarity], [similarity, 1]])
    best = min(C_a, C_b, 1 / (1 - similarity))
    solution = solve(K, 1, np.array([C_a, C_b]), 1e-12)
    np.testing.assert_allclose(solution.beta, [best, -best], rtol=1e-12)
    np.testing.assert_allclose(solution.objective, best**2 * (1 - similarity) - 2 * best)
    slack = 1 - best * (1 - similarity)  # v of the first sample, and -v of the second
    expected = -slack if C_a < C_b else slack
    np.testing.assert_allclose(solution.intercept, expected, rtol=0, atol=1e-12)
    assert solution.gap <= 1e-12
    assert solution.n_iter == 1


def test_the_same_sample_in_both_classes():
    """K_ij = 1: no curvature between them, so the step ends at a bound."""
    solution = solve(np.ones((4, 4)), 2, np.array([1.0, 2.0, 4.0, 8.0]))
    np.testing.assert_allclose(np.abs(solution.beta).sum(), 6)
    np.testing.assert_allclose(solution.objective, -6)
    assert solution.gap == 0


@pytest.mark.parametrize("max_iter", [1, 2, 7, 40])
def test_max_iter_is_kept_and_told(max_iter):
    K, y = random_pair(0, 40, 30)
    upper = np.full(70, 10.0)
    assert solve(K, 40, upper).n_iter > 40
    solution = solve(K, 40, upper, max_iter=max_iter)
    assert solution.n_iter == max_iter
    assert solution.gap > 1e-6
    assert_solved(solution, K, y, upper, np.inf)


@pytest.mark.parametrize(("default", "expected"), [(3, 1400), (2000, 2000)])
def test_the_bound_on_steps_by_default(monkeypatch, default, expected):
    """LIBSVM's: ``max(10_000_000, 100 n)``."""
    assert smo._DEFAULT_MAX_ITER == 10_000_000
    monkeypatch.setattr(smo, "_DEFAULT_MAX_ITER", default)
    K, _ = random_pair(0, 8, 6, gamma=0.01)
    assert solve(K, 8, np.full(14, 1e6), 1e-9).n_iter == expected


def test_each_step_lowers_the_objective():
    K, _ = random_pair(3, 12, 9)
    upper = np.full(21, 5.0)
    n_iter = solve(K, 12, upper).n_iter
    values = [solve(K, 12, upper, max_iter=k).objective for k in range(1, n_iter + 1)]
    assert n_iter > 10
    assert (np.diff([0.0, *values]) < 0).all()


@pytest.mark.parametrize("chunk", [1, 7])
def test_returning_between_steps_changes_nothing(monkeypatch, chunk):
    K, _ = random_pair(1, 30, 20)
    upper = np.full(50, 3.0)
    whole = solve(K, 30, upper)
    monkeypatch.setattr(smo, "STEPS_PER_CALL", chunk)
    parts = solve(K, 30, upper)
    np.testing.assert_array_equal(parts.beta, whole.beta)
    assert (parts.n_iter, parts.intercept) == (whole.n_iter, whole.intercept)
    capped = solve(K, 30, upper, max_iter=10)
    assert capped.n_iter == 10


def test_cancelling_ends_the_work_between_calls(monkeypatch):
    """A thread that is cancelled while it works leaves off after the steps of one call."""
    monkeypatch.setattr(smo, "STEPS_PER_CALL", 5)
    K, _ = random_pair(1, 30, 20)
    upper = np.full(50, 3.0)
    assert solve(K, 30, upper, cancelled=CANCELLED).n_iter == 0
    K, _ = random_pair(1, 300, 200)
    upper, cancelled = np.full(500, 1e6), np.array([False])
    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(solve, K, 300, upper, 1e-12, 10**9, cancelled)
        while not work.running():
            time.sleep(0.001)
        time.sleep(0.2)
        cancelled[0] = True
        solution = work.result()
    assert 0 < solution.n_iter < 10**9
    assert solution.n_iter % 5 == 0
    assert solution.gap > 1e-12


def test_a_coefficient_that_never_moves_is_plus_zero():
    """In both classes: the bits of a model's coefficients are its content."""
    K, y = random_pair(2, 40, 30, gamma=0.01)
    beta = solve(K, 40, np.full(70, 1e-3), max_iter=2).beta
    assert (beta[y < 0] == 0).sum() > 20
    assert not np.signbit(beta[beta == 0]).any()


def test_each_c_starts_from_the_one_before():
    """Each solution is optimal for its own bounds, whatever it has been started from."""
    K, y = random_pair(4, 40, 30)
    blocks = K[:40, :40], K[40:, 40:], K[:40, 40:], K[40:, :40]
    kernel = PairKernel(*(np.ascontiguousarray(block, dtype=np.float32) for block in blocks))
    C, weight = np.array([0.1, 1.0, 30.0]), np.random.default_rng(0).uniform(0.5, 2, 70)
    bounds = np.outer(C, weight)
    cold = solve(K, 40, bounds[2])
    for start in (None, solve(K, 40, bounds[1] / 10).beta):
        betas, stats, v = solve_path(
            kernel, C, weight, start, tol=1e-6, max_iter=-1, cancelled=RUNNING
        )
        for beta, of_row, upper in zip(betas, stats, bounds, strict=True):
            level, of_gap, n_iter = of_row[[INTERCEPT, GAP, N_ITER]]
            solution = PairSolution(beta, level, objective(K, y, beta), of_gap, n_iter)
            assert_solved(solution, K, y, upper, 1e-6)
        assert stats[2, N_ITER] < cold.n_iter
        np.testing.assert_allclose(objective(K, y, betas[2]), cold.objective, rtol=1e-9)
        np.testing.assert_allclose(v, y - K @ betas[2], rtol=0, atol=1e-11)


def test_the_second_index_is_that_of_the_second_order_rule():
    """First step by hand: i = 0, and j maximises ``(v_i - v_j)^2 / (2 - 2 K_ij)``: the nearest."""
    K, y = random_pair(5, 3, 6)
    upper = np.full(9, 1e3)
    solution = solve(K, 3, upper, max_iter=1)
    j = 3 + np.argmax(K[0, 3:])
    expected = np.zeros(9)
    expected[0] = 2 / (2 - 2 * K[0, j])
    expected[j] = -expected[0]
    np.testing.assert_allclose(solution.beta, expected, rtol=1e-12)
    assert y[j] == -1


@pytest.mark.parametrize("n_free", [*range(1, 20), 127, 128, 129, 255, 256, 257, 1000, 5001])
def test_the_intercept_is_the_mean_of_the_free_gradients(n_free):
    """To the bit that of NumPy's pairwise sum, however many they are."""
    v = np.random.default_rng(n_free).normal(size=n_free + 2) * 10.0 ** np.arange(-2, n_free)[
        ::-1
    ].clip(max=3)
    beta, upper = np.full(n_free + 2, 0.5), np.ones(n_free + 2)
    beta[-2:] = 0, -1
    n_a = n_free // 2
    beta[n_a:-2] *= -1
    v[-2:] = BARRED, -BARRED  # of the bounded ones, which must not count
    intercept, _ = end_state(beta, v, n_a, upper)
    assert intercept == v[:-2].mean()
