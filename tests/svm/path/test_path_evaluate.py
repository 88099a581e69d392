"""What a search trains and scores on: order of points, tiles, parts, extremes and bad samples."""

import gc
import weakref

import numpy as np
import pytest
from searches import objectives, problem_of, solve
from sklearn.metrics.pairwise import rbf_kernel

from svmcifar.errors import InputError
from svmcifar.svm.backends import memory_plan as plans
from svmcifar.svm.backends.smo_numba import GAP
from svmcifar.svm.estimator import RBFSVC
from svmcifar.svm.kernels import blocks
from svmcifar.svm.path import predict
from svmcifar.svm.path.evaluate import Part, evaluate_points
from svmcifar.svm.path.grid import Gamma, Grid
from svmcifar.svm.path.predict import predict_points
from svmcifar.svm.path.problem import make_problem
from svmcifar.tuning.search import search_parts


def test_points_may_come_in_any_order():
    X, y, Z = problem_of(3, 30, np.float64)
    part = Part(X, y, Z, y[::2])
    points = Grid([0.01, 1.0, 100.0], ["1x", "4x"], [2, 6]).points
    points = [points[i] for i in np.random.default_rng(0).permutation(len(points))]
    paths = make_problem(X, y, points, RBFSVC()).paths
    assert all((np.diff(path.C) > 0).all() for path in paths)
    found = evaluate_points(part, points, RBFSVC(tol=1e-6))
    for i, point in enumerate(points):
        alone = evaluate_points(part, [point], RBFSVC(tol=1e-6))
        assert found.gamma[i] == pytest.approx(alone.gamma[0])
        assert abs(found.n_support[i] - alone.n_support[0]) <= 1
        assert found.accuracy[i] == pytest.approx(alone.accuracy[0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("strip", [4, 16])
def test_strips_of_a_tile_leave_no_row_out(strip, dtype, monkeypatch):
    """17 rows, so that the last strip has one."""
    X, y, _ = problem_of(3, 17, dtype)
    grid, svc = Grid([1.0], ["1x"], [3, 6]), RBFSVC(tol=1e-6)
    monkeypatch.setattr(blocks, "BLOCK", 20)
    monkeypatch.setattr(plans, "BLOCK", 20)
    whole, _ = solve(X, y, grid, svc)
    monkeypatch.setattr("svmcifar.svm.path.schedule.STRIP", strip)
    monkeypatch.setattr("svmcifar.svm.path.products.STRIP", strip)
    found, _ = solve(X, y, grid, svc)
    for path, expected in zip(found.paths, whole.paths, strict=True):
        np.testing.assert_allclose(objectives(path), objectives(expected), rtol=1e-5)


def test_held_out_products_are_extended(monkeypatch):
    seen, extend = [], predict.extend_products

    def spy(kernel, A, B, columns, out):
        seen.append((columns.start, columns.stop))
        extend(kernel, A, B, columns, out)

    X, y, Z = problem_of(4, 12, np.float32)
    problem, plan = solve(X, y, Grid([1.0], ["1x", "2x"], [2, 3, 6]))
    monkeypatch.setattr(predict, "extend_products", spy)
    predict_points(problem, plan, Z[:1])
    assert seen == [(0, 2), (2, 3), (3, 6)] * 4


@pytest.mark.parametrize("tiny", [1e-300, 1e-17, 1e-16, 1e-14, 1e-11, 1e-8])
def test_a_tiny_bound_does_not_spoil_the_next(tiny):
    """The gap that is told is that of the coefficients."""
    X, y, _ = problem_of(2, 30, np.float64)
    problem, _ = solve(X, y, Grid([tiny, 10.0], [0.1]), RBFSVC(tol=1e-3))
    (path,) = problem.paths
    signs = np.where(np.arange(60) < 30, 1.0, -1.0)
    beta = path.coef[1, 0].astype(np.float64)
    X = X[np.argsort(y, kind="stable")]
    v = signs - rbf_kernel(X, X, 0.1) @ beta
    lower, upper = np.minimum(10 * signs, 0), np.maximum(10 * signs, 0)
    gap = v[beta < upper].max() - v[beta > lower].min()
    assert path.stats[1, 0, GAP] <= 1e-3
    assert gap <= 1.1e-3


def test_one_part_is_in_memory_at_a_time():
    alive = []

    def make():
        gc.collect()
        alive.append(sum(X() is not None for X in parts))
        X, y, Z = problem_of(2, 20, np.float64)
        part = Part(X, y, Z, y[::2])
        parts.append(weakref.ref(part.X_train))
        return part

    parts = []
    search_parts(RBFSVC(), Grid([1.0], [0.1]), [make] * 3)
    assert alive == [0, 0, 0]


@pytest.mark.parametrize("spoil", [np.nan, np.inf, -np.inf])
def test_held_out_samples_must_be_finite(spoil):
    X, y, Z = problem_of(2, 20, np.float64)
    Z[3, 1] = spoil
    with pytest.raises(InputError, match=r"Held-out samples must be .* NaN or infinity among"):
        evaluate_points(Part(X, y, Z, y[::2]), Grid([1.0], [0.1]).points, RBFSVC())


def test_shapes_of_samples():
    X, y, Z = problem_of(2, 20, np.float64)
    points = Grid([1.0], [0.1]).points
    for held_out, truth in ((Z[:0], y[:0]), (Z[:, :2], y[::2]), (Z[:, 0], y[::2])):
        with pytest.raises(InputError, match=r"Held-out samples must be one or .* 6 features"):
            evaluate_points(Part(X, y, held_out, truth), points, RBFSVC())
    with pytest.raises(InputError, match=r"must be of shape \(n_samples, n_features\)"):
        evaluate_points(Part(X[:, 0], y, Z, y[::2]), points, RBFSVC())


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 0.0, -1.0])
@pytest.mark.parametrize("times_scale", [False, True])
def test_gammas_that_were_not_read_are_checked_too(number, times_scale):
    with pytest.raises(InputError, match=r"gamma to search must be a finite number above 0"):
        Grid([1.0], [Gamma(number, times_scale)])


def test_gammas_that_differ_in_late_digits_are_different():
    X, y, Z = problem_of(2, 20, np.float64)
    grid = Grid([1.0], [0.123456789, 0.1234568, 0.5])
    found = search_parts(RBFSVC(), grid, [lambda: Part(X, y, Z, y[::2])])
    assert sorted(found.table["gamma"]) == [0.123456789, 0.1234568, 0.5]
