import inspect
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from problems import Problem, clusters, random_problem, training_set
from reference import solve_tiny
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import SVC

from svmcifar import RBFSVC
from svmcifar.errors import MemoryLimitError
from svmcifar.svm import estimator
from svmcifar.svm.backends.memory_plan import make_tile_plan
from svmcifar.svm.backends.registry import BACKENDS

FITTED = ("classes_", "support_", "support_vectors_", "n_support_", "dual_coef_", "intercept_")


def assert_identical(one, other):
    for name in FITTED:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


@pytest.mark.parametrize("n_classes", [2, 4])
def test_model_is_that_of_the_oracle(n_classes):
    rng = np.random.default_rng(n_classes)
    y = np.repeat(np.arange(n_classes), [3, 4, 2, 4][:n_classes])
    X, Z = rng.normal(size=(len(y), 2)), rng.normal(size=(40, 2))
    weight = rng.uniform(0.2, 5, len(y))
    oracle = solve_tiny(X, y, 0.6, weight, rounded=np.float64)  # too tight a tol for float32 ones
    model = RBFSVC(gamma=0.6, tol=1e-12).fit(X, y, weight)
    problem = Problem(X, y, Z, weight)
    np.testing.assert_allclose(problem.decisions(model), oracle.decisions(Z), rtol=0, atol=1e-9)
    np.testing.assert_allclose(model.objective_, oracle.objectives, rtol=1e-12)
    np.testing.assert_array_equal(model.predict(Z), oracle.predict(Z))


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_fitted_attributes_are_laid_out_as_those_of_svc(n_classes, dtype):
    X, y = training_set(n_classes, dtype=dtype)
    ours, theirs = RBFSVC(tol=1e-9).fit(X, y), SVC(tol=1e-9).fit(X, y)
    for name in (*FITTED, "n_iter_", "class_weight_"):
        one, other = getattr(ours, name), getattr(theirs, name)
        assert one.shape == other.shape
        if name != "support_vectors_":
            assert one.dtype == other.dtype
    np.testing.assert_array_equal(ours.support_, theirs.support_)
    np.testing.assert_allclose(ours.dual_coef_, theirs.dual_coef_, rtol=0, atol=1e-4)
    assert ours.support_vectors_.dtype == dtype
    np.testing.assert_array_equal(ours.support_vectors_, X[ours.support_])
    assert (ours.shape_fit_, ours.n_features_in_) == (X.shape, X.shape[1])
    assert ours.fit_status_ == 0


@pytest.mark.parametrize("number", [0, 3, 7, 12, 27, 47])
def test_to_sklearn_has_the_same_decision_values(number):
    problem = random_problem(number)
    model = problem.fit(RBFSVC)
    svc = model.to_sklearn()
    for shape in ("ovr", "ovo"):
        ours = model.set_params(decision_function_shape=shape).decision_function(problem.Z)
        theirs = svc.set_params(decision_function_shape=shape).decision_function(problem.Z)
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(model.predict(problem.Z), svc.predict(problem.Z))
    for name in FITTED:
        np.testing.assert_array_equal(getattr(svc, name), getattr(model, name))
    assert type(svc) is SVC


def test_to_sklearn_keeps_the_parameters_of_float32_models():
    X, y = training_set(dtype=np.float32)
    params = {"C": 3.0, "gamma": 0.25, "tol": 1e-2, "break_ties": True, "class_weight": {1: 2.0}}
    model = RBFSVC(**params).fit(X, y)
    svc = model.to_sklearn()
    assert svc.get_params().items() >= params.items()
    np.testing.assert_allclose(
        model.decision_function(X), svc.decision_function(X), rtol=0, atol=1e-4
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sizes", [[200, 150], [30] * 12])
def test_n_jobs_changes_no_bit(sizes, dtype):
    X, y = clusters(np.random.default_rng(1), sizes, 20)
    X = X.astype(dtype)
    alone = RBFSVC(n_jobs=1).fit(X, y)
    for n_jobs in (2, 3, -1, None):
        model = RBFSVC(n_jobs=n_jobs).fit(X, y)
        assert_identical(alone, model)
        np.testing.assert_array_equal(alone.decision_function(X), model.decision_function(X))


@pytest.mark.parametrize(("limit", "keep_diagonals"), [(300_000, True), (50_000, False)])
def test_the_memory_limit_changes_no_bit_of_a_float64_model(limit, keep_diagonals):
    """Of a float32 one it may: classes that are no longer grouped make other matrix products."""
    sizes = [40] * 5
    X, y = clusters(np.random.default_rng(1), sizes, 20)
    roomy, tight = (make_tile_plan(sizes, 3, n, 8) for n in (None, limit))
    limit += X.nbytes
    assert roomy.groups != tight.groups
    assert tight.keep_diagonals == keep_diagonals
    assert_identical(RBFSVC(n_jobs=3).fit(X, y), RBFSVC(n_jobs=3, memory_limit=limit).fit(X, y))


def test_too_low_a_memory_limit():
    X, y = clusters(np.random.default_rng(1), [40] * 5, 20)
    with pytest.raises(MemoryLimitError, match=r"at least [0-9.]+ KiB .*Got 9\.766 KiB instead\."):
        RBFSVC(memory_limit=10_000).fit(X, y)
    assert RBFSVC(memory_limit=10_000, backend="sklearn").fit(X, y).backend_ == "sklearn"


def test_far_from_the_origin_float32_keeps_its_accuracy():
    """Where samples lie does not matter to SVC, which works in float64."""
    X, y = training_set(3, n=40)
    shifted = (X + 3e3).astype(np.float32)
    ours, theirs = RBFSVC(tol=1e-5).fit(shifted, y), SVC(tol=1e-5).fit(shifted, y)
    problem = Problem(shifted, y, shifted[::2] + np.float32(0.25))
    np.testing.assert_allclose(
        problem.decisions(ours), problem.decisions(theirs), rtol=0, atol=1e-4
    )
    original = shifted.copy()
    ours.predict(shifted)
    np.testing.assert_array_equal(shifted, original)


def test_large_exponents_are_worked_out_in_float64():
    X, y = training_set(3, n=20, dtype=np.float32)
    X = X * np.float32(100)
    X[::2] = X[1::2] + np.float32(1e-2)  # near neighbours, gamma |x|^2 up to 1e6
    params = {"gamma": 30.0, "tol": 1e-6}
    ours, theirs = RBFSVC(**params).fit(X, y), SVC(**params).fit(X, y)
    assert ours.support_vectors_.dtype == np.float32
    problem = Problem(X, y, X + np.float32(3e-3))
    np.testing.assert_allclose(
        problem.decisions(ours), problem.decisions(theirs), rtol=0, atol=1e-5
    )


def test_the_order_of_samples_does_not_matter():
    problem = random_problem(31)
    model = problem.fit(RBFSVC, tol=1e-6)
    order = np.random.default_rng(0).permutation(len(problem.y))
    weight = problem.sample_weight
    other = RBFSVC(**problem.params, tol=1e-6).fit(
        problem.X[order], problem.y[order], None if weight is None else weight[order]
    )
    np.testing.assert_allclose(other.objective_, model.objective_, rtol=1e-9)
    np.testing.assert_allclose(
        problem.decisions(other), problem.decisions(model), rtol=0, atol=1e-4
    )
    np.testing.assert_array_equal(other.predict(problem.Z), model.predict(problem.Z))


def test_the_names_of_classes_do_not_matter():
    X, y = training_set(4)
    names = np.array(["apple", "bee", "cat", "dog"])
    model, named = RBFSVC().fit(X, y), RBFSVC().fit(X.tolist(), names[y].tolist())
    np.testing.assert_array_equal(named.classes_, names)
    np.testing.assert_array_equal(named.predict(X), names[model.predict(X)])
    np.testing.assert_array_equal(named.dual_coef_, model.dual_coef_)
    assert list(named.pair_report().class_a) == ["apple"] * 3 + ["bee"] * 2 + ["cat"]
    assert list(named.pair_report().class_b) == ["bee", "cat", "dog", "cat", "dog", "dog"]


def test_sample_weights_are_repetition_and_removal():
    """With a fixed gamma; "scale" takes the variance of all samples, as SVC does."""
    X, y = training_set(3, n=15)
    weight = np.random.default_rng(0).integers(0, 4, len(y))
    params = {"gamma": 0.3, "tol": 1e-10}
    weighted = RBFSVC(**params).fit(X, y, weight)
    repeated = RBFSVC(**params).fit(np.repeat(X, weight, axis=0), np.repeat(y, weight))
    assert (weight[weighted.support_] > 0).all()
    np.testing.assert_allclose(weighted.objective_, repeated.objective_, rtol=1e-9)
    np.testing.assert_allclose(
        weighted.decision_function(X), repeated.decision_function(X), rtol=0, atol=1e-7
    )


def test_class_weights_are_sample_weights():
    X, y = training_set(3)
    by_class = RBFSVC(class_weight={0: 2.0, 2: 0.5}).fit(X, y, np.full(len(y), 3.0))
    assert_identical(by_class, RBFSVC().fit(X, y, np.array([6.0, 3.0, 1.5])[y]))
    np.testing.assert_array_equal(by_class.class_weight_, [2.0, 1.0, 0.5])


def test_max_iter_ends_with_a_warning():
    X, y = training_set(3, n=30)
    message = (
        r"3 of 3 pairs ended with a KKT gap above tol=0\.001 \(largest [0-9.]+, max_iter=4\)\. "
        r"Raise max_iter or tol; pair_report\(\) lists them\."
    )
    with pytest.warns(ConvergenceWarning, match=message) as caught:
        model = RBFSVC(max_iter=4).fit(X, y)
    assert [warning.filename for warning in caught] == [__file__]
    np.testing.assert_array_equal(model.n_iter_, 4)
    assert model.fit_status_ == 1
    assert (model.gap_ > 1e-3).all()
    report = model.pair_report()
    assert not report.converged.any()
    np.testing.assert_array_equal(report[["n_iter", "gap"]], np.c_[model.n_iter_, model.gap_])
    assert RBFSVC().fit(X, y).pair_report().converged.all()


def test_fitting_does_not_write_to_its_input():
    X, y = training_set(dtype=np.float32)
    X += np.float32(50)
    kept = X.copy()
    weight = np.ones(len(y))
    model = RBFSVC().fit(X, y, weight)
    np.testing.assert_array_equal(X, kept)
    np.testing.assert_array_equal(weight, 1)
    assert not np.shares_memory(model.support_vectors_, X)


def test_progress_is_shown_when_asked_for(capsys):
    X, y = training_set(4)
    RBFSVC().fit(X, y)
    assert capsys.readouterr() == ("", "")
    RBFSVC(verbose=True).fit(X, y)
    assert "6/6" in capsys.readouterr().err


def test_parameters_have_the_names_and_defaults_of_svc():
    ours = inspect.signature(RBFSVC).parameters
    theirs = inspect.signature(SVC).parameters
    shared = ours.keys() & theirs.keys()
    assert len(shared) == 15
    for name in shared - {"probability"}:
        assert ours[name].default == theirs[name].default
    assert ours["probability"].default is False  # theirs too, until it was deprecated


def test_a_fit_that_fails_leaves_the_model_as_it_was(monkeypatch):
    X, y = training_set(3)
    model = RBFSVC().fit(X, y)
    before = dict(vars(model))

    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setitem(BACKENDS, "numba", replace(BACKENDS["numba"], load=lambda: interrupt))
    with pytest.raises(KeyboardInterrupt):
        model.fit(X[::2] + 50, y[::2] == 1, np.ones(len(y[::2])))
    assert vars(model).keys() == before.keys()
    assert all(vars(model)[name] is value for name, value in before.items())


def interrupt(*_args, **_settings):
    raise KeyboardInterrupt


FAILURES = {
    "NaN": ({"X": np.nan}, ValueError),
    "one class": ({"y": "only"}, ValueError),
    "a parameter": ({"gamma": -1.0}, ValueError),
    "memory": ({"memory_limit": 1000}, MemoryLimitError),
    "an interrupt": ({"solve": interrupt}, KeyboardInterrupt),
    "an interrupt at the end": ({"take_rows": interrupt}, KeyboardInterrupt),
    "a warning that is an error": ({"max_iter": 1}, ConvergenceWarning),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_fit_that_fails_leaves_the_estimator_as_it_was(monkeypatch, name):
    change, error = FAILURES[name]
    X, y = training_set(2)
    labels = np.array(["cat", "dog"])[y]
    model = RBFSVC(probability=True).fit(X, labels)
    attributes = {key: value for key, value in vars(model).items() if key.endswith("_")}
    before = model.predict(X), model.predict_proba(X)

    other, other_labels = np.column_stack([X, X]), np.array(["ant", "zebra"])[y]
    if "X" in change:
        other[3, 3] = change["X"]
    if "y" in change:
        other_labels[:] = change["y"]
    if "solve" in change:
        backend = replace(BACKENDS["numba"], load=lambda: change["solve"])
        monkeypatch.setitem(BACKENDS, "numba", backend)
    if "take_rows" in change:
        monkeypatch.setattr(estimator, "take_rows", change["take_rows"])
    parameters = model.get_params().keys() & change.keys()
    model.set_params(**{key: change[key] for key in parameters})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(error):
            model.fit(other, other_labels)

    after = {key: value for key, value in vars(model).items() if key.endswith("_")}
    assert after.keys() == attributes.keys()
    assert all(after[key] is attributes[key] for key in after)
    np.testing.assert_array_equal(model.predict(X), before[0])
    np.testing.assert_array_equal(model.predict_proba(X), before[1])


def test_a_fit_forgets_the_one_before():
    X, y = training_set(2)
    model = RBFSVC(probability=True).fit(pd.DataFrame(X).add_prefix("f"), y)
    assert hasattr(model, "feature_names_in_")
    model.set_params(probability=False).fit(X, y)
    assert not hasattr(model, "feature_names_in_")
    assert not hasattr(model, "probA_")
