"""SVC with each kernel: scikit-learn's model, by every road that there is to it."""

import re
from dataclasses import replace

import numpy as np
import pytest
from devices import on_device, stand_in_for_gpu
from kernel_problems import NAMES, assert_same_model, fit_libsvm, kernel_problem, values_of
from problems import Problem, clusters, random_problem, training_set
from reference import gap
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_selection import SelectFromModel
from sklearn.model_selection import GridSearchCV
from sklearn.svm import SVC as LIBSVM

import svmcifar
from svmcifar import RBFSVC, SVC, load_model, save_model, search_svc
from svmcifar.errors import InputError, MemoryLimitError
from svmcifar.io.content_hash import content_hash
from svmcifar.svm import out_of_fold
from svmcifar.svm.backends import memory_plan
from svmcifar.svm.backends.cuml_ovo import solve_cuml
from svmcifar.svm.kernels.registry import KERNELS, make_kernel
from svmcifar.svm.problem import sort_by_class

FITTED = ("support_", "dual_coef_", "intercept_", "gap_", "objective_", "n_iter_", "gamma_")
SETTINGS = {"gamma": 0.05, "degree": 2, "coef0": 1.0, "tol": 1e-6}


def draw(name, n_classes=3, n=40, seed=0):
    X, y = clusters(np.random.default_rng(seed), [n] * n_classes, 5)
    X = np.abs(X) if name == "chi2" else X
    return Problem(X, y, X[::3] * 1.1, params=SETTINGS | {"kernel": name, "C": 0.5})


def assert_identical(one, other):
    for name in FITTED:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


@pytest.mark.parametrize("number", range(50))
@pytest.mark.parametrize("name", NAMES)
def test_random_problem(name, number):
    assert_same_model(kernel_problem(name, number))


@pytest.mark.parametrize("number", [1, 7, 26])
@pytest.mark.parametrize("name", NAMES)
def test_the_sklearn_backend_gives_the_same_model(name, number):
    """With sample weights of which some are zero; gaps are those of float32 kernel values."""
    problem = kernel_problem(name, number)
    ours, theirs = (problem.fit(SVC, tol=1e-6, backend=b) for b in ("numba", "sklearn"))
    np.testing.assert_allclose(ours.objective_, theirs.objective_, rtol=1e-5)
    assert theirs.gap_.max() <= 1e-4
    np.testing.assert_allclose(ours.gamma_, theirs.gamma_)


@pytest.mark.parametrize("number", [4, 11])
@pytest.mark.parametrize("name", NAMES)
def test_rows_made_on_demand(name, number, monkeypatch):
    monkeypatch.setattr(memory_plan, "_MANY_SAMPLES", 1)
    model, *_ = assert_same_model(kernel_problem(name, number))
    assert "made on demand" in model.memory_plan_


@pytest.mark.parametrize("name", NAMES)
def test_a_tight_memory_limit(name):
    problem = draw(name, n_classes=4)
    whole = problem.fit(SVC)
    item = 4 if KERNELS[name].has_unit_diagonal else 8
    n_bytes = problem.X.nbytes + 8 * 16 * 80 + 3 * item * 40**2 + 3 * 8 * 40**2
    tight = problem.fit(SVC, memory_limit=n_bytes)
    assert "a tile for each pair" in tight.memory_plan_
    np.testing.assert_allclose(tight.objective_, whole.objective_, rtol=1e-6)
    with pytest.raises(MemoryLimitError, match="memory limit must be at least"):
        problem.fit(SVC, memory_limit="1kB")


def test_kernel_values_that_are_kept_as_float64_count_twice():
    for stored in (4, 8):
        holding = memory_plan.kernel_holding(8, stored)
        assert {holding.tile, holding.kept, holding.made, holding.cut} == {stored}
        # Distances in float64 take a block of their own where values are float32.
        assert holding.scratch(100, 10) == (800 if stored == 4 else 0)
    half, whole = (memory_plan.make_plan([9000, 9000], 5, 1, 20 * 2**20, 8, k).rows for k in (4, 8))
    assert whole.n_rows * 2 <= half.n_rows + 1


@pytest.mark.parametrize("C", [1e4, np.inf])
@pytest.mark.parametrize("name", ["linear", "poly"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_bounds(name, C, dtype):
    """Separable, so that the hard margin is the solution; kernel values reach 10,000."""
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], 20)
    X = (rng.normal(size=(60, 8)) + 30 * np.eye(3, 8)[y]).astype(dtype)
    problem = Problem(X, y, X + dtype(0.1), params=SETTINGS | {"kernel": name, "C": C})
    ours = problem.fit(SVC)
    assert ours.gap_.max() <= 1.1e-6
    theirs = fit_libsvm(problem, 0.05, 1e-6)
    np.testing.assert_allclose(problem.decisions(ours), problem.decisions(theirs), atol=1e-3)
    np.testing.assert_array_equal(ours.predict(X), y)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_few_steps_where_the_kernel_matrix_is_of_low_rank(dtype):
    """Values that are rounded to float32 take LIBSVM 900 times as many; it is stopped early."""
    problem = random_problem(12)
    parameters = problem.params | {"kernel": "linear", "C": 2.7, "tol": 1e-6}
    problem = replace(problem.astype(dtype), params=parameters)
    ours = problem.fit(SVC)
    assert ours.gap_.max() <= 1e-6
    with pytest.warns(ConvergenceWarning):
        problem.fit(LIBSVM, max_iter=int(ours.n_iter_.sum()))


@pytest.mark.parametrize("name", NAMES)
def test_duplicates_constant_rows_and_features(name):
    """Samples of zeros, whose linear kernel is zero, and the same samples in several classes."""
    problem = draw(name)
    X = problem.X.copy()
    X[:10], X[10:20], X[:, 2], X[30:40] = 0.0, 1.0, 3.0, X[50:60]
    X[5:8] = 0.0
    problem = replace(problem, X=X, params=problem.params | {"C": 0.1})
    assert_same_model(problem)


def test_a_kernel_that_is_not_positive_semidefinite():
    """As LIBSVM: a point where no step makes the objective smaller."""
    X, y = clusters(np.random.default_rng(1), [40, 30, 20], 4)
    problem = Problem(X, y, X, params={"kernel": "sigmoid", "gamma": 0.8, "coef0": -1.0, "C": 3.0})
    for backend in ("numba", "sklearn"):
        model = problem.fit(SVC, tol=1e-5, backend=backend)
        K = values_of(model, X, X)
        assert np.linalg.eigvalsh(K)[0] < -1
        for (*_, rows, signs, upper), beta in zip(
            problem.pairs(), problem.betas(model), strict=True
        ):
            assert gap(K[np.ix_(rows, rows)], signs, beta, upper) <= 1e-4
        assert model.score(X, y) > 0.5


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n_jobs", [1, 3])
def test_the_number_of_threads_changes_nothing(name, n_jobs, monkeypatch):
    problem = draw(name, n=60, seed=n_jobs)
    one, other = (problem.fit(SVC, n_jobs=n) for n in (1, n_jobs))
    assert content_hash(one) == content_hash(other)


def test_the_rbf_kernel_is_that_of_rbfsvc():
    X, y = load_digits(return_X_y=True)
    for Z in (X[:500], X[:500].astype(np.float32)):
        general, special = SVC(C=3.0).fit(Z, y[:500]), RBFSVC(C=3.0).fit(Z, y[:500])
        assert_identical(general, special)
        values = [model.decision_function(Z) for model in (general, special)]
        np.testing.assert_array_equal(*values)
    assert isinstance(special, SVC)
    assert {SVC.__module__, RBFSVC.__module__} == {"svmcifar"}
    assert svmcifar.SVC is SVC


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n_classes", [2, 4])
def test_precomputed_values_give_the_model_of_their_kernel(name, n_classes):
    """With weights of zero, whose rows are left out, on any samples."""
    problem = draw(name, n_classes)
    weight = np.random.default_rng(0).uniform(0, 2, len(problem.y))
    weight[::7] = 0.0
    problem = replace(problem, sample_weight=weight)
    model = problem.fit(SVC)
    K, across = values_of(model, problem.X, problem.X), values_of(model, problem.Z, problem.X)
    ours = SVC(kernel="precomputed", C=0.5, tol=1e-6).fit(K, problem.y, weight)
    np.testing.assert_array_equal(ours.support_, model.support_)
    np.testing.assert_allclose(ours.objective_, model.objective_, rtol=1e-9)
    values = model.decision_function(problem.Z)
    np.testing.assert_allclose(ours.decision_function(across), values, rtol=0, atol=1e-4)
    np.testing.assert_array_equal(ours.predict(across), model.predict(problem.Z))
    assert ours.support_vectors_.shape == (0, 0)
    assert ours.shape_fit_ == K.shape
    assert ours.gamma_ == 0.0
    others = np.setdiff1d(np.arange(len(K)), ours.support_)
    across[:, others] = 1e9  # only support vectors are looked at
    np.testing.assert_allclose(ours.decision_function(across), values, rtol=0, atol=1e-4)


@pytest.mark.parametrize("backend", ["numba", "sklearn"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_precomputed_values_against_those_of_scikit_learn(backend, dtype):
    X, y = clusters(np.random.default_rng(0), [30, 20, 25], 4)
    K, across = (X @ X.T).astype(dtype), (X[::2] * 1.1 @ X.T).astype(dtype)
    parameters = {"kernel": "precomputed", "C": 0.1, "tol": 1e-6}
    ours, theirs = SVC(**parameters, backend=backend).fit(K, y), LIBSVM(**parameters).fit(K, y)
    for model in (ours, ours.to_sklearn()):
        np.testing.assert_allclose(
            model.decision_function(across), theirs.decision_function(across), atol=1e-4
        )
        np.testing.assert_array_equal(model.predict(across), theirs.predict(across))


def test_precomputed_values_in_a_grid_search():
    X, y = clusters(np.random.default_rng(0), [30, 20, 25], 4)
    grid = {"C": [0.01, 0.1, 1.0]}
    scores = [
        GridSearchCV(SVC(kernel=kernel), grid, cv=3).fit(Z, y).cv_results_["mean_test_score"]
        for kernel, Z in (("linear", X), ("precomputed", X @ X.T))
    ]
    np.testing.assert_array_equal(*scores)


def test_precomputed_values_with_probabilities(monkeypatch):
    """In the same folds, which other values of samples would deal otherwise."""
    hashes = np.random.default_rng(0).integers(2**60, size=90).astype(np.uint64)
    monkeypatch.setattr(out_of_fold, "hash_samples", lambda X, n_views: hashes)
    X, y = clusters(np.random.default_rng(0), [30] * 3, 4)
    parameters = {"C": 0.1, "tol": 1e-8, "probability": True}
    linear = SVC(kernel="linear", **parameters).fit(X, y)
    ours = SVC(kernel="precomputed", **parameters).fit(X @ X.T, y)
    np.testing.assert_allclose(ours.probA_, linear.probA_, rtol=1e-4)
    np.testing.assert_allclose(
        ours.predict_proba(X[:9] @ X.T), linear.predict_proba(X[:9]), rtol=1e-4
    )


@pytest.mark.parametrize("name", NAMES)
def test_probabilities(name):
    problem = draw(name)
    model = problem.fit(SVC, probability=True)
    assert_identical(model, problem.fit(SVC))
    p = model.predict_proba(problem.X)
    np.testing.assert_allclose(p.sum(axis=1), 1.0)
    assert p[np.arange(len(p)), problem.y].mean() > 0.4


@pytest.mark.parametrize("name", [*NAMES, "precomputed"])
def test_files_and_clones(name, tmp_path):
    problem = draw(name)
    if name == "precomputed":
        problem = replace(problem, X=problem.X @ problem.X.T, Z=problem.Z @ problem.X.T)
    model = problem.fit(SVC, probability=True)
    assert clone(model).get_params() == model.get_params()
    assert clone(model).get_params().items() >= problem.params.items()
    save_model(model, tmp_path / "svc.skops")
    again = load_model(tmp_path / "svc.skops")
    assert type(again) is SVC
    assert content_hash(again) == content_hash(model)
    for method in ("predict", "decision_function", "predict_proba"):
        values = [getattr(kept, method)(problem.Z) for kept in (model, again)]
        np.testing.assert_array_equal(*values)


def test_a_parameter_at_its_default_is_not_hashed_whatever_the_class():
    X, y = training_set()
    model = RBFSVC().fit(X, y)
    before = content_hash(model)
    for name in ("kernel", "degree", "coef0", "probability", "random_state"):
        del vars(model)[name]
    assert content_hash(model) == before
    assert content_hash(SVC(kernel="linear").fit(X, y)) != content_hash(SVC().fit(X, y))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_to_sklearn(name, n_classes):
    problem = draw(name, n_classes)
    model = problem.fit(SVC, decision_function_shape="ovo")
    theirs = model.to_sklearn()
    np.testing.assert_allclose(
        theirs.decision_function(problem.Z), model.decision_function(problem.Z), atol=1e-10
    )
    np.testing.assert_array_equal(theirs.predict(problem.Z), model.predict(problem.Z))


@pytest.mark.parametrize("n_classes", [2, 4])
def test_weights_of_features_of_a_linear_kernel(n_classes):
    problem = draw("linear", n_classes)
    parameters = {"kernel": "linear", "C": 0.5, "tol": 1e-8}
    ours, theirs = (kind(**parameters).fit(problem.X, problem.y) for kind in (SVC, LIBSVM))
    assert ours.coef_.shape == theirs.coef_.shape
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-5)
    chosen = SelectFromModel(SVC(**parameters), max_features=2).fit(problem.X, problem.y)
    assert chosen.transform(problem.X).shape[1] <= 2
    assert not hasattr(SVC(kernel="poly").fit(problem.X, problem.y), "coef_")


@pytest.mark.parametrize("name", [*NAMES, "precomputed"])
def test_samples_on_a_device(name, monkeypatch):
    stand_in_for_gpu(monkeypatch)
    problem = draw(name)
    X, Z = problem.X, problem.Z
    if name == "precomputed":
        X, Z = X @ X.T, Z @ X.T
    params = problem.params
    here = SVC(**params).fit(X, problem.y)
    there = SVC(**params, backend="cupy").fit(on_device(X), problem.y)
    np.testing.assert_allclose(there.objective_, here.objective_, rtol=1e-7)
    for model in (here, there):
        for samples in (Z, on_device(Z)):
            values = model.decision_function(samples)
            assert type(values) is np.ndarray
            np.testing.assert_allclose(values, here.decision_function(Z), rtol=0, atol=1e-3)
    p = [SVC(**params, probability=True).fit(X, problem.y).predict_proba(Z)]
    model = SVC(**params, probability=True, backend="cupy").fit(on_device(X), problem.y)
    p.append(model.predict_proba(on_device(Z)))
    np.testing.assert_allclose(*p, rtol=0, atol=1e-3)


@pytest.mark.parametrize("kernel", ["cosine", np.dot, None, np.eye(2)])
def test_other_kernels_are_refused_in_one_line(kernel):
    with pytest.raises(ValueError, match="The 'kernel' parameter of SVC must be a str") as caught:
        SVC(kernel=kernel).fit(*training_set())
    if not isinstance(kernel, np.ndarray):
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "parameters", [{"degree": -1}, {"degree": 2.5}, {"coef0": np.inf}, {"coef0": "0"}]
)
def test_parameters_are_checked_as_those_of_scikit_learn(parameters):
    (name,) = parameters
    with pytest.raises(ValueError, match=f"The '{name}' parameter of SVC must be a"):
        SVC(kernel="poly", **parameters).fit(*training_set())


@pytest.mark.parametrize("place", [np.asarray, on_device])
def test_negative_values_are_none_of_a_histogram(place, monkeypatch):
    stand_in_for_gpu(monkeypatch)
    problem = draw("chi2")
    model = SVC(kernel="chi2", backend="cupy").fit(on_device(problem.X), problem.y)
    bad = problem.X.copy()
    bad[3, 2] = -0.25
    for use in (
        lambda X: clone(model).fit(on_device(X), problem.y),
        lambda X: model.predict(place(X)),
    ):
        with pytest.raises(InputError) as caught:
            use(bad)
        assert str(caught.value) == (
            "Negative values in data passed to an SVM with the kernel 'chi2', which must have "
            "none. Got -0.25. Take features such as histograms, and do not centre them."
        )


def test_precomputed_values_must_fit():
    X, y = training_set()
    with pytest.raises(InputError, match=re.escape("must be a square matrix")) as caught:
        SVC(kernel="precomputed").fit(X, y)
    assert str(caught.value).endswith("Got the shape (36, 3). Give kernel(X, X).")
    model = SVC(kernel="precomputed").fit(X @ X.T, y)
    with pytest.raises(ValueError, match="X has 35 features, but SVC is expecting 36"):
        model.predict(X @ X[1:].T)
    K = X @ X.T
    K[3, 4] = np.nan
    with pytest.raises(InputError, match="Got NaN in row 3, column 4"):
        SVC(kernel="precomputed").fit(K, y)
    with pytest.raises(ValueError, match="contains NaN"):
        model.predict(K)


@pytest.mark.parametrize("name", NAMES)
def test_samples_must_be_finite(name):
    problem = draw(name)
    X = problem.X.copy()
    X[2, 1] = np.nan
    with pytest.raises(InputError, match="Got NaN in row 2, column 1"):
        problem.fit(SVC).fit(X, problem.y)


def test_values_that_are_too_large_are_refused():
    X, y = training_set()
    with pytest.raises(InputError) as caught:
        SVC(kernel="poly", degree=40, gamma=1.0).fit(1e3 * X, y)
    assert re.fullmatch(
        r"Values of the kernel 'poly' must be at most 1e\+100. Got .*e\+\d+. "
        r"Scale X down, or take a smaller gamma or degree.",
        str(caught.value),
    )


@pytest.mark.parametrize("name", ["linear", "precomputed"])
def test_a_search_is_over_the_rbf_kernel(name):
    X, y = training_set()
    with pytest.raises(InputError) as caught:
        search_svc(X, y, C=[1.0], gamma=[0.1], svc=SVC(kernel=name))
    assert str(caught.value) == (
        f"A search is over the kernel 'rbf' alone. Got {name!r} instead. "
        "Use sklearn.model_selection.GridSearchCV for it."
    )
    found = search_svc(X, y, C=[1.0], gamma=[0.1], svc=SVC())
    assert type(found.best_estimator) is SVC


@pytest.mark.parametrize("name", ["laplacian", "chi2", "precomputed"])
def test_kernels_that_cuml_lacks_are_refused(name):
    X, y = training_set()
    kernel = make_kernel(name, gamma=0.1, matrix=X @ X.T)
    (problem,) = sort_by_class(np.abs(X), y, None, 1.0).problems([(3, kernel)], 1.0, 1e-3, -1)
    with pytest.raises(InputError) as caught:
        solve_cuml(problem, n_workers=1)
    assert str(caught.value) == (
        f"The kernel must be one that cuML has for the backend 'cuml'. Got {name!r}. "
        "Use the backend 'cupy' or 'numba'."
    )
