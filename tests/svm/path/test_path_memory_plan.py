"""How a search spends memory, tells how far it is, and ends early."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from searches import GRID, by_point, objectives_by_point, problem_of, solve

from svmcifar.svm.backends import memory_plan as plans
from svmcifar.svm.backends.smo import PairKernel, solve_path
from svmcifar.svm.backends.smo_numba import N_ITER
from svmcifar.svm.estimator import RBFSVC
from svmcifar.svm.kernels import blocks
from svmcifar.svm.path import schedule as path_module
from svmcifar.svm.path.grid import Grid
from svmcifar.svm.path.memory_plan import make_search_plan
from svmcifar.svm.path.predict import predict_points
from svmcifar.svm.path.problem import make_problem
from svmcifar.svm.path.schedule import solve_paths


def memory_taken(problem, plan):
    """Solve again; NumPy reports its allocations to tracemalloc."""
    tracemalloc.start()
    try:
        solve_paths(problem, plan)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sizes", [[150] * 4, [60] * 8, [210, 180]])
def test_every_plan_gives_the_same_within_its_memory(sizes, dtype, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK", 200)
    monkeypatch.setattr(plans, "BLOCK", 200)
    rng = np.random.default_rng(1)
    y = np.repeat(np.arange(len(sizes)), sizes)
    X = (rng.normal(size=(len(sizes), 5))[y] + rng.normal(size=(len(y), 5))).astype(dtype)
    svc, grid = RBFSVC(tol=1e-5), Grid([1, 5], ["1x"], [3, 5])
    problem, whole = solve(X, y, grid, svc, n_workers=2)
    expected, predicted = objectives_by_point(problem), predict_points(problem, whole, X)
    hardly_any = memory_taken(*solve(X[::30], y[::30], grid, svc))
    limits, seen = [whole.n_bytes - 1], {whole}
    while limits:
        problem = make_problem(X, y, grid.points, svc)
        plan = make_search_plan(problem, 2, limits.pop())
        if plan is None:
            break
        held = sum(path.coef.nbytes for path in problem.paths) + X.nbytes
        taken = memory_taken(problem, plan)
        assert taken <= max(plan.n_bytes - held, hardly_any) + 60_000  # Python's own objects
        limits.append(plan.n_bytes - 1)
        seen.add(plan)
        for number, objective in objectives_by_point(problem).items():
            np.testing.assert_allclose(objective, expected[number], rtol=1e-5)
        assert (predict_points(problem, plan, X) == predicted).mean() > 0.99
    assert len(seen) >= 3
    assert {plan.keep_diagonals for plan in seen} == {True, False}


@pytest.mark.parametrize("n_workers", [1, 3])
@pytest.mark.parametrize("n_classes", [2, 8])
def test_progress_counts_every_pair_of_every_point(n_classes, n_workers):
    X, y, _ = problem_of(n_classes, 10, np.float32)
    problem = make_problem(X, y, GRID.points, RBFSVC())
    counts = []
    solve_paths(problem, make_search_plan(problem, n_workers, None), counts.append)
    assert sum(counts) == n_classes * (n_classes - 1) // 2 * len(GRID.points)


def test_what_is_cancelled_takes_no_step():
    K = PairKernel(*(np.eye(3, dtype=np.float32),) * 2, *(np.zeros((3, 3), np.float32),) * 2)
    for cancelled, expected in ((np.array([True]), 0), (np.array([False]), 3)):
        _, stats, _ = solve_path(
            K, np.ones(2), np.ones(6), tol=1e-3, max_iter=-1, cancelled=cancelled
        )
        assert stats[0, N_ITER] == expected


def test_an_error_ends_the_work():
    X, y, _ = problem_of(8, 10, np.float32)
    problem = make_problem(X, y, GRID.points, RBFSVC())

    def interrupt(n_solved):
        raise KeyboardInterrupt

    for n_workers in (1, 20):
        with pytest.raises(KeyboardInterrupt):
            solve_paths(problem, make_search_plan(problem, n_workers, None), interrupt)
    assert np.isnan(problem.paths[-1].stats).any()


@pytest.mark.parametrize("sizes", [[20] * 6, [120] * 3])
def test_products_within_classes_are_computed_once_a_tile(sizes, monkeypatch):
    """Whatever the number of gammas, and where there is no room to keep them."""
    monkeypatch.setattr(blocks, "BLOCK", 100)
    monkeypatch.setattr(plans, "BLOCK", 100)
    seen, extend = [], path_module.extend_products

    def spy(kernel, A, B, columns, *rest):
        if A is B:
            seen.append((columns.start, columns.stop))
        extend(kernel, A, B, columns, *rest)

    monkeypatch.setattr(path_module, "extend_products", spy)
    y = np.repeat(np.arange(len(sizes)), sizes)
    X = np.random.default_rng(0).normal(size=(len(y), 6)).astype(np.float32)
    results = []
    for n_gammas in (1, 4):
        grid = Grid([1.0], [f"{k}x" for k in range(1, n_gammas + 1)], [2, 6])
        problem = make_problem(X, y, grid.points, RBFSVC())
        plan = replace(make_search_plan(problem, 1, None), keep_diagonals=False)
        seen.clear()
        solve_paths(problem, plan)
        results.append(list(seen))
        kept, _ = solve(X, y, grid)
        for number, (coef, _) in by_point(problem).items():
            np.testing.assert_array_equal(coef, by_point(kept)[number][0])
    assert results[0] == results[1]
    assert set(results[0]) == {(0, 2), (2, 6)}
