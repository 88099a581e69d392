from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from parity import assert_same_model
from problems import random_problem
from reference import gap, objective, rbf
from sklearn.svm import SVC

from svmcifar import RBFSVC
from svmcifar.compute import gpu
from svmcifar.errors import BackendUnavailableError, MemoryLimitError
from svmcifar.svm.backends import sklearn_ovo
from svmcifar.svm.backends.optimality import certify
from svmcifar.svm.backends.registry import BACKENDS, choose_backend
from svmcifar.svm.kernels.kernel import Precision
from svmcifar.svm.kernels.rbf import RBF
from svmcifar.svm.problem import OvOProblem, OvOSolution
from svmcifar.svm.samples import sample_blocks


@pytest.fixture
def no_gpu_packages(monkeypatch):
    monkeypatch.setattr(gpu, "find_spec", lambda package: None)
    gpu._try_cupy.cache_clear()
    gpu.why_no_cuml.cache_clear()
    yield
    gpu._try_cupy.cache_clear()
    gpu.why_no_cuml.cache_clear()


@pytest.mark.usefixtures("no_gpu_packages")
def test_auto_is_the_cpu_solver_where_there_is_no_gpu_package():
    assert choose_backend("auto").name == "numba"
    X, y = np.eye(4), [0, 0, 1, 1]
    assert RBFSVC().fit(X, y).backend_ == "numba"


@pytest.mark.usefixtures("no_gpu_packages")
@pytest.mark.parametrize("name", ["cuml", "cupy"])
def test_a_missing_package_is_the_reason(name):
    expected = (
        f"The backend '{name}' does not work here: the package {name} is not installed "
        "(pip install 'svmcifar[gpu]'). "
        "Use 'numba', the fastest that does."
    )
    for ask in (choose_backend, lambda name: RBFSVC(backend=name).fit(np.eye(2), [0, 1])):
        with pytest.raises(BackendUnavailableError) as caught:
            ask(name)
        assert str(caught.value) == expected


def test_dask_needs_a_client():
    with pytest.raises(BackendUnavailableError, match=r"there is no dask\.distributed\.Client"):
        RBFSVC(backend="dask").fit(np.eye(2), [0, 1])


def test_an_unknown_backend_is_refused():
    with pytest.raises(BackendUnavailableError) as caught:
        choose_backend("thundersvm")
    assert str(caught.value) == (
        "The backend must be one of auto, cupy, cuml, numba, sklearn, dask. "
        "Got 'thundersvm' instead."
    )
    with pytest.raises(ValueError, match="The 'backend' parameter of RBFSVC must be a str among"):
        RBFSVC(backend="thundersvm").fit(np.eye(2), [0, 1])


@pytest.mark.parametrize("name", ["numba", "sklearn"])
def test_backends_that_work_anywhere(name):
    assert choose_backend(name) is BACKENDS[name]
    assert BACKENDS[name].why_not() is None
    assert BACKENDS[name].summary


@pytest.mark.parametrize("number", [0, 1, 2, 3, 12, 27, 47])
@pytest.mark.parametrize(
    ("dtype", "decision_atol", "rounding"), [(np.float64, 1e-4, 1e-9), (np.float32, 1e-2, 3e-5)]
)
def test_the_sklearn_backend_gives_the_same_model(number, dtype, decision_atol, rounding):
    """It trains and certifies in float64; float32 samples are rounded where they are centred."""
    problem = random_problem(number).astype(dtype)
    ours = problem.fit(RBFSVC, tol=1e-6, backend="sklearn")
    assert ours.backend_ == "sklearn"
    assert_same_model(problem, ours, problem.fit(SVC, tol=1e-6), 1e-6, 1e-7, decision_atol)

    K = rbf(problem.X, problem.X, ours.gamma_)
    assert (ours.n_iter_ > 0).all()
    for p, ((_, _, rows, y, upper), beta) in enumerate(
        zip(problem.pairs(), problem.betas(ours), strict=True)
    ):
        K_pair, mass = K[np.ix_(rows, rows)], np.abs(beta).sum()
        expected = max(gap(K_pair, y, beta, upper), 0)
        np.testing.assert_allclose(ours.gap_[p], expected, rtol=0, atol=rounding * mass)
        expected = objective(K_pair, y, beta)
        np.testing.assert_allclose(ours.objective_[p], expected, rtol=rounding)


@pytest.mark.parametrize(
    ("limit", "expected"), [(None, 1000.0), (50 * 2**20, 50.0), (2**40, 1000.0), (88, 88 / 2**20)]
)
def test_the_sklearn_backend_bounds_its_cache(monkeypatch, limit, expected):
    sizes = []

    class Spy(SVC):
        def fit(self, X, y, sample_weight=None):
            sizes.append(self.cache_size)
            return super().fit(X, y, sample_weight)

    monkeypatch.setattr(sklearn_ovo, "SVC", Spy)
    counts = []
    sklearn_ovo.solve_sklearn(
        small_problem(), n_workers=3, memory_limit_bytes=limit, progress=counts.append
    )
    assert sizes == [expected]
    assert counts == [6]


def test_the_sklearn_backend_refuses_a_limit_that_libsvm_would_pass():
    rule = r"The memory limit must be at least 88.09 B for two kernel rows .* Got 87 B instead."
    with pytest.raises(MemoryLimitError, match=rule):
        sklearn_ovo.solve_sklearn(small_problem(), n_workers=1, memory_limit_bytes=87)


def small_problem():
    rng = np.random.default_rng(0)
    sizes = (4, 1, 7, 3)
    return OvOProblem(
        samples=sample_blocks(rng.normal(size=(sum(sizes), 3)), None),
        precision=Precision.FLOAT64,
        starts=(0, *np.cumsum(sizes).tolist()),
        upper=rng.uniform(0.5, 3, sum(sizes)),
        kernel=RBF(0.4),
        tol=1e-3,
        max_iter=-1,
    )


def test_any_coefficients_can_be_certified():
    """Gap and objective of coefficients that are feasible, but far from the optimum."""
    problem = small_problem()
    problem = replace(problem, upper=np.full(15, 2.0))
    solution = OvOSolution.empty(problem)
    rng = np.random.default_rng(1)
    signs = {}
    for a, b in combinations(range(4), 2):
        # Zero, free and bounded ones; class sizes differ, so the sum is not zero: no matter here.
        solution.coef[b - 1, problem.rows(a)] = rng.choice([0, 1, 2.0], problem.sizes[a])
        solution.coef[a, problem.rows(b)] = -rng.choice([0, 1, 2.0], problem.sizes[b])
        solution.coef[b - 1, problem.rows(a).start] = 1.0
        signs[a, b] = np.repeat([1.0, -1.0], [problem.sizes[a], problem.sizes[b]])
    certify(problem, solution)
    X = problem.samples.X
    for number, ((a, b), y) in enumerate(signs.items()):
        in_a, in_b = problem.rows(a), problem.rows(b)
        rows = np.r_[in_a, in_b]
        K = rbf(X[rows], X[rows], problem.kernel.gamma)
        beta = np.append(solution.coef[b - 1, in_a], solution.coef[a, in_b])
        expected = gap(K, y, beta, problem.upper[rows])
        assert expected > 0.1
        np.testing.assert_allclose(solution.gap[number], expected, rtol=1e-5)
        np.testing.assert_allclose(solution.objective[number], objective(K, y, beta), rtol=1e-5)
