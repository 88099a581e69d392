"""The CUDA solver in the simulator of numba-cuda; `test_smo_cuda.py` runs this in a process of
its own, since NUMBA_ENABLE_CUDASIM has to be set before numba is imported.

The simulator is slow: about a hundred steps a second.
"""

import sys

import numpy as np
import pytest
from cudapairs import assert_identical, make_pairs
from numba import config, cuda

from svmcifar.svm.backends import smo_cuda
from svmcifar.svm.backends.smo_cuda import PairTables, launch_smo, longest_first

assert config.ENABLE_CUDASIM


@pytest.fixture(autouse=True)
def _switch_often():
    """Let threads take turns every 0.1 ms: five times as fast, and less orderly."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    yield
    sys.setswitchinterval(before)


@pytest.fixture(params=["shared", "global"])
def v_in(request, monkeypatch):
    if request.param == "global":
        monkeypatch.setattr(smo_cuda, "_SHARED_BYTES", 0)
    return request.param


def solve(problem, form, threads, max_iter=-1):
    K, tables = form()
    pairs = PairTables(*tables)
    settings = {"tol": 1e-6, "max_iter": max_iter, "threads": threads}
    return launch_smo(K, problem.upper, pairs, diagonal=problem.diagonal, **settings)


@pytest.mark.parametrize(
    ("problem", "threads"),
    [
        (make_pairs([20, 15, 1]), 32),
        (make_pairs([10, 40], 0.01), 64),
        (make_pairs([5, 4, 3, 2, 1], 10.0, duplicates=True, weights=True), 32),
        (make_pairs([3, 9, 1, 2], 1e3, duplicates=True, weights=True), 32),
        (make_pairs([33, 32], 0.1, weights=True), 64),
        (make_pairs([9, 8, 1], 0.1, kernel="linear"), 32),
        (make_pairs([8, 9], kernel="indefinite"), 32),
    ],
)
def test_the_answer_is_that_of_the_cpu(problem, threads, v_in):
    form = problem.whole if v_in == "shared" else problem.tiles
    problem.assert_solved(solve(problem, form, threads), 1e-6)


def test_threads_tables_and_memory_change_nothing(v_in):
    problem = make_pairs([21, 20, 1], 3.0, weights=True)
    first = solve(problem, problem.whole, 32, max_iter=6)
    assert [solution.n_iter for solution in first] == [6, 6, 6]
    for threads in (32, 64, 128):
        assert_identical(solve(problem, problem.tiles, threads, max_iter=6), first)


@pytest.mark.parametrize("max_iter", [0, 1, 5])
def test_max_iter_is_kept_and_told(max_iter):
    problem = make_pairs([8, 6], 10.0)
    (solution,) = solve(problem, problem.whole, 32, max_iter)
    assert solution.n_iter == max_iter
    assert solution.gap > 1e-6


def test_pairs_in_another_order_and_a_kernel_on_the_device():
    problem = make_pairs([2, 6, 9], 1.0)
    K, tables = problem.whole()
    order = longest_first(tables[2])
    assert order.tolist() == [2, 1, 0]
    sorted_tables = PairTables(*(table[order] for table in tables))
    ours = launch_smo(
        cuda.to_device(K), problem.upper, sorted_tables, tol=1e-6, max_iter=-1, threads=32
    )
    assert_identical([ours[k] for k in np.argsort(order)], solve(problem, problem.whole, 32))
