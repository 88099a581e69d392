"""The CUDA solver on a GPU, held against the CPU solver; see conftest.py for where it runs."""

from itertools import pairwise

import numpy as np
import pytest
from cudapairs import assert_identical, make_pairs
from gpu_problems import assert_same_solution, here, ovo_problem
from reference import float32_kernel_error, rbf

from svmcifar.compute.arrays import to_device, to_host
from svmcifar.errors import BackendUnavailableError, MemoryLimitError
from svmcifar.svm.backends import cupy_ovo, smo_cuda
from svmcifar.svm.backends.cupy_ovo import kernel_matrix, solve_cupy
from svmcifar.svm.backends.gpu_memory_plan import make_device_plan
from svmcifar.svm.backends.numba_ovo import solve_blocked
from svmcifar.svm.backends.smo_cuda import KERNELS, launch_smo
from svmcifar.svm.kernels.rbf import RBF
from svmcifar.svm.samples import sample_blocks

pytestmark = pytest.mark.gpu

OF_ONES = KERNELS[np.dtype(np.float32)]


def launch(problem, max_iter=-1):
    return launch_smo(
        to_device(problem.kernel), problem.upper, problem.tables(), tol=1e-6, max_iter=max_iter
    )


@pytest.fixture
def take(monkeypatch):
    """Let one kernel take pairs of all sizes."""
    return lambda kernel: monkeypatch.setitem(KERNELS, np.dtype(np.float32), (kernel,))


@pytest.mark.parametrize(
    "problem",
    [
        make_pairs(here([200, 150, 1], [20, 15, 1])),
        make_pairs(here([100, 400], [10, 20]), 0.01),
        make_pairs(here([50, 40, 30, 20, 10], [3, 2, 1, 2, 1]), 10.0, duplicates=True),
        make_pairs(here([30, 90, 10, 20], [3, 5, 1]), 1e3, weights=True),
        make_pairs(here([513, 512], [9, 8]), 0.1, period=7, weights=True),
    ],
)
def test_the_answer_is_that_of_the_cpu_and_the_same_by_all_kernels(problem, take):
    first = launch(problem)
    # A GPU fuses products and sums, so its steps may be others than the CPU's.
    problem.assert_solved(first, 1e-6, objective_rtol=1e-8, decision_atol=1e-3)
    for kernel in OF_ONES:
        if problem.sizes.sum(axis=1).max() <= kernel.most_samples:
            take(kernel)
            assert_identical(launch(problem), first)


@pytest.mark.parametrize("max_iter", [0, 1, 5])
def test_max_iter_is_kept_and_told(max_iter):
    problem = make_pairs([8, 6], 10.0)
    (solution,) = launch(problem, max_iter)
    assert solution.n_iter == max_iter
    assert solution.gap > 1e-6


@pytest.mark.parametrize("n", here([1024, 1025, 5184, 5185, 10_368, 10_369, 24_576, 24_577], [12]))
def test_the_same_bits_where_the_choice_of_a_kernel_turns(n, take):
    """And shared memory beyond what a kernel has without asking."""
    problem = make_pairs([n // 2, n - n // 2], 1.0)
    natural = launch(problem, max_iter=200)
    take(OF_ONES[-1])
    assert_identical(launch(problem, max_iter=200), natural)


def test_long_solves_go_on_in_further_launches(monkeypatch):
    problem = make_pairs(here([100, 90, 80], [5, 4, 3]), 10.0)
    whole = launch(problem)
    monkeypatch.setattr(smo_cuda, "STEPS_PER_LAUNCH", 10)
    assert_identical(launch(problem), whole)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("n", "d"), here([(100, 3072), (4097, 64)], [(17, 24)]))
def test_kernel_matrix(dtype, n, d):
    """Against distances in float64; with TF32 products it would be twice as far off as may be."""
    X = np.random.default_rng(n).normal(size=(n, d)).astype(dtype)
    X[-1] = X[0]
    samples, gamma = sample_blocks(X, None), 1.0 / d
    arrays = to_device(samples.X), to_device(samples.sq_norms)
    K = to_host(kernel_matrix(RBF(gamma), *arrays))
    assert K.dtype == np.float32
    np.testing.assert_array_equal(K, K.T)
    np.testing.assert_array_equal(np.diag(K), 1)
    error = float32_kernel_error(gamma, float(samples.sq_norms.max()), d) + 2.0**-25
    some = slice(0, n, max(1, n // 50))
    atol = error if dtype == np.float32 else 1e-7
    np.testing.assert_allclose(K[some], rbf(X[some], X, gamma), rtol=0, atol=atol)
    assert K[0, -1] == pytest.approx(1, abs=atol)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("sizes", "C"),
    [
        (here([300, 500], [6, 9]), 0.01),
        (here([250, 1, 200], [5, 1, 4]), 30.0),
        (here([100, 2, 150, 100], [2, 3, 1, 2]), 1e3),
        (here([120, 60, 90, 30, 110], [2, 1, 2, 1, 2]), 1.0),
    ],
)
def test_the_solution_is_that_of_the_cpu(sizes, C, dtype):
    """Both compute float32 distances in orders of their own, hence the limits at a large C."""
    problem = ovo_problem(sizes, dtype=dtype, C=C)
    ours, theirs = solve_cupy(problem, n_workers=1), solve_blocked(problem, n_workers=1)
    exact = dtype == np.float64
    assert_same_solution(
        problem,
        ours,
        theirs,
        rtol=1e-8 if exact else 1e-5 * max(1.0, C / 100),
        atol=1e-4 if exact else 1e-4 * max(1.0, C),
    )


def plans_of_all_kinds(problem):
    """Give limits in bytes, from the whole matrix to a pair at a time, and groups of each."""
    limit, limits, groups = 2**60, [], []
    while True:
        try:
            plan = make_device_plan(problem.sizes, limit)
        except MemoryLimitError:
            return limits, groups
        if len(plan.groups) not in groups:
            limits.append(plan.n_bytes)
            groups.append(len(plan.groups))
        limit = plan.n_bytes - 1


def test_tiles_give_the_model_of_the_whole_matrix(monkeypatch):
    sizes = here([200, 100, 300, 200, 50], [2, 1, 3, 2])
    problem = ovo_problem(sizes, C=0.5)
    limits, groups = plans_of_all_kinds(problem)
    assert groups[0] == 1
    assert len(groups) >= here(4, 2)
    n_tiles = []

    def counted(*arguments):
        n_tiles[-1] += 1
        return kernel_matrix(*arguments)

    monkeypatch.setattr(cupy_ovo, "kernel_matrix", counted)
    solutions = []
    for limit in limits:
        n_tiles.append(0)
        solutions.append(solve_cupy(problem, n_workers=1, memory_limit_bytes=limit))
    assert n_tiles == [1, *(g * (g - 1) // 2 for g in groups[1:])]
    for tiled in solutions[1:]:
        assert_same_solution(problem, tiled, solutions[0], rtol=1e-6, atol=1e-4)
    with pytest.raises(MemoryLimitError, match="The GPU memory for kernel values must be"):
        solve_cupy(problem, n_workers=1, memory_limit_bytes=min(limits) - 1)


def test_the_same_twice_to_the_bit():
    problem = ovo_problem(here([400, 300, 200], [4, 3, 2]))
    first, second = (solve_cupy(problem, n_workers=1) for _ in range(2))
    for name in ("coef", "intercept", "objective", "gap", "n_iter"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


def test_pairs_of_5000_samples():
    """As large as CIFAR-100's superclasses, and as many features; on the host tiny."""
    problem = ovo_problem(here([2500] * 3, [3] * 3), d=here(3072, 12), tol=1e-3)
    ours, theirs = solve_cupy(problem, n_workers=1), solve_blocked(problem, n_workers=2)
    assert_same_solution(problem, ours, theirs, rtol=1e-5, atol=5e-3)


def test_more_samples_than_a_block_of_products():
    """The last block of each row and column is a part of one."""
    sizes = here([2100, 2000, 101], [4, 3, 2])
    problem = ovo_problem(sizes, tol=1e-3)
    assert here(sum(sizes), 4097) > 4096
    ours, theirs = solve_cupy(problem, n_workers=1), solve_blocked(problem, n_workers=2)
    assert_same_solution(problem, ours, theirs, rtol=1e-5, atol=5e-3)


def test_many_pairs_in_one_launch():
    """More than there are multiprocessors: of fine classes there are 4,950."""
    sizes = [here(20, 1)] * here(100, 4)
    problem = ovo_problem(sizes)
    ours, theirs = solve_cupy(problem, n_workers=1), solve_blocked(problem, n_workers=2)
    assert len(ours.gap) == here(4950, 6)
    for p, (low, high) in enumerate(pairwise(range(0, len(ours.gap), here(500, 3)))):
        part = slice(low, high)
        np.testing.assert_allclose(
            ours.objective[part], theirs.objective[part], rtol=1e-5, err_msg=str(p)
        )
    np.testing.assert_allclose(ours.intercept, theirs.intercept, rtol=0, atol=1e-4)
    assert (ours.gap <= problem.tol).all()


def test_tf32_is_refused(monkeypatch):
    monkeypatch.setenv("CUPY_TF32", "1")
    with pytest.raises(BackendUnavailableError, match="CUPY_TF32 must be 0"):
        solve_cupy(ovo_problem([3, 3]), n_workers=1)
