"""The whole GPU backend with a stand-in for CuPy on the path; run by test_cupy_ovo.py."""

import numpy as np
import pytest

from svmcifar.compute.arrays import to_device, to_host
from svmcifar.svm.backends import cupy_ovo, memory_plan
from svmcifar.svm.backends.gpu_memory_plan import make_device_plan
from svmcifar.svm.backends.numba_ovo import solve_blocked
from svmcifar.svm.backends.parts import list_parts, solve_on_gpu
from svmcifar.svm.kernels.blocks import compute_kernel
from svmcifar.svm.kernels.invariant_rbf import InvariantRBF
from svmcifar.svm.kernels.kernel import Precision
from svmcifar.svm.kernels.linear import Linear
from svmcifar.svm.kernels.poly import Polynomial
from svmcifar.svm.kernels.rbf import RBF
from svmcifar.svm.problem import OvOProblem, OvOSolution
from svmcifar.svm.samples import sample_blocks


def make_problem(sizes, dtype=np.float64, C=1.0, seed=0, kernel=RBF(0.3)):  # noqa: B008
    rng = np.random.default_rng([seed, *sizes])
    n = sum(sizes)
    centres = np.repeat(rng.normal(size=(len(sizes), 4)), sizes, axis=0)
    X = (centres + rng.normal(size=(n, 4))).astype(dtype)
    X[-1] = X[0]  # the same sample in two classes
    return OvOProblem(
        samples=sample_blocks(X, None),
        precision=Precision(np.dtype(dtype) == np.float64),
        starts=(0, *np.cumsum(sizes).tolist()),
        upper=C * rng.uniform(0.5, 2.0, n),
        kernel=kernel,
        tol=1e-6,
        max_iter=-1,
    )


def solve(problem, limit=2**60):
    done = []
    plan = make_device_plan(problem.sizes, limit)
    solution = cupy_ovo.solve_on_device(problem, plan, done.append)
    assert sum(done) == len(solution.gap)
    return plan, solution


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("block", [4096, 7])
def test_kernel_matrix(monkeypatch, dtype, block):
    monkeypatch.setattr(cupy_ovo, "_BLOCK", block)
    samples = make_problem([9, 8], dtype).samples
    arrays = to_device(samples.X), to_device(samples.sq_norms)
    K = to_host(cupy_ovo.kernel_matrix(RBF(0.3), *arrays))
    assert K.dtype == np.float32
    np.testing.assert_array_equal(K, K.T)
    np.testing.assert_array_equal(np.diag(K), 1)
    expected = compute_kernel(RBF(0.3), samples, samples)
    np.testing.assert_allclose(K, expected, rtol=3e-6 if dtype == np.float32 else 1.2e-7)
    assert K[0, -1] == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    ("sizes", "C", "kernel"),
    [
        *((sizes, C, RBF(0.3)) for sizes in ([6, 9], [5, 1, 4], [2, 3, 1, 2]) for C in (0.01, 30)),
        ([5, 1, 4], 0.1, Linear()),
        ([6, 9], 0.01, Polynomial(0.3, 2, 1.0)),
        ([5, 1, 4], 3.0, InvariantRBF(0.3, 2)),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_solution_is_that_of_the_cpu(sizes, C, kernel):
    problem = make_problem(sizes, C=C, kernel=kernel)
    expected = solve_blocked(problem, n_workers=1)
    _, solution = solve(problem)
    np.testing.assert_allclose(solution.objective, expected.objective, rtol=1e-7)
    assert (solution.gap <= problem.tol).all()
    assert (solution.n_iter > 0).all()
    X = problem.samples
    K = compute_kernel(problem.kernel, X, X, np.empty((len(X), len(X))))
    atol = 1e-4  # far above what tol allows, far below what a misplaced coefficient does
    np.testing.assert_allclose(solution.coef @ K, expected.coef @ K, atol=atol)
    np.testing.assert_allclose(solution.intercept, expected.intercept, atol=atol)
    assert ((solution.coef == 0) | (np.abs(solution.coef) <= problem.upper)).all()


def test_tiles_give_the_model_of_the_whole_matrix():
    problem = make_problem([2, 1, 3, 2], C=0.5)
    whole_plan, whole = solve(problem)
    seen = {len(whole_plan.groups)}
    limit = whole_plan.n_bytes - 1
    while len(seen) < 3:
        plan, solution = solve(problem, limit)
        np.testing.assert_allclose(solution.objective, whole.objective, rtol=1e-9)
        np.testing.assert_allclose(solution.coef, whole.coef, atol=1e-5)
        np.testing.assert_allclose(solution.intercept, whole.intercept, atol=1e-5)
        seen.add(len(plan.groups))
        limit = plan.n_bytes - 1
    assert seen == {1, 3, 4}


def test_parts_give_the_model_of_the_whole_matrix(monkeypatch):
    """As Dask's workers with a GPU solve them."""
    monkeypatch.setattr(memory_plan, "BLOCK", 3)
    problem = make_problem([2, 1, 2], C=0.5)
    _, whole = solve(problem)
    plan = memory_plan.make_plan(problem.sizes, 4, 1, None, 8)
    parts = list_parts(plan, problem.sizes)
    assert sorted(part.pairs(plan) for part in parts) == [[(0, 1)], [(0, 2), (1, 2)]]
    solution = OvOSolution.empty(problem)
    for part in parts:
        solved = solve_on_gpu(problem, plan, part)
        solved.store(problem, part.pairs(plan), solution)
    np.testing.assert_allclose(solution.objective, whole.objective, rtol=1e-9)
    np.testing.assert_allclose(solution.coef, whole.coef, atol=1e-5)
    np.testing.assert_allclose(solution.intercept, whole.intercept, atol=1e-5)
    assert (solution.gap <= problem.tol).all()


def test_max_iter_is_kept():
    problem = make_problem([4, 3, 4])
    object.__setattr__(problem, "max_iter", 2)
    _, solution = solve(problem)
    assert solution.n_iter.tolist() == [2, 2, 2]
    assert (solution.gap > problem.tol).all()
