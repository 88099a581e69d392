"""RBFSVC on samples that are on a device; array-api-strict stands in for it."""

import copy

import numpy as np
import pytest
from devices import OTHER_DEVICE, on_device, stand_in_for_gpu
from parity import assert_same_model
from problems import random_problem, training_set
from sklearn.svm import SVC

from svmcifar import RBFSVC
from svmcifar.compute.arrays import to_host
from svmcifar.errors import InputError
from svmcifar.io.content_hash import content_hash

FITTED = ("classes_", "support_", "support_vectors_", "n_support_", "dual_coef_", "intercept_")


@pytest.fixture(autouse=True)
def solved(monkeypatch):
    """The problems that the backend was given."""
    return stand_in_for_gpu(monkeypatch)[1]


@pytest.mark.parametrize("offset", [0, 50])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n_classes", [2, 4])
def test_the_model_is_that_of_the_host(solved, n_classes, dtype, offset):
    X, y = training_set(n_classes, n=30, dtype=dtype)
    X += X.dtype.type(offset)
    Z = X[::3] + X.dtype.type(0.1)
    params = {"tol": 1e-6, "backend": "cupy"}
    there = RBFSVC(**params).fit(on_device(X), y)
    here = RBFSVC(tol=1e-6).fit(X, y)
    (problem,) = solved
    assert len(problem.samples) == len(X)
    for name, value in vars(copy.copy(there)).items():
        expected = getattr(here, name)
        if name not in ("backend", "backend_"):
            assert type(value) is type(expected), name
        if isinstance(value, np.ndarray):
            assert (value.dtype, value.ndim) == (expected.dtype, expected.ndim), name
    np.testing.assert_allclose(there.gamma_, here.gamma_, rtol=1e-12)
    np.testing.assert_allclose(there.objective_, here.objective_, rtol=1e-5)
    np.testing.assert_array_equal(there.support_vectors_, X[there.support_])
    expected = here.decision_function(Z)
    for model in (there, here):
        for samples in (Z, on_device(Z)):
            values = model.decision_function(samples)
            assert type(values) is np.ndarray
            np.testing.assert_allclose(values, expected, rtol=0, atol=1e-3)
            np.testing.assert_array_equal(model.predict(samples), here.predict(Z))
            predicted, again = model.predict_with_decisions(samples)
            np.testing.assert_array_equal(predicted, here.predict(Z))
            np.testing.assert_array_equal(again, values)
    assert content_hash(there)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("number", [1, 11, 23, 38])
def test_the_model_is_that_of_scikit_learn(number, dtype):
    """With sample weights of which some are zero, class weights, duplicates."""
    problem = random_problem(number).astype(dtype)
    model = RBFSVC(**problem.params, tol=1e-6, backend="cupy")
    model.fit(on_device(problem.X), problem.y, problem.sample_weight)
    theirs = problem.fit(SVC, tol=1e-6)
    objective_rtol, decision_atol = (1e-6, 1e-4) if dtype == np.float64 else (1e-4, 1e-2)
    assert_same_model(problem, model, theirs, 1e-6, objective_rtol, decision_atol)
    model.set_params(decision_function_shape="ovo")
    np.testing.assert_allclose(
        model.decision_function(on_device(problem.Z)),
        model.decision_function(problem.Z),
        rtol=0,
        atol=decision_atol,
    )


@pytest.mark.parametrize("n_views", [1, 2])
def test_the_probabilities_are_those_of_the_host(solved, n_views):
    """The same folds, so the same models; each of them is fitted by the backend."""
    X, y = training_set(3, n=30)
    X, y = np.repeat(X, n_views, axis=0), np.repeat(y, n_views)
    params = {"tol": 1e-9, "probability": True}
    there = RBFSVC(**params, backend="cupy").fit(on_device(X), y, n_views=n_views)
    here = RBFSVC(**params).fit(X, y, n_views=n_views)
    assert len(solved) == 6
    np.testing.assert_allclose(there.probA_, here.probA_, rtol=1e-4)
    np.testing.assert_allclose(there.probB_, here.probB_, rtol=1e-4, atol=1e-4)
    expected = here.predict_proba(X, n_views=n_views)
    for model in (there, here):
        for samples in (X, on_device(X)):
            p = model.predict_proba(samples, n_views=n_views)
            assert type(p) is np.ndarray
            np.testing.assert_allclose(p, expected, rtol=0, atol=1e-4)


def test_large_exponents_are_worked_out_in_float64(solved):
    X, y = training_set(3, n=20, dtype=np.float32)
    X = X * np.float32(100)
    model = RBFSVC(gamma=30.0, backend="cupy").fit(on_device(X), y)
    assert to_host(solved[0].samples.X).dtype == np.float64
    assert model.support_vectors_.dtype == np.float32
    Z = X + np.float32(3e-3)
    np.testing.assert_allclose(
        model.decision_function(on_device(Z)), model.decision_function(Z), rtol=0, atol=1e-9
    )


def test_labels_and_weights_may_be_on_the_device(solved):
    X, y = training_set(3)
    weight = np.random.default_rng(0).uniform(0.5, 2, len(y))
    model = RBFSVC(backend="cupy")
    here = content_hash(model.fit(on_device(X), y, weight))
    there = content_hash(model.fit(on_device(X), on_device(y), on_device(weight)))
    assert here == there
    names = np.array(["a", "b", "c"])[y].tolist()
    assert set(model.fit(on_device(X), names).predict(on_device(X))) <= {"a", "b", "c"}


def test_arrays_in_several_places_are_refused():
    X, y = training_set(3)
    weight = np.ones(len(y))
    model, there = RBFSVC(backend="cupy"), on_device(X)
    for samples, labels, weights in [
        (there, on_device(y, OTHER_DEVICE), None),
        (there, y, on_device(weight, OTHER_DEVICE)),
        (X, on_device(y), None),
        (X.tolist(), on_device(y), None),
        (X, y, on_device(weight)),
    ]:
        with pytest.raises(InputError, match="All arrays must be on one device"):
            model.fit(samples, labels, weights)


@pytest.mark.parametrize("backend", ["numba", "sklearn", "auto"])
def test_backends_of_the_host_refuse_samples_on_a_device(backend):
    X, y = training_set(3)
    with pytest.raises(InputError) as caught:
        RBFSVC(backend=backend).fit(on_device(X), y)
    assert str(caught.value) == (
        f"Samples must be on the host for the backend {backend.replace('auto', 'numba')!r}. Got an "
        f"array on a device instead. Use the backend 'cupy' or 'cuml', or "
        "svmcifar.compute.arrays.to_host."
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_refused(bad):
    X, y = training_set(3)
    model = RBFSVC(backend="cupy").fit(on_device(X), y)
    X[5, 1] = bad
    with pytest.raises(InputError, match=r"must be finite\. Got (NaN|inf) in row 5, column 1 "):
        model.fit(on_device(X), y)
    with pytest.raises(ValueError, match=r"Input .*contains (NaN|infinity)"):
        model.predict(on_device(X))


@pytest.mark.filterwarnings("error")
def test_shapes_and_labels_are_checked():
    X, y = training_set(3)
    model = RBFSVC(backend="cupy").fit(on_device(X), y)
    assert model.n_features_in_ == 3
    with pytest.raises(ValueError, match="X has 2 features, but RBFSVC is expecting 3"):
        model.predict(on_device(X[:, :2]))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.fit(on_device(X), y[:-1])
    labels = y.astype(float)
    labels[3] = np.nan
    with pytest.raises(ValueError, match="contains NaN"):
        model.fit(on_device(X), labels)


def test_the_memory_limit_holds_for_prediction_too(monkeypatch):
    from svmcifar.svm import prediction

    X, y = training_set(3)
    limits = []
    pair_decisions = prediction.pair_decisions
    monkeypatch.setattr(
        prediction, "pair_decisions", lambda *a: limits.append(a[-1]) or pair_decisions(*a)
    )
    RBFSVC(backend="cupy", memory_limit="1kB").fit(on_device(X), y).predict(on_device(X))
    RBFSVC(backend="cupy").fit(on_device(X), y).predict(on_device(X))
    assert limits == [1000, None]
