"""Tiles that a stopped fit or search has finished: of the very problem, and whole ones alone."""

from dataclasses import replace

import numpy as np
import pytest
from problems import training_set

from svmcifar.svm.backends import memory_plan, numba_ovo
from svmcifar.svm.backends.memory_plan import make_plan
from svmcifar.svm.backends.numba_ovo import BlockedRun
from svmcifar.svm.estimator import RBFSVC
from svmcifar.svm.kernels.registry import make_kernel
from svmcifar.svm.path import schedule
from svmcifar.svm.path.grid import Grid
from svmcifar.svm.path.memory_plan import make_search_plan
from svmcifar.svm.path.problem import make_problem
from svmcifar.svm.problem import OvOSolution, sort_by_class

GRID = {"C": [1.0, 10.0], "gamma": ["1x", "2x"], "n_components": [3, 6]}


@pytest.fixture(autouse=True)
def several_tiles(monkeypatch):
    monkeypatch.setattr(memory_plan, "BLOCK", 40)


def fit_hash(X_change=0.0, C=1.0, gamma=0.1, tol=1e-3, max_iter=-1, weight=1.0, kernel="rbf",
             groups=None, n_workers=1):  # fmt: skip
    """Hash the problem of a fit, and its plan."""
    X, y = training_set(6, 20, d=6, seed=0, dtype=np.float32)
    X[-1, -1] += X_change
    weights = np.ones(len(y))
    weights[0] = weight
    training = sort_by_class(X, y, None, C, weights)
    kinds = [(6, make_kernel(kernel, gamma=gamma))]
    (problem,) = training.problems(kinds, C, tol, max_iter)
    plan = make_plan(problem.sizes, 6, n_workers, None, 4)
    if groups:
        plan = replace(plan, groups=tuple(groups))
    return numba_ovo._hash(problem, plan)


def search_hash(X_change=0.0, tol=1e-3, groups=None, n_workers=1, class_weight=None, **changed):
    """Hash the problem of a search, and its plan."""
    X, y = training_set(6, 20, d=6, seed=0, dtype=np.float32)
    X[-1, -1] += X_change
    svc = RBFSVC(tol=tol, class_weight=class_weight)
    problem = make_problem(X, y, Grid(**GRID | changed).points, svc)
    plan = make_search_plan(problem, n_workers, None)
    if groups:
        plan = replace(plan, groups=tuple(groups))
    return schedule._hash(problem, plan)


@pytest.mark.parametrize(
    ("hash_problem", "change"),
    [
        (fit_hash, {"X_change": 1e-6}), (fit_hash, {"C": 2.0}), (fit_hash, {"gamma": 0.2}),
        (fit_hash, {"tol": 1e-4}), (fit_hash, {"max_iter": 9}), (fit_hash, {"weight": 2.0}),
        (fit_hash, {"kernel": "laplacian"}), (fit_hash, {"groups": [(0, 5)]}),
        (search_hash, {"X_change": 1e-6}), (search_hash, {"C": [1.0, 11.0]}),
        (search_hash, {"gamma": ["1x", "3x"]}), (search_hash, {"n_components": [2, 6]}),
        (search_hash, {"tol": 1e-4}), (search_hash, {"class_weight": {0: 2.0}}),
        (search_hash, {"groups": [(0, 5)]}),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else value.__name__,
)  # fmt: skip
def test_parts_of_other_problems_are_others(hash_problem, change):
    assert hash_problem() == hash_problem(n_workers=2)
    assert hash_problem(**change) != hash_problem()


class Kept:
    """Parts that are added; none is found."""

    def __init__(self):
        self.names = []

    def find(self, name, collect):
        """Find nothing."""

    def add(self, name, collect):
        """Remember a name."""
        self.names.append(name)


@pytest.mark.parametrize("n_workers", [1, 2])
def test_a_tile_that_was_cut_short_is_not_kept(n_workers, monkeypatch):
    X, y = training_set(6, 20, d=6, seed=0, dtype=np.float32)
    (problem,) = sort_by_class(X, y, None, 1.0).problems(
        [(6, make_kernel("rbf", gamma=0.1))], 1.0, 1e-3, -1
    )
    plan = make_plan(problem.sizes, 6, n_workers, None, 4)
    run, parts = BlockedRun(problem, plan, OvOSolution.empty(problem)), Kept()
    solve_tile, done = run.solve_tile, []

    def cut_third(g, h, map_parts=map):
        done.append((g, h))
        if len(done) == 3:
            run.cancelled[0] = True
        return solve_tile(g, h, map_parts)

    monkeypatch.setattr(run, "solve_tile", cut_third)
    run.solve(lambda _: None, parts)
    assert len(done) == len(plan.tiles) > 3
    assert parts.names == [f"tile-{g}-{h}" for g, h in done[:2]]
