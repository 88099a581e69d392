"""Searches taken apart: what is solved for each point."""

from problems import training_set

from svmcifar.svm.estimator import RBFSVC
from svmcifar.svm.path.grid import Grid
from svmcifar.svm.path.memory_plan import make_search_plan
from svmcifar.svm.path.problem import make_problem
from svmcifar.svm.path.schedule import solve_paths

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


def problem_of(n_classes, n, dtype, seed=0):
    X, y = training_set(n_classes, n, d=6, seed=seed, dtype=dtype)
    return X, y, X[::2] + dtype(0.3)
