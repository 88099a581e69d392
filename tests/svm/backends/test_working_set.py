"""Pairs solved on rows made on demand: the solution of the resident matrix, in any memory."""

from itertools import permutations

import numpy as np
import pytest
from reference import gap, objective, rbf, stored
from sklearn.svm import SVC

from svmcifar import RBFSVC
from svmcifar.compute import threads
from svmcifar.compute.memory import parse_bytes
from svmcifar.errors import MemoryLimitError
from svmcifar.svm.backends import memory_plan, working_set
from svmcifar.svm.backends.memory_plan import make_plan
from svmcifar.svm.backends.working_set import RowPlan, _choose, plan_rows, solve_on_demand
from svmcifar.svm.kernels.rbf import RBF
from svmcifar.svm.samples import sample_blocks

TOL = 1e-6
KERNEL = RBF(0.3)


def pair(n_a, n_b, seed=0, spread=1.0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_a + n_b, 5)) + np.repeat([0.0, 0.6], [n_a, n_b])[:, None]
    return X, np.repeat([1.0, -1.0], [n_a, n_b]), rng.uniform(0.1, 10 * spread, n_a + n_b)


def solve(X, n_a, upper, plan, *, start=None, dtype=np.float64, tol=TOL, max_iter=-1, **settings):
    parts = sample_blocks(X[:n_a], None), sample_blocks(X[n_a:], None)
    settings = {"cancelled": np.zeros(1, dtype=bool), **settings}
    return solve_on_demand(
        KERNEL, parts, upper, start, plan=plan, dtype=dtype, tol=tol, max_iter=max_iter, **settings
    )


@pytest.mark.parametrize("n_a", [1, 40, 150])
@pytest.mark.parametrize("n_b", [1, 90])
@pytest.mark.parametrize("plan", [RowPlan(16, 16, 0), RowPlan(20, 33, 0), RowPlan(999, 999, 0)])
def test_the_solution_is_optimal(monkeypatch, n_a, n_b, plan):
    monkeypatch.setattr(working_set, "BLOCK", 32)
    X, y, upper = pair(n_a, n_b)
    K = rbf(X, X, KERNEL.gamma)
    solved = solve(X, n_a, upper, plan)
    assert solved.gap <= TOL
    assert gap(K, y, solved.beta, upper) <= TOL + 1e-9
    np.testing.assert_allclose(solved.objective, objective(K, y, solved.beta), rtol=1e-9)
    svc = SVC(C=1.0, gamma=KERNEL.gamma, tol=TOL).fit(X, -y, upper)
    theirs = np.zeros(len(y))
    theirs[svc.support_] = -svc.dual_coef_[0]
    np.testing.assert_allclose(solved.objective, objective(K, y, theirs), rtol=1e-6)
    assert (y * solved.beta >= 0).all()
    assert (y * solved.beta <= upper).all()
    assert abs(solved.beta.sum()) < 1e-9 * upper.sum()


def test_values_may_be_kept_as_float32():
    X, y, upper = pair(60, 50)
    K = stored(rbf(X, X, KERNEL.gamma))
    solved = solve(X, 60, upper, RowPlan(16, 40, 0), dtype=np.float32)
    assert gap(K, y, solved.beta, upper) <= TOL + 1e-7 * np.abs(solved.beta).sum()


def test_a_start_is_gone_on_from():
    X, y, upper = pair(80, 70)
    K = rbf(X, X, KERNEL.gamma)
    rough = solve(X, 80, upper, RowPlan(16, 32, 0), tol=0.5)
    state = solve(X, 80, upper, RowPlan(16, 32, 0), start=rough.beta, max_iter=0)
    assert state.n_iter == 0
    np.testing.assert_array_equal(state.beta, rough.beta)
    np.testing.assert_allclose(state.gap, gap(K, y, rough.beta, upper), rtol=1e-6)
    assert state.gap > TOL
    solved = solve(X, 80, upper, RowPlan(16, 32, 0), start=rough.beta)
    assert solved.n_iter > 0
    assert gap(K, y, solved.beta, upper) <= TOL + 1e-9


def test_steps_are_limited_and_can_be_cancelled():
    X, _, upper = pair(80, 70)
    limited = solve(X, 80, upper, RowPlan(16, 32, 0), max_iter=7)
    assert limited.n_iter == 7
    assert limited.gap > TOL
    cancelled = solve(X, 80, upper, RowPlan(16, 32, 0), cancelled=np.ones(1, dtype=bool))
    assert cancelled.n_iter == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_number_of_workers_changes_no_bit(monkeypatch, dtype):
    monkeypatch.setattr(threads, "_FEW_OPERATIONS", 0)
    monkeypatch.setattr(working_set, "BLOCK", 32)
    monkeypatch.setattr(memory_plan, "_MANY_SAMPLES", 50)
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(400, 6)).astype(dtype), np.repeat([0, 1, 2], [40, 60, 300])
    models = [RBFSVC(n_jobs=n_jobs).fit(X, y) for n_jobs in (1, 2, 3)]
    assert "2 of 3" in models[0].memory_plan_ or "3 pairs" in models[0].memory_plan_
    for model in models[1:]:
        np.testing.assert_array_equal(model.dual_coef_, models[0].dual_coef_)
        np.testing.assert_array_equal(model.gap_, models[0].gap_)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("limit", ["2 MB", "700 kB", "450 kB"])
def test_what_does_not_fit_is_made_on_demand(dtype, limit):
    """The kernel within the largest class alone takes 1.4 MB."""
    rng = np.random.default_rng(1)
    y = np.repeat(np.arange(4), [600, 20, 30, 250])
    X = (rng.normal(size=(4, 6))[y] + rng.normal(size=(900, 6))).astype(dtype)
    roomy = RBFSVC(tol=1e-5).fit(X, y)
    tight = RBFSVC(tol=1e-5, memory_limit=limit).fit(X, y)
    assert "rows made on demand" in tight.memory_plan_
    assert "rows" not in roomy.memory_plan_
    assert tight.gap_.max() <= 1e-5
    np.testing.assert_allclose(tight.objective_, roomy.objective_, rtol=1e-5)
    np.testing.assert_array_equal(tight.predict(X), roomy.predict(X))


def test_rows_fit_the_limit():
    for n, limit in ((1000, "1 MB"), (100_000, "200 MB"), (100_000, None), (20, None)):
        plan = plan_rows(n, 20, 2, limit and parse_bytes(limit), 8)
        assert limit is None or plan.n_bytes <= parse_bytes(limit)
        assert 2 <= plan.n_working <= plan.n_rows <= n
    with pytest.raises(MemoryLimitError, match=r"at least .* \(1000 samples\)\. Got 50 KiB"):
        plan_rows(1000, 20, 2, 50 * 1024, 8)


def test_classes_on_demand_are_on_no_tile():
    sizes = [100, 20_000, 50, 60]
    plan = make_plan(sizes, 20, 2, None, 4)
    assert plan.pairs_on_demand == [(0, 1), (1, 2), (1, 3)]
    pairs = [pair for tile in plan.tiles for pair in plan.pairs(*tile)]
    assert sorted(pairs) == [(0, 2), (0, 3), (2, 3)]
    assert plan.n_bytes < 4 * 10_000**2
    # With many features rows cost more to make than to keep.
    assert make_plan(sizes, 3000, 2, None, 4).on_demand == frozenset()
    tight = make_plan(sizes, 3000, 2, parse_bytes("350 MB"), 4)
    assert tight.on_demand == {1}
    assert tight.n_bytes <= parse_bytes("350 MB")


def test_rows_have_the_kernels_own_diagonal():
    """So far from the origin products lose the digits of a distance of 0."""
    X = (1e3 * np.random.default_rng(0).normal(size=(40, 30))).astype(np.float32)
    parts = sample_blocks(X[:25], None), sample_blocks(X[25:], None)
    rows = working_set._Rows(KERNEL, parts, 12, np.float32, map)
    for start in (0, 10, 28):
        samples = np.arange(start, start + 12)
        places = rows.places(samples)
        np.testing.assert_array_equal(rows.values[places, samples], 1.0)


@pytest.mark.parametrize("n", [2, 3, 4])
@pytest.mark.parametrize("n_before", [0, 2])
def test_the_worst_violators_are_in_the_smallest_working_set(n, n_before):
    """Of three samples too, of which those of the last round may be two others."""
    for i, j in permutations(range(n), 2):
        rising, falling = np.full(n, -1.0), np.full(n, 1.0)
        rising[i], falling[j] = 2.0, -2.0
        chosen = _choose(rising, falling, np.arange(n_before), n)
        assert {i, j} <= set(chosen.tolist())
