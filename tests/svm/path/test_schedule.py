"""Solving many settings at once gives what solving each on its own gives."""

from dataclasses import replace

import numpy as np
import pytest
from searches import GRID, by_point, objectives_by_point, problem_of, solve

from svmcifar.svm.backends import memory_plan as plans
from svmcifar.svm.backends import numba_ovo
from svmcifar.svm.backends.numba_ovo import solve_blocked
from svmcifar.svm.backends.optimality import certify
from svmcifar.svm.backends.smo_numba import GAP, INTERCEPT, N_ITER
from svmcifar.svm.estimator import RBFSVC
from svmcifar.svm.kernels import blocks
from svmcifar.svm.kernels.blocks import compute_kernel
from svmcifar.svm.kernels.rbf import RBF
from svmcifar.svm.path.grid import Grid
from svmcifar.svm.path.predict import predict_points
from svmcifar.svm.samples import sample_blocks


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Matrix products are cut every 30 rows and columns."""
    monkeypatch.setattr(blocks, "BLOCK", 30)
    monkeypatch.setattr(plans, "BLOCK", 30)


def dense_coef(svc):
    """Give a fitted model's coefficients for all samples, sorted by class, in LIBSVM's sign."""
    coef = np.zeros((len(svc.classes_) - 1, svc.shape_fit_[0]))
    coef[:, svc.support_] = svc.dual_coef_ * (-1 if len(svc.classes_) == 2 else 1)
    return coef


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("n_classes", "n"), [(2, 40), (3, 35), (7, 12)])
@pytest.mark.parametrize("class_weight", [None, "balanced", {0: 3.0}])
def test_one_point_is_the_model_itself(n_classes, n, dtype, class_weight):
    """To the last bit of every coefficient, with blocks that cut classes and classes in groups."""
    X, y, Z = problem_of(n_classes, n, dtype)
    X, y = X[5:], y[5:]  # classes of different sizes
    svc = RBFSVC(C=3.0, gamma="scale", class_weight=class_weight).fit(X, y)
    problem, plan = solve(X, y, Grid([3.0], ["1x"]), RBFSVC(class_weight=class_weight))
    (path,) = problem.paths
    order = np.argsort(y, kind="stable")
    np.testing.assert_array_equal(path.coef[0], dense_coef(svc)[:, order].astype(dtype))
    sign = -1.0 if n_classes == 2 else 1.0
    np.testing.assert_allclose(path.stats[0, :, INTERCEPT], sign * svc.intercept_, rtol=1e-12)
    np.testing.assert_allclose(path.stats[0, :, GAP], svc.gap_, rtol=1e-9)
    np.testing.assert_array_equal(path.stats[0, :, N_ITER], svc.n_iter_)
    np.testing.assert_array_equal(predict_points(problem, plan, Z)[0], svc.predict(Z))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_kernel_of_kept_products_is_the_kernel(dtype):
    rng = np.random.default_rng(0)
    A = sample_blocks(rng.normal(size=(23, 5)).astype(dtype), None)
    B = sample_blocks(rng.normal(size=(29, 5)).astype(dtype), None)
    products = A.X @ B.X.T
    kept = products.copy()
    for gamma in (0.01, 3.0):
        K = np.empty((23, 29), dtype=np.float32)
        RBF(gamma).write(products, A.sq_norms, B.sq_norms, K)
        np.testing.assert_array_equal(K, compute_kernel(RBF(gamma), A, B))
    np.testing.assert_array_equal(products, kept)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_warm_starts_reach_the_same_optimum(monkeypatch, dtype):
    monkeypatch.setattr(numba_ovo, "refine", lambda *args: None)  # it takes float64 values
    X, y, _ = problem_of(4, 40, dtype)
    tol = 1e-6
    problem, _ = solve(X, y, GRID, RBFSVC(tol=tol))
    objective, solved = objectives_by_point(problem), by_point(problem)
    warm_steps = cold_steps = 0
    for path in problem.paths:
        for number, C in zip(path.points, path.C, strict=True):
            at_C = replace(path.problem, upper=C * path.problem.upper)
            cold = solve_blocked(at_C, n_workers=1)
            warm_steps += solved[number][1][:, N_ITER].sum()
            cold_steps += cold.n_iter.sum()
            assert solved[number][1][:, GAP].max() <= tol
            np.testing.assert_allclose(
                solved[number][1][:, INTERCEPT], cold.intercept, rtol=0, atol=1e-4
            )
            certify(at_C, cold)  # by the values that `objectives_by_point` takes
            np.testing.assert_allclose(objective[number], cold.objective, rtol=1e-6)
    assert warm_steps < 0.9 * cold_steps


def test_solutions_are_feasible_and_their_gaps_true():
    """What a path of solutions says of itself, computed again from the kernel."""
    X, y, _ = problem_of(3, 30, np.float64)
    problem, _ = solve(X, y, GRID)
    for path in problem.paths:
        samples = path.samples.X
        distances = np.square(samples[:, None] - samples[None]).sum(axis=2)
        K = np.float64(np.float32(np.exp(-path.problem.kernel.gamma * distances)))
        for C, coef, solved in zip(path.C, path.coef, path.stats, strict=True):
            for number, (a, b) in enumerate([(0, 1), (0, 2), (1, 2)]):
                in_a, in_b = path.problem.rows(a), path.problem.rows(b)
                rows = np.r_[in_a, in_b]
                beta = np.append(coef[b - 1, in_a], coef[a, in_b])
                sign = np.repeat([1.0, -1.0], [len(beta) // 2] * 2)
                alpha, upper = sign * beta, np.full(len(rows), C)
                assert alpha.min() >= 0
                assert (alpha <= upper).all()
                np.testing.assert_allclose(beta.sum(), 0, atol=1e-10 * upper[0])
                v = sign - K[np.ix_(rows, rows)] @ beta
                may_rise = np.where(sign > 0, alpha < upper, alpha > 0)
                may_fall = np.where(sign > 0, alpha > 0, alpha < upper)
                gap = v[may_rise].max() - v[may_fall].min()
                np.testing.assert_allclose(solved[number, GAP], max(gap, 0), rtol=0, atol=1e-9)
                assert gap <= path.problem.tol + 1e-9


def test_a_solution_that_no_bound_touches_serves_larger_bounds():
    X, y, _ = problem_of(2, 30, np.float64)
    problem, _ = solve(X, y, Grid([1e4, 1e5, 1e6], [1.0]))
    (path,) = problem.paths
    assert np.abs(path.coef[0]).max() < 1e4
    assert path.stats[0, 0, N_ITER] > 10
    assert path.stats[1:, 0, N_ITER].max() <= 2


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numbers_of_components_searched_together_are_those_searched_apart(dtype):
    X, y, Z = problem_of(4, 40, dtype)
    counts = [2, 3, 6]
    together, plan = solve(X, y, Grid([1, 10], ["0.5x", "1x"], counts), RBFSVC(tol=1e-5))
    predicted = predict_points(together, plan, Z)
    found, objective = by_point(together), objectives_by_point(together)
    points = Grid([1, 10], ["0.5x", "1x"], counts).points
    for count in counts:
        apart, own_plan = solve(X[:, :count], y, Grid([1, 10], ["0.5x", "1x"]), RBFSVC(tol=1e-5))
        own = predict_points(apart, own_plan, Z[:, :count])
        numbers = [i for i, point in enumerate(points) if point.n_components == count]
        for number, alone in zip(numbers, range(4), strict=True):
            expected = objectives_by_point(apart)[alone]
            np.testing.assert_allclose(objective[number], expected, rtol=1e-4)
            assert (predicted[number] == own[alone]).mean() > 0.97
        if count == 2:  # the first products are not sums
            np.testing.assert_array_equal(found[numbers[0]][0], by_point(apart)[0][0])


@pytest.mark.parametrize("sizes", [[50, 50], [60, 20, 45], [4] * 20, [33, 1, 7, 7, 7, 40, 2]])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_number_of_workers_changes_no_bit(sizes, dtype):
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(len(sizes)), sizes)
    X = (rng.normal(size=(len(sizes), 5))[y] + rng.normal(size=(len(y), 5))).astype(dtype)
    grid = Grid([1, 10], ["1x", "2x"], [3, 5])
    alone, alone_plan = solve(X, y, grid)
    for n_workers in (2, 5):
        problem, plan = solve(X, y, grid, n_workers=n_workers)
        for path, expected in zip(problem.paths, alone.paths, strict=True):
            np.testing.assert_array_equal(path.coef, expected.coef)
            np.testing.assert_array_equal(path.stats, expected.stats)
        np.testing.assert_array_equal(
            predict_points(problem, plan, X), predict_points(alone, alone_plan, X)
        )


def test_float32_samples_too_spread_out_for_it_are_worked_on_in_float64():
    X, y, Z = problem_of(3, 30, np.float32)
    X, Z = X * np.float32(100), Z * np.float32(100)
    problem, plan = solve(X, y, Grid([1.0], [0.01]))
    svc = RBFSVC(C=1.0, gamma=0.01).fit(X, y)
    assert problem.dtype == np.float64
    np.testing.assert_array_equal(predict_points(problem, plan, Z)[0], svc.predict(Z))
    order = np.argsort(y, kind="stable")
    np.testing.assert_array_equal(problem.paths[0].coef[0], dense_coef(svc)[:, order])


def test_samples_far_from_the_origin_are_centred():
    X, y, Z = problem_of(3, 30, np.float32)
    X, Z = X + np.float32(3000), Z + np.float32(3000)
    problem, plan = solve(X, y, Grid([1.0], ["1x"]))
    svc = RBFSVC().fit(X, y)
    np.testing.assert_array_equal(predict_points(problem, plan, Z)[0], svc.predict(Z))


@pytest.mark.parametrize("n_views", [1, 2, 3])
@pytest.mark.parametrize("n_classes", [2, 5])
def test_views_are_averaged_before_the_vote(n_classes, n_views, monkeypatch):
    X, y, _ = problem_of(n_classes, 30, np.float64)
    Z = np.random.default_rng(5).normal(size=(16 * n_views, 6))
    problem, plan = solve(X, y, Grid([2.0], [0.3]))
    svc = RBFSVC(C=2.0, gamma=0.3).fit(X, y)
    expected, _ = svc.predict_with_decisions(Z, n_views=n_views)
    np.testing.assert_array_equal(predict_points(problem, plan, Z, n_views)[0], expected)
    # In batches of one or a few samples.
    monkeypatch.setattr("svmcifar.svm.path.predict._MOST_ROWS", 3)
    np.testing.assert_array_equal(predict_points(problem, plan, Z, n_views)[0], expected)


def test_max_iter_holds_for_each_point():
    X, y, _ = problem_of(3, 40, np.float64)
    problem, _ = solve(X, y, Grid([100.0, 200.0], [1.0]), RBFSVC(max_iter=4))
    assert (problem.paths[0].stats[:, :, N_ITER] == 4).all()
    assert problem.paths[0].stats[:, :, GAP].min() > 1e-3
