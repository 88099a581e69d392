"""A second kernel, a class and no more, gives the model of scikit-learn's SVC with that kernel."""

from dataclasses import dataclass
from typing import ClassVar

import array_api_strict as xp
import numpy as np
import pytest
from devices import assert_on_device, on_device
from problems import Problem, clusters, training_set
from searches import objectives_by_point, solve
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.svm import SVC

from svmcifar import RBFSVC
from svmcifar.compute.arrays import get_namespace, to_host
from svmcifar.svm.backends import cupy_ovo
from svmcifar.svm.kernels import blocks, kernel
from svmcifar.svm.kernels.blocks import compute_kernel, kernel_block
from svmcifar.svm.kernels.kernel import Kernel, Precision
from svmcifar.svm.kernels.registry import KERNELS, make_kernel
from svmcifar.svm.path.grid import Grid
from svmcifar.svm.path.predict import predict_points
from svmcifar.svm.problem import sort_by_class
from svmcifar.svm.samples import sample_blocks


@dataclass(frozen=True)
class Cauchy(Kernel):
    gamma: float
    name: ClassVar[str] = "cauchy"
    is_shift_invariant: ClassVar[bool] = True
    has_unit_diagonal: ClassVar[bool] = True

    def values(self, products, a_sq_norms, b_sq_norms):
        return 1.0 / (1.0 + self.gamma * (a_sq_norms[:, None] + b_sq_norms - 2.0 * products))

    def diagonal(self, samples):
        return get_namespace(samples.sq_norms).ones_like(samples.sq_norms)

    @property
    def sklearn_parameters(self):
        return {"kernel": lambda A, B: exact(A, B, self.gamma)}


@dataclass(frozen=True)
class Cube(Cauchy):
    """Neither shift-invariant nor with a diagonal of ones."""

    name: ClassVar[str] = "cube"
    is_shift_invariant: ClassVar[bool] = False
    has_unit_diagonal: ClassVar[bool] = False

    def values(self, products, a_sq_norms, b_sq_norms):
        return (self.gamma * products) ** 3

    def diagonal(self, samples):
        return (self.gamma * samples.sq_norms) ** 3


def exact(A, B, gamma):
    return 1.0 / (1.0 + gamma * euclidean_distances(A, B, squared=True))


@pytest.fixture
def registered(monkeypatch):
    """Make `RBFSVC` and searches use it."""
    monkeypatch.setitem(KERNELS, "rbf", Cauchy)


def samples(n, dtype, seed=0):
    return sample_blocks(np.random.default_rng(seed).normal(size=(n, 4)).astype(dtype), None)


def test_kernels_are_made_by_name():
    assert make_kernel("rbf", gamma=0.25, degree=2, coef0=1.0) == KERNELS["rbf"](0.25)
    made = make_kernel("poly", gamma=0.25, degree=2, coef0=1.0)
    assert (made.gamma, made.degree, made.coef0) == (0.25, 2, 1.0)
    assert all(made.name == name for name, made in KERNELS.items())


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("backend", ["numba", "sklearn"])
@pytest.mark.parametrize("n_classes", [2, 4])
def test_the_model_is_that_of_svc(n_classes, backend):
    X, y = training_set(n_classes, n=30)
    problem = Problem(X, y, X[::2] + 0.3)
    ours = RBFSVC(C=3.0, gamma=0.4, tol=1e-7, backend=backend).fit(X, y)
    theirs = SVC(C=3.0, kernel=lambda A, B: exact(A, B, 0.4), tol=1e-7).fit(X, y)
    np.testing.assert_allclose(
        problem.decisions(ours), problem.decisions(theirs), rtol=0, atol=1e-5
    )
    assert (ours.gap_ <= 1e-5).all()
    np.testing.assert_array_equal(ours.predict(problem.Z), theirs.predict(problem.Z))


@pytest.mark.usefixtures("registered")
def test_a_search_is_that_of_single_fits():
    X, y = clusters(np.random.default_rng(3), [30] * 3, 6)
    grid = Grid([1.0, 10.0], [0.2, 0.5], [4, 6])
    problem, plan = solve(X, y, grid, RBFSVC(tol=1e-7))
    predicted = predict_points(problem, plan, X + 0.1)
    for number, point in enumerate(grid.points):
        columns = slice(0, point.n_components)
        svc = RBFSVC(C=point.C, gamma=point.gamma.number, tol=1e-7).fit(X[:, columns], y)
        found = objectives_by_point(problem)[number]
        np.testing.assert_allclose(found, svc.objective_, rtol=1e-6)
        np.testing.assert_array_equal(predicted[number], svc.predict((X + 0.1)[:, columns]))


@pytest.mark.parametrize("made", [Cauchy(0.3), Cube(0.3)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_blocks(made, dtype, monkeypatch):
    """On the host, on a device, and as one symmetric matrix of a GPU."""
    monkeypatch.setattr(blocks, "BLOCK", 7)
    monkeypatch.setattr(cupy_ovo, "_BLOCK", 7)
    monkeypatch.setattr(kernel, "HOST_RUN", 20)
    monkeypatch.setattr(kernel, "DEVICE_RUN", 30)
    A, B = samples(17, dtype), samples(9, dtype, seed=1)
    atol = 1e-5 if dtype == np.float32 else 1e-12

    def expected(A, B):
        X, Z = np.float64(A.X), np.float64(B.X)
        return exact(X, Z, 0.3) if made.name == "cauchy" else (0.3 * X @ Z.T) ** 3

    out = np.empty((17, 9))
    np.testing.assert_allclose(
        compute_kernel(made, A, B, out=out), expected(A, B), rtol=1e-5, atol=atol
    )
    there = [sample_blocks(on_device(part.X), None) for part in (A, B)]
    K = kernel_block(made, *there)
    assert_on_device(K, getattr(xp, np.dtype(dtype).name))
    np.testing.assert_allclose(to_host(K), expected(A, B), rtol=1e-5, atol=atol)
    whole = compute_kernel(made, A, A)
    matrix = cupy_ovo.kernel_matrix(made, A.X, A.sq_norms)
    for K in (whole, matrix):
        np.testing.assert_allclose(K, expected(A, A), rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(K, K.T)
        np.testing.assert_array_equal(np.diag(K), made.diagonal(A).astype(K.dtype))


def test_samples_are_centred_only_for_a_kernel_that_allows_it():
    X, y = training_set(3)
    training = sort_by_class(X + 50, y, None, 1.0)
    assert training.center(Cube(0.3)) is None
    np.testing.assert_allclose(training.center(Cauchy(0.3)), X.mean(axis=0) + 50)
    (problem,) = training.problems([(3, Cube(0.3))], 1.0, 1e-3, -1)
    np.testing.assert_array_equal(problem.samples.X, (X + 50)[training.order])


def test_one_kernel_that_needs_float64_gives_it_to_all():
    class Coarse(Cauchy):
        def rounding(self, sq_norms, precision):
            assert (sq_norms > 0).all()
            is_too_coarse = self.gamma > 1 and precision == Precision.FLOAT32
            return np.full(len(sq_norms), np.inf if is_too_coarse else 0.0)

    X, y = training_set(3, dtype=np.float32)
    training = sort_by_class(X, y, None, 1.0)
    for gammas, dtype in ((0.5, 0.7), np.float32), ((0.5, 2.0), np.float64):
        kernels = [(width, Coarse(gamma)) for width, gamma in zip((2, 3), gammas, strict=True)]
        problems = training.problems(kernels, 1.0, 1e-3, -1)
        assert [problem.samples.X.shape[1] for problem in problems] == [2, 3]
        assert {problem.samples.X.dtype for problem in problems} == {np.dtype(dtype)}
        assert problems[0].kernel.gamma == gammas[0]


def test_a_block_on_the_diagonal_is_symmetric_whatever_its_products():
    products = np.random.default_rng(0).normal(size=(5, 5)) / 10
    K, rows = np.empty((7, 7), dtype=np.float32), slice(2, 7)
    Cauchy(0.3).write_mirrored(products, np.ones(7), rows, rows, K)
    expected = Cauchy(0.3).values(products, np.ones(5), np.ones(5))
    np.testing.assert_allclose(np.triu(K[rows, rows]), np.triu(expected), rtol=1e-6)
    np.testing.assert_array_equal(K[rows, rows], K[rows, rows].T)
