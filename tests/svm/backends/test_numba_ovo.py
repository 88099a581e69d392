import time
import tracemalloc
from dataclasses import fields, replace
from itertools import combinations

import numpy as np
import pytest
from onepair import solve_pair
from reference import rbf, stored

from svmcifar.compute import threads
from svmcifar.errors import MemoryLimitError
from svmcifar.svm.backends import memory_plan as plans
from svmcifar.svm.backends import numba_ovo
from svmcifar.svm.backends.memory_plan import make_plan
from svmcifar.svm.backends.numba_ovo import solve_blocked
from svmcifar.svm.backends.smo import PairKernel
from svmcifar.svm.kernels import blocks
from svmcifar.svm.kernels.blocks import compute_kernel
from svmcifar.svm.kernels.kernel import Precision
from svmcifar.svm.kernels.rbf import RBF
from svmcifar.svm.problem import OvOProblem
from svmcifar.svm.samples import sample_blocks

# Sizes of the classes; matrix products are cut every 50 rows and columns.  The first two give three
# workers too few tiles, so that they share blocks; the next two are grouped.
SIZES = {
    "two large": [120, 90],
    "three large": [70, 101, 60],
    "many small": [8] * 20,
    "one sample each": [1] * 9,
    "mixed": [3, 70, 20, 20, 1, 130, 49, 2, 2],
}


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK", 50)
    monkeypatch.setattr(plans, "BLOCK", 50)
    monkeypatch.setattr(threads, "_FEW_OPERATIONS", 0)  # so that workers are threads


def make_problem(sizes, dtype=np.float64, tol=1e-3, max_iter=-1):
    rng = np.random.default_rng(sum(sizes))
    y = np.repeat(np.arange(len(sizes)), sizes)
    X = rng.normal(size=(len(sizes), 6))[y] + rng.normal(size=(len(y), 6))
    return OvOProblem(
        samples=sample_blocks(X.astype(dtype), None),
        starts=(0, *np.cumsum(sizes).tolist()),
        upper=rng.uniform(0.5, 3, len(y)),
        kernel=RBF(0.15),
        precision=Precision(dtype == np.float64),
        tol=tol,
        max_iter=max_iter,
    )


def assert_identical(one, other):
    for field in fields(one):
        if field.name == "memory_plan":  # more workers hold more
            continue
        np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name))


def all_plans(sizes, n_workers, itemsize):
    """Make every kind of plan, those included that no memory limit would choose."""
    for keep in (True, False):
        for groups in (plans.group_classes(sizes), [(c, c) for c in range(len(sizes))]):
            holding = plans.kernel_holding(itemsize)
            yield plans.cost_schedule(sizes, groups, n_workers, keep, holding)


def solve_by(plan, problem, monkeypatch):
    monkeypatch.setattr(numba_ovo, "make_plan", lambda *args: plan)
    return numba_ovo.solve_blocked(problem, n_workers=plan.n_workers)


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("n_workers", [1, 3])
def test_each_pair_is_solved_as_on_its_own(monkeypatch, sizes, n_workers):
    """Under every plan: each pair is given its own three blocks, and its part of the answer."""
    monkeypatch.setattr(numba_ovo, "refine", lambda *args: None)  # it would use float64 values
    problem = make_problem(sizes, tol=1e-10)
    X = problem.samples.X
    solutions = [solve_by(plan, problem, monkeypatch) for plan in all_plans(sizes, n_workers, 8)]
    for number, (a, b) in enumerate(combinations(range(len(sizes)), 2)):
        in_a, in_b = problem.rows(a), problem.rows(b)
        aa, bb, ab = (
            stored(rbf(X[rows], X[columns], problem.kernel.gamma)).astype(np.float32)
            for rows, columns in ((in_a, in_a), (in_b, in_b), (in_a, in_b))
        )
        upper = np.concatenate([problem.upper[in_a], problem.upper[in_b]])
        blocks = PairKernel(aa, bb, ab, ab.T.copy())
        alone = solve_pair(blocks, upper, tol=problem.tol, max_iter=-1, cancelled=np.array([False]))
        for solution in solutions:
            beta = np.append(solution.coef[b - 1, in_a], solution.coef[a, in_b])
            np.testing.assert_allclose(beta, alone.beta, rtol=0, atol=1e-7)
            np.testing.assert_allclose(
                solution.intercept[number], alone.intercept, rtol=0, atol=1e-7
            )
            np.testing.assert_allclose(solution.objective[number], alone.objective, rtol=1e-9)
            assert 0 <= solution.gap[number] <= problem.tol
            assert solution.n_iter[number] > 0


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_number_of_workers_changes_no_bit(sizes, dtype):
    problem = make_problem(sizes, dtype)
    alone = solve_blocked(problem, n_workers=1)
    for n_workers in (2, 3, 8):
        assert_identical(alone, solve_blocked(problem, n_workers=n_workers))


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_plan_changes_nothing_that_tol_does_not_allow(monkeypatch, sizes, dtype):
    """Keeping the diagonals changes no bit; groups of classes may, the last one of float32."""
    problem = make_problem(sizes, dtype, tol=1e-6)
    grouped, single, grouped_again, single_again = (
        solve_by(plan, problem, monkeypatch)
        for plan in all_plans(sizes, 2, np.dtype(dtype).itemsize)
    )
    assert_identical(grouped, grouped_again)
    assert_identical(single, single_again)
    np.testing.assert_allclose(single.objective, grouped.objective, rtol=1e-6)
    np.testing.assert_allclose(single.intercept, grouped.intercept, rtol=0, atol=1e-4)


def test_the_memory_limit_chooses_the_plan(monkeypatch):
    sizes, made = SIZES["mixed"], []

    def spy(*args):
        made.append(make_plan(*args))
        return made[-1]

    monkeypatch.setattr(numba_ovo, "make_plan", spy)
    for limit in (None, 2 * 10**5, 3 * 10**5):
        solve_blocked(make_problem(sizes), n_workers=2, memory_limit_bytes=limit)
        assert made[-1] == make_plan(sizes, 6, 2, limit, 8)
    assert len(set(made)) == 3


@pytest.mark.parametrize("n_workers", [1, 2, 4])
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_progress_counts_every_pair(sizes, n_workers):
    counts = []
    solve_blocked(make_problem(sizes), n_workers=n_workers, progress=counts.append)
    assert min(counts) > 0
    assert sum(counts) == len(sizes) * (len(sizes) - 1) // 2


@pytest.mark.parametrize("sizes", ["two large", "many small"])
def test_an_interrupt_ends_the_work(sizes):
    def interrupt(n_pairs):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        solve_blocked(make_problem(SIZES[sizes]), n_workers=3, progress=interrupt)


def test_an_interrupt_leaves_the_tiles_that_have_not_begun(monkeypatch):
    """20 blocks within the classes, and 10 tiles of which one worker has just done the first."""
    computed = []

    def slow_kernel(*args, **kwargs):
        computed.append(args)
        time.sleep(0.03)
        return compute_kernel(*args, **kwargs)

    def interrupt(n_pairs):
        raise KeyboardInterrupt

    monkeypatch.setattr(numba_ovo, "compute_kernel", slow_kernel)
    problem = make_problem(SIZES["many small"])
    with pytest.raises(KeyboardInterrupt):
        solve_blocked(problem, n_workers=1, progress=interrupt)
    assert 20 < len(computed) < 30
    computed.clear()
    solve_blocked(problem, n_workers=1)
    assert len(computed) == 30


@pytest.mark.parametrize("sizes", ["two large", "many small"])
def test_an_interrupt_cancels_the_pairs_that_are_being_solved(monkeypatch, sizes):
    """Compiled code reads the flag, whose value after the interrupt is True."""
    flags, solve = [], numba_ovo.solve_pairs

    def spy(*args):
        flags.append(args[12])
        return solve(*args)

    def interrupt(n_pairs):
        raise KeyboardInterrupt

    monkeypatch.setattr(numba_ovo, "solve_pairs", spy)
    with pytest.raises(KeyboardInterrupt):
        solve_blocked(make_problem(SIZES[sizes]), n_workers=3, progress=interrupt)
    assert flags[0].all()


def test_max_iter_holds_for_each_pair():
    solution = solve_blocked(make_problem([70, 40, 20], max_iter=5), n_workers=2)
    np.testing.assert_array_equal(solution.n_iter, 5)
    assert solution.gap.min() > 1e-3


def test_a_pair_whose_rows_do_not_fit_is_refused():
    with pytest.raises(MemoryLimitError, match=r"must be at least .* KiB .* Got 1000 B instead"):
        solve_blocked(make_problem([70, 40]), n_workers=2, memory_limit_bytes=1000)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_workers", [1, 3, 8])
@pytest.mark.parametrize("block", [150, 650])
@pytest.mark.parametrize("sizes", [[600, 500], [300] * 5, [150] * 10])
def test_the_memory_taken_is_the_memory_claimed(monkeypatch, sizes, block, n_workers, dtype):
    """NumPy reports its allocations to tracemalloc; Python's own objects are the allowance."""
    monkeypatch.setattr(blocks, "BLOCK", block)
    monkeypatch.setattr(plans, "BLOCK", block)
    problem = make_problem(sizes, dtype, max_iter=3)
    solve_blocked(replace(problem, max_iter=1), n_workers=1)  # compile
    itemsize = np.dtype(dtype).itemsize
    for plan in all_plans(sizes, n_workers, itemsize):
        tracemalloc.start()
        try:
            solution = solve_by(plan, problem, monkeypatch)
            taken = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        taken -= solution.coef.nbytes
        assert taken <= 1.02 * plan.n_bytes + 400_000
        # Workers that have no tile of their own take less than their share.
        assert plan.n_bytes <= 1.5 * n_workers * taken
