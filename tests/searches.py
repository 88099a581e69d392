"""Searches taken apart: what is solved for each point."""

import numpy as np
from problems import training_set

from svmcifar.svm.backends.optimality import certify
from svmcifar.svm.estimator import RBFSVC
from svmcifar.svm.path.grid import Grid
from svmcifar.svm.path.memory_plan import make_search_plan
from svmcifar.svm.path.problem import make_problem
from svmcifar.svm.path.schedule import solve_paths
from svmcifar.svm.problem import OvOSolution

GRID = Grid(C=[0.3, 1, 10, 100], gamma=["0.5x", "2x"])


def solve(X, y, grid, svc=None, n_workers=1, limit=None):
    """Solve every point of a grid; return the problem and its plan."""
    problem = make_problem(X, y, grid.points, svc or RBFSVC())
    plan = make_search_plan(problem, n_workers, limit)
    solve_paths(problem, plan)
    return problem, plan


def by_point(problem):
    """Give the coefficients and the numbers of each point."""
    return {
        number: (path.coef[place], path.stats[place])
        for path in problem.paths
        for place, number in enumerate(path.points)
    }


def objectives(path):
    """Return the dual objective of each pair at each point, computed from its coefficients."""
    solutions = [OvOSolution.empty(path.problem) for _ in path.C]
    for solution, coef in zip(solutions, path.coef, strict=True):
        solution.coef[:] = coef
        certify(path.problem, solution)
    return np.array([solution.objective for solution in solutions])


def objectives_by_point(problem):
    return {
        number: row
        for path in problem.paths
        for number, row in zip(path.points, objectives(path), strict=True)
    }


def problem_of(n_classes, n, dtype, seed=0):
    X, y = training_set(n_classes, n, d=6, seed=seed, dtype=dtype)
    return X, y, X[::2] + dtype(0.3)
