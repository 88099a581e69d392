"""The cuML backend on stand-ins for CuPy and cuML.

What the stand-in for `cuml.svm.SVC` does was read from cuML 26.10.00 (cuml/svm/svc.py,
svm_base.pyx, internals/validation.py, internals/outputs.py), and from these C++ sources, of 2025
but for the first, of 2026: cpp/src/svm/kernelcache.cuh, smosolver.cuh, smoblocksolve.cuh,
results.cuh.

- The larger of two labels is the positive class (svc.py:393); `dual_coef_` is ``y_i alpha_i`` and
  the decision function ``dual_coef_ @ K + intercept_`` (results.cuh, CombineCoefs; svc.py:418).
- `support_` has the shape (n_SV,), int32, and ascends; `dual_coef_` (1, n_SV) and `intercept_`
  (1,) have X's type (svm_base.pyx:96-100).  All three are on the device, or of the type that was
  set for all of cuML's results (outputs.py, ReflectedAttr).  `n_iter_` is a NumPy array of shape
  (1,), int32 (svm_base.pyx:463).
- C is multiplied with the sample weights in X's type (smosolver.cuh, InitPenalty), so a bounded
  coefficient is the bound rounded to it.
- `gamma="scale"` is computed from the samples at hand (svm_base.pyx:305).
- X is copied if it is not column-major, or neither float32 nor float64 (svc.py:354).
- `fit_status_` is always 0 (svm_base.pyx:461).  Fitting raises RuntimeError where no step changes
  anything (libcuml.so: "solver made no progress"; Cython's `except +`).
- The kernel cache is allocated whole, in sets of 32 rows (raft/util/cache.cuh).
"""

import sys
import warnings
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from parity import assert_same_model, rbf_by_products
from problems import random_problem
from reference import gap, objective, rbf, stored
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import SVC

from svmcifar import RBFSVC
from svmcifar.errors import BackendUnavailableError, MemoryLimitError
from svmcifar.svm.backends import cuml_ovo
from svmcifar.svm.backends.cuml_ovo import _Gpu, solve_cuml
from svmcifar.svm.backends.numba_ovo import solve_blocked
from svmcifar.svm.backends.optimality import certify
from svmcifar.svm.backends.registry import BACKENDS, Backend
from svmcifar.svm.kernels.kernel import Precision
from svmcifar.svm.kernels.rbf import RBF
from svmcifar.svm.one_vs_one import class_pairs
from svmcifar.svm.problem import OvOProblem, OvOSolution
from svmcifar.svm.samples import sample_blocks

GIB = 2**30


class DeviceArray(np.ndarray):
    """NumPy's array as CuPy's: it does not mix with arrays on the host."""

    def __array_ufunc__(self, ufunc, method, *inputs, out=(), **kwargs):
        for operand in (*inputs, *out):
            if type(operand) is np.ndarray and operand.ndim:
                raise TypeError("Unsupported type <class 'numpy.ndarray'>")
        inputs, out = (tuple(map(on_host, arrays)) for arrays in (inputs, out))
        result = getattr(ufunc, method)(*inputs, **({"out": out} if out else {}), **kwargs)
        return np.asarray(result).view(DeviceArray)


def on_host(array):
    return array.view(np.ndarray) if isinstance(array, DeviceArray) else array


class FakeCupy(ModuleType):
    """The part of CuPy that the backend calls; it records what is sent to the device."""

    def __init__(self, free_bytes=8 * GIB):
        super().__init__("cupy")
        self.__spec__ = ModuleSpec("cupy", None)
        self.uploads = []
        self.allocators, self.allocator_of = ["the pool's"], []
        self.waits = 0
        self.cuda = SimpleNamespace(
            runtime=SimpleNamespace(memGetInfo=lambda: (free_bytes, 9 * GIB)),
            get_allocator=lambda: self.allocators[-1],
            set_allocator=lambda allocator: self.allocators.__setitem__(-1, allocator),
            using_allocator=self.using_allocator,
            get_current_stream=lambda: self,
            alloc_pinned_memory=lambda size: None,
        )
        self.square, self.exp, self.maximum = np.square, np.exp, np.maximum
        self.arange = np.arange

    def get_default_memory_pool(self):
        return SimpleNamespace(free_all_blocks=lambda: None)

    get_default_pinned_memory_pool = get_default_memory_pool

    def synchronize(self):
        self.waits += 1

    @contextmanager
    def using_allocator(self, allocator):
        self.allocators.append(allocator)
        try:
            yield
        finally:
            self.allocators.pop()

    def asarray(self, array):
        assert type(array) is np.ndarray
        self.uploads.append(array.shape)
        return array.copy().view(DeviceArray)

    def empty(self, shape, dtype, order):
        return np.full(shape, np.nan, dtype=dtype, order=order).view(DeviceArray)

    def asnumpy(self, array):
        assert isinstance(array, DeviceArray)
        return np.array(array, copy=True, subok=False)


class FakeRmm(ModuleType):
    """RMM, from which cuML's C++ allocates, and by its allocator CuPy."""

    def __init__(self):
        super().__init__("rmm")
        self.__path__ = []
        self.resource = "cudaMalloc"
        self.mr = SimpleNamespace(
            get_current_device_resource=lambda: self.resource,
            set_current_device_resource=lambda resource: setattr(self, "resource", resource),
            CudaAsyncMemoryResource=lambda: "a pool",
        )
        self.allocators = ModuleType("rmm.allocators")
        self.allocators.__path__ = []
        self.allocators.cupy = ModuleType("rmm.allocators.cupy")
        self.allocators.cupy.rmm_cupy_allocator = "rmm's"


class FakeCuml(ModuleType):
    """cuML, with one class and the type that is set for its results."""

    def __init__(self):
        super().__init__("cuml")
        self.__spec__ = ModuleSpec("cuml", None)
        self.__path__ = []
        self.output_type = None
        self.models = []
        self.svm = ModuleType("cuml.svm")
        self.svm.SVC = type("SVC", (FakeSVC,), {"cuml": self})

    @contextmanager
    def using_output_type(self, output_type):
        before, self.output_type = self.output_type, output_type
        yield before
        self.output_type = before


class Reflected:
    """An attribute in the type that was set, or else on the device."""

    def __set_name__(self, owner, name):
        self.name = name

    def __set__(self, model, value):
        vars(model)[self.name] = value

    def __get__(self, model, owner):
        value = vars(model)[self.name]
        return value if model.cuml.output_type == "numpy" else value.view(DeviceArray)


class FakeSVC:
    """`cuml.svm.SVC` of two classes, by LIBSVM; see the module's docstring."""

    support_, dual_coef_, intercept_ = Reflected(), Reflected(), Reflected()
    stagnates_in = ()

    def __init__(
        self, *, C=1.0, kernel="rbf", degree=3, gamma="scale", coef0=0.0, tol=1e-3,
        cache_size=1024.0, max_iter=-1, nochange_steps=1000, verbose=False, output_type=None,
        random_state=None, class_weight=None, decision_function_shape="ovo",
    ):  # fmt: skip
        assert (kernel, class_weight, output_type) == ("rbf", None, None)
        self.C, self.gamma, self.tol = C, gamma, tol
        self.cache_size, self.max_iter = cache_size, max_iter
        self.cuml.models.append(self)

    def fit(self, X, y, sample_weight=None):
        assert all(isinstance(array, DeviceArray) for array in (X, y, sample_weight))
        assert X.flags.f_contiguous
        assert X.dtype in (np.float32, np.float64)
        X, y, weight = (np.array(array, subok=False) for array in (X, y, sample_weight))
        assert np.isfinite(X).all()
        self.X, self.sample_weight = X, weight
        classes, codes = np.unique(y, return_inverse=True)
        assert len(classes) == 2
        if X.dtype.name in self.stagnates_in:
            raise RuntimeError("SMO error: solver made no progress while the stopping ...")
        svc = SVC(
            gamma=self.gamma, tol=self.tol, max_iter=self.max_iter, cache_size=self.cache_size or 1
        )
        bound = X.dtype.type(self.C) * weight.astype(X.dtype)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            svc.fit(X.astype(np.float64), codes, sample_weight=bound.astype(np.float64))
        order = np.argsort(svc.support_)
        self.support_ = svc.support_[order].astype(np.int32)
        self.dual_coef_ = svc.dual_coef_[:, order].astype(X.dtype, order="F")
        self.intercept_ = svc.intercept_.astype(X.dtype)
        self.n_support_ = len(order)
        self.n_iter_ = np.array([svc.n_iter_[0]], dtype=np.int32)
        self.fit_status_ = 0
        return self


@pytest.fixture
def gpu(monkeypatch):
    """Stand-ins where imports find them."""
    cupy, cuml, rmm = FakeCupy(), FakeCuml(), FakeRmm()
    modules = (cupy, cuml, cuml.svm, rmm, rmm.allocators, rmm.allocators.cupy)
    for module in modules:
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return SimpleNamespace(
        cupy=cupy, cuml=cuml, rmm=rmm, models=cuml.models, svc_class=cuml.svm.SVC
    )


SIZES = {2: [7, 12], 3: [9, 1, 14], 4: [5, 5, 5, 5], 5: [3, 17, 2, 8, 30], 6: [1, 6, 11, 2, 40, 4]}


def make_problem(n_classes=3, dtype=np.float64, tol=1e-8, upper=None, sizes=None, **settings):
    sizes = sizes or SIZES[n_classes]
    rng = np.random.default_rng(sum(sizes))
    y = np.repeat(np.arange(len(sizes)), sizes)
    X = rng.normal(size=(len(sizes), 6))[y] + rng.normal(size=(len(y), 6))
    settings = {"kernel": RBF(0.15), "max_iter": -1, **settings}
    return OvOProblem(
        samples=sample_blocks(X.astype(dtype), None),
        precision=Precision(np.dtype(dtype) == np.float64),
        starts=(0, *np.cumsum(sizes).tolist()),
        upper=rng.uniform(0.2, 3, len(y)) if upper is None else np.full(len(y), upper),
        tol=tol,
        **settings,
    )


def solve(problem, **settings):
    return solve_cuml(problem, n_workers=1, **settings)


def decisions(problem, solution, Z):
    """Decision values by the definition, from the common layout."""
    K = rbf(problem.samples.X, Z, problem.kernel.gamma)
    columns = []
    for number, (a, b) in enumerate(class_pairs(problem.n_classes)):
        in_a, in_b = problem.rows(a), problem.rows(b)
        values = solution.coef[b - 1, in_a] @ K[in_a] + solution.coef[a, in_b] @ K[in_b]
        columns.append(values + solution.intercept[number])
    return np.array(columns)


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("n_classes", SIZES)
def test_the_solution_is_the_numba_backends(n_classes):
    problem = make_problem(n_classes)
    ours, theirs = solve(problem), solve_blocked(problem, n_workers=1)
    np.testing.assert_allclose(ours.coef, theirs.coef, rtol=0, atol=1e-6)
    np.testing.assert_allclose(ours.intercept, theirs.intercept, rtol=0, atol=1e-6)
    np.testing.assert_allclose(ours.objective, theirs.objective, rtol=1e-7)
    assert ours.n_iter.min() > 0
    assert (ours.n_iter.dtype, ours.n_iter.shape) == (np.int64, theirs.n_iter.shape)
    Z = problem.samples.X[::2] + 0.1
    np.testing.assert_allclose(
        decisions(problem, ours, Z), decisions(problem, theirs, Z), rtol=0, atol=1e-5
    )
    for name in ("coef", "intercept", "objective", "gap", "n_iter"):
        assert type(getattr(ours, name)) is np.ndarray


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("n_classes", SIZES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gap_and_objective_are_the_certificates(n_classes, dtype):
    """But for the rounding of kernel values: `certify` takes float32 ones."""
    problem = make_problem(n_classes, dtype, tol=0.01)
    ours, theirs = solve(problem), OvOSolution.empty(problem)
    theirs.coef[:] = ours.coef
    certify(problem, theirs)
    np.testing.assert_allclose(ours.gap, theirs.gap, rtol=0, atol=1e-5)
    np.testing.assert_allclose(ours.objective, theirs.objective, rtol=1e-5)
    assert (ours.gap > 1e-4).any()
    assert (ours.gap <= 0.01).all()


@pytest.mark.usefixtures("gpu")
def test_gap_and_objective_are_exact_in_float64():
    problem = make_problem(4, tol=0.1)
    ours = solve(problem)
    X = problem.samples.X
    for number, (a, b) in enumerate(class_pairs(4)):
        rows = np.r_[problem.rows(a), problem.rows(b)]
        y = np.repeat([1.0, -1.0], [problem.sizes[a], problem.sizes[b]])
        beta = np.append(ours.coef[b - 1, problem.rows(a)], ours.coef[a, problem.rows(b)])
        K = rbf(X[rows], X[rows], problem.kernel.gamma)
        expected = gap(K, y, beta, problem.upper[rows])
        np.testing.assert_allclose(ours.gap[number], expected, rtol=0, atol=1e-12)
        np.testing.assert_allclose(ours.objective[number], objective(K, y, beta), rtol=1e-12)


def test_the_kernel_on_the_gpu():
    """Large norms cost digits, but not on the diagonal."""
    X = (100 * np.random.default_rng(0).normal(size=(20, 8))).astype(np.float32)
    gpu = _Gpu(FakeCupy(), FakeSVC, make_problem(kernel=RBF(2e-5)), None, 0)
    K = on_host(gpu._kernel(X.view(DeviceArray)))
    assert K.dtype == np.float32
    np.testing.assert_allclose(K, rbf(X, X, 2e-5), rtol=0, atol=1e-5)
    np.testing.assert_array_equal(np.diag(K), 1.0)


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("number", [1, 11, 21, 23, 38, 41, 50])
def test_the_estimator_gives_the_same_model_as_sklearn(monkeypatch, number):
    """Problems of moderate C, with class weights, sample weights and some that are zero.

    Gap and objective are of float64 kernel values; LIBSVM, which the stand-in is made of, rounds
    its own to float32, and at a large C that shows in the gap.
    """
    monkeypatch.setitem(BACKENDS, "cuml", Backend("cuml", "", lambda: None, lambda: solve_cuml))
    problem = random_problem(number)
    ours = problem.fit(RBFSVC, tol=1e-6, backend="cuml")
    assert ours.backend_ == "cuml"
    K = stored(rbf_by_products(problem.X, ours.gamma_))
    betas = zip(problem.pairs(), problem.betas(ours), strict=True)
    rounded = [objective(K[np.ix_(rows, rows)], y, beta) for (_, _, rows, y, _), beta in betas]
    np.testing.assert_allclose(ours.objective_, rounded, rtol=1e-6)
    ours.objective_ = np.array(rounded)
    assert_same_model(problem, ours, problem.fit(SVC, tol=1e-6), 1e-6, 1e-7, 1e-4)


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("n_classes", SIZES)
@pytest.mark.parametrize("upper", [None, 0.3, 0.7])
def test_float32_samples(n_classes, upper):
    """Bounds as float32 are above 0.3 and below 0.7: neither may pass for a free coefficient."""
    assert float(np.float32(0.3)) > 0.3
    assert float(np.float32(0.7)) < 0.7
    problem = make_problem(n_classes, np.float32, tol=1e-4, upper=upper, kernel=RBF(0.02))
    ours, theirs = solve(problem), solve_blocked(problem, n_workers=1)
    np.testing.assert_allclose(ours.objective, theirs.objective, rtol=1e-5)
    np.testing.assert_allclose(ours.coef, theirs.coef, rtol=0, atol=5e-3)
    np.testing.assert_allclose(ours.intercept, theirs.intercept, rtol=0, atol=1e-3)
    assert (ours.gap <= 1e-4).all()
    assert (np.abs(ours.coef) <= problem.upper).all()
    bounded = np.abs(theirs.coef) == problem.upper
    assert bounded.any()
    np.testing.assert_array_equal(ours.coef[bounded], theirs.coef[bounded])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_pairs_with_all_coefficients_at_their_bounds(gpu, dtype):
    """Balanced pairs and a small bound: any intercept in a range is right, both take its middle."""
    problem = make_problem(4, dtype, tol=1e-6, upper=0.01)
    ours, theirs = solve(problem), solve_blocked(problem, n_workers=1)
    assert (np.abs(theirs.coef) == 0.01).all()
    np.testing.assert_array_equal(ours.coef, theirs.coef)
    np.testing.assert_allclose(ours.intercept, theirs.intercept, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(ours.gap, 0.0)
    np.testing.assert_allclose(ours.objective, theirs.objective, rtol=1e-5)
    assert len(gpu.models) == 6


@pytest.mark.usefixtures("gpu")
def test_a_pair_without_support_vectors():
    """A tolerance above the gap at the start, 2; cuML's arrays are empty then."""
    ours = solve(make_problem(3, tol=2.5))
    np.testing.assert_array_equal(ours.coef, 0.0)
    np.testing.assert_array_equal(ours.gap, 2.0)
    np.testing.assert_array_equal(ours.objective, 0.0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_each_pair_is_given(gpu, dtype):
    problem = make_problem(5, dtype, tol=0.02)
    solve(problem)
    assert len(gpu.models) == 10
    for model, (a, b) in zip(gpu.models, class_pairs(5), strict=True):
        rows = np.r_[problem.rows(a), problem.rows(b)]
        np.testing.assert_array_equal(model.X, problem.samples.X[rows])
        assert model.X.dtype == dtype
        assert model.C == 1.0
        np.testing.assert_array_equal(model.sample_weight, problem.upper[rows].astype(dtype))
        assert model.sample_weight.dtype == dtype
        assert type(model.gamma) is float
        assert model.gamma == 0.15
        assert model.max_iter == -1
        assert model.tol == {np.float32: 0.01, np.float64: 0.02}[dtype]


def test_the_samples_are_sent_once(gpu):
    problem = make_problem(6, np.float32, tol=1e-3)
    solve(problem)
    assert gpu.cupy.uploads.count(problem.samples.X.shape) == 1
    assert max(len(shape) for shape in gpu.cupy.uploads[1:]) == 1


def test_samples_on_the_gpu_are_not_sent(gpu, monkeypatch):
    monkeypatch.setattr(cuml_ovo, "is_host", lambda array: not isinstance(array, DeviceArray))
    problem = make_problem(sizes=[40, 25])
    expected = solve(problem).coef
    X = problem.samples.X.view(DeviceArray)
    there = replace(problem, samples=replace(problem.samples, X=X))
    gpu.cupy.uploads.clear()
    np.testing.assert_array_equal(solve(there).coef, expected)
    assert problem.samples.X.shape not in gpu.cupy.uploads
    needed = cuml_ovo._spare_bytes(problem, 2**40) + X.nbytes
    assert cuml_ovo._spare_bytes(there, 2**40) == needed


def test_the_memory_plan_is_told(gpu):
    solution = solve(make_problem(3), memory_limit_bytes=2**20)
    assert solution.memory_plan == "pair by pair, kernel cache of 1 MiB at most"


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("n_classes", SIZES)
def test_progress_counts_every_pair(n_classes):
    counts = []
    solve(make_problem(n_classes), progress=counts.append)
    assert counts == [1] * (n_classes * (n_classes - 1) // 2)


def test_a_type_of_results_that_the_user_has_set_does_not_matter(gpu):
    problem = make_problem(3)
    expected = solve(problem)
    gpu.cuml.output_type = "numpy"
    np.testing.assert_array_equal(solve(problem).coef, expected.coef)
    assert gpu.cuml.output_type == "numpy"


def test_a_pair_that_float32_cannot_solve_is_solved_in_float64(gpu):
    problem = make_problem(3, np.float32, tol=1e-4)
    gpu.svc_class.stagnates_in = ("float32",)
    ours, theirs = solve(problem), solve_blocked(problem, n_workers=1)
    np.testing.assert_allclose(ours.objective, theirs.objective, rtol=1e-5)
    assert (ours.gap <= 1e-4).all()
    assert [model.X.dtype.name for model in gpu.models] == ["float32", "float64"] * 3
    assert [model.tol for model in gpu.models] == [0.5e-4, 1e-4] * 3


def test_a_pair_whose_gap_is_too_large_is_solved_in_float64(gpu, monkeypatch):
    """As where cuML's float32 gradient has drifted: it stops too early, and does not say so."""
    fit = gpu.svc_class.fit

    def drift(self, X, y, sample_weight):
        if X.dtype == np.float32:
            self.tol *= 100
        return fit(self, X, y, sample_weight)

    monkeypatch.setattr(gpu.svc_class, "fit", drift)
    problem = make_problem(5, np.float32, tol=1e-3)
    ours = solve(problem)
    assert (ours.gap <= 1e-3).all()
    starts = [i for i, model in enumerate(gpu.models) if model.X.dtype == np.float32]
    assert len(starts) == 10
    assert len(gpu.models) > 15
    last = [gpu.models[i - 1] for i in (*starts[1:], len(gpu.models))]  # of each pair
    np.testing.assert_array_equal(ours.n_iter, [model.n_iter_[0] for model in last])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_max_iter_ends_a_pair_and_shows_in_its_gap(gpu, dtype):
    ours = solve(make_problem(4, dtype, tol=1e-6, max_iter=2))
    np.testing.assert_array_equal(ours.n_iter, 2)
    assert (ours.gap > 1e-3).all()
    assert [model.max_iter for model in gpu.models] == [2] * 6


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_any_other_error_is_not_hidden(gpu, dtype):
    gpu.svc_class.stagnates_in = ("float32", "float64")
    with pytest.raises(RuntimeError, match="made no progress"):
        solve(make_problem(3, dtype))
    assert gpu.models[-1].X.dtype == np.float64


@pytest.mark.parametrize(
    ("sizes", "limit", "n_rows"),
    [([3, 5], None, 32), ([40, 24], None, 64), ([40, 25], None, 96), ([40, 25], 65 * 8 * 40, 40),
     ([40, 25], 65 * 8 * 32, 32), ([40, 25], 65 * 8 * 32 - 1, 0)],
)  # fmt: skip
def test_the_cache_holds_the_pairs_kernel_and_keeps_to_the_limit(gpu, sizes, limit, n_rows):
    """raft/util/cache.cuh: so many rows as fit, less the last that do not fill a set of 32."""
    solve(make_problem(sizes=sizes), memory_limit_bytes=limit)
    size = np.float32(gpu.models[0].cache_size)
    assert int(size * 1024 * 1024 / (8 * sum(sizes))) == n_rows
    assert (size == 0) == (n_rows == 0)


def test_samples_that_do_not_fit_the_gpu_are_refused(gpu, monkeypatch):
    problem = make_problem(sizes=[40, 25])
    too_little = FakeCupy(10**6)
    monkeypatch.setitem(sys.modules, "cupy", too_little)
    with pytest.raises(MemoryLimitError) as caught:
        solve(problem)
    assert str(caught.value) == (
        "The free memory of the GPU must be at least 8.056 MiB for these samples. Got 976.6 KiB "
        "instead. Use fewer features, or the backend 'numba', which works in the computer's own "
        "memory."
    )
    assert too_little.uploads == []
    monkeypatch.setitem(sys.modules, "cupy", FakeCupy(8_450_000))
    solve(problem)
    assert [model.cache_size for model in gpu.models] == [0.0]


@pytest.mark.parametrize("fails", [False, True])
def test_allocators_are_put_back(gpu, monkeypatch, fails):
    seen = []
    fit = gpu.svc_class.fit

    def watch(self, X, y, sample_weight):
        seen.append((gpu.cupy.allocators[-1], gpu.rmm.resource, gpu.cupy.waits))
        if fails:
            raise RuntimeError("a fault of the device")
        return fit(self, X, y, sample_weight)

    monkeypatch.setattr(gpu.svc_class, "fit", watch)

    class Imported(ModuleType):
        """As cuML, which does this when it is imported."""

        @property
        def SVC(self):  # noqa: N802
            gpu.cupy.cuda.set_allocator("rmm's")
            return gpu.svc_class

    monkeypatch.setitem(sys.modules, "cuml.svm", Imported("cuml.svm"))
    with pytest.raises(RuntimeError) if fails else nullcontext():
        solve(make_problem(3, np.float32, tol=1e-2))
    waits = [n_waits for _, _, n_waits in seen]
    assert [place for *place, _ in seen] == [["rmm's", "a pool"]] * (1 if fails else 3)
    assert (np.diff([1, *waits]) > 0).all()  # of the stream that X is written in
    assert (gpu.cupy.allocators, gpu.rmm.resource) == (["the pool's"], "cudaMalloc")


def test_cuml_that_does_not_import(gpu, monkeypatch):
    monkeypatch.setitem(sys.modules, "cuml.svm", None)
    with pytest.raises(BackendUnavailableError) as caught:
        solve(make_problem(3))
    assert str(caught.value).startswith(
        "The backend 'cuml' does not work here: the package cuml does not import ("
    )
    assert gpu.cupy.allocators == ["the pool's"]


@pytest.mark.parametrize("error", [MemoryError("std::bad_alloc: out_of_memory"), MemoryError()])
def test_a_gpu_that_runs_out_of_memory(monkeypatch, gpu, error):
    def fit(self, X, y, sample_weight):
        raise error

    monkeypatch.setattr(gpu.svc_class, "fit", fit)
    with pytest.raises(MemoryLimitError) as caught:
        solve(make_problem(3), memory_limit_bytes=2**20)
    reason = str(error) or "MemoryError"
    assert str(caught.value) == (
        "The GPU ran out of memory with the plan 'pair by pair, kernel cache of 1 MiB at most' "
        f"({reason}). Free some, set a lower memory limit, take fewer images at a time, or work on "
        "the CPU."
    )
    assert caught.value.__cause__ is error
