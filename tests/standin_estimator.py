"""The estimator on a strict device (`simulated_device`); run by test_cupy_ovo.py."""

import copy
import gc
import pickle

import cupy
import numpy as np
import pytest
import simulated_device as simulated
from problems import training_set
from simulated_device import Memory
from sklearn.base import clone

from svmcifar import SVC
from svmcifar.compute import threads
from svmcifar.compute.arrays import free_gpu_bytes, is_host, to_device
from svmcifar.errors import InputError, MemoryLimitError
from svmcifar.svm.backends import refinement

pytestmark = pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")

X, y = training_set(3, n=5, dtype=np.float32)
Z = X[::3] + np.float32(0.1)


@pytest.fixture(autouse=True)
def nothing_left():
    """No arrays of other tests."""
    cupy.asked_of.clear()
    cupy._pinned.in_transfer.clear()
    yield
    assert simulated.current.device == 0
    assert [len(streams) for streams in simulated.current.streams] == [1, 1]


def there(array, device=1):
    with cupy.cuda.Device(device):
        return cupy.asarray(array)


def fit(X, y=y, **settings):
    return SVC(**({"backend": "cupy", "tol": 1e-4} | settings)).fit(X, y)


def watched(monkeypatch, owner, name):
    """Count the calls of a function."""
    calls = []
    function = getattr(owner, name)
    monkeypatch.setattr(owner, name, lambda *a, **k: calls.append(a) or function(*a, **k))
    return calls


@pytest.mark.parametrize(
    "settings",
    [{}, {"C": 1e6, "tol": 1e-6, "n_jobs": 2}, {"kernel": "linear"}, {"probability": True}],
    ids=["float32", "refined", "linear", "probability"],
)
def test_another_device_than_the_current_one(settings, monkeypatch):
    """Threads, which solve pairs on, have a current device of their own."""
    monkeypatch.setattr(threads, "_FEW_OPERATIONS", 0)
    solved_on = watched(monkeypatch, refinement, "solve_on_demand")
    far = np.float32(50 if "C" in settings else 0)  # so that samples are centred again
    expected = fit(there(X + far, 0), **settings)
    cupy.asked_of.clear()
    model = fit(there(X + far), there(y), **settings)
    assert set(cupy.asked_of) == {1}
    assert bool(solved_on) == ("C" in settings)
    np.testing.assert_array_equal(model.dual_coef_, expected.dual_coef_)
    np.testing.assert_array_equal(model.support_vectors_, (X + far)[model.support_])
    values = expected.decision_function(there(Z + far, 0))
    for samples in (there(Z + far), there(Z + far, 0), Z + far):
        np.testing.assert_allclose(model.decision_function(samples), values, rtol=0, atol=1e-5)
        np.testing.assert_array_equal(model.predict(samples), expected.predict(Z + far))
        if "probability" in settings:
            np.testing.assert_allclose(
                model.predict_proba(samples), expected.predict_proba(Z), rtol=0, atol=1e-6
            )


def test_the_memory_of_that_device_is_asked_for():
    model = fit(there(X))
    model.predict(there(Z))
    assert set(cupy.asked_of) == {1}


def test_devices_are_not_mixed():
    with pytest.raises(InputError, match=r"All arrays must be on one device\. Got one on <CUDA"):
        fit(there(X), there(y, 0))


@pytest.mark.parametrize("device", [0, 1])
def test_a_stream_that_waits_for_no_other(device, monkeypatch):
    given = watched(monkeypatch, simulated.Stream, "give")
    expected = fit(there(X, 0))
    with cupy.cuda.Device(device), cupy.cuda.Stream(non_blocking=True) as stream:
        given.clear()
        model = fit(to_device(X), C=1.0)
        predicted, values = model.predict_with_decisions(to_device(Z))
        launches = [work for _, work in given if getattr(work, "func", None) is None]
        assert {to for to, _ in given} == {stream}
        assert launches
    here = fit(X, backend="numba")
    np.testing.assert_allclose(model.objective_, here.objective_, rtol=1e-4)
    assert (model.gap_ <= 1e-4).all()
    assert (model.n_iter_ > 0).all()
    for name in ("dual_coef_", "intercept_", "n_iter_", "gap_", "objective_"):
        np.testing.assert_array_equal(getattr(model, name), getattr(expected, name))
    np.testing.assert_array_equal(values, expected.decision_function(there(Z, 0)))
    np.testing.assert_array_equal(predicted, expected.predict(Z))


def test_the_standin_finds_what_is_not_waited_for():
    with cupy.cuda.Stream(non_blocking=True):
        array = cupy.asarray(X) + 1
    with pytest.raises(simulated.StreamError):
        array.get()
    with pytest.raises(ValueError, match="Array device must be same as the current device"):
        there(X) + 1


def count(call):
    before = Memory.n_allocations
    call()
    return Memory.n_allocations - before


def in_use(most=0):
    """Bytes in use; collects garbage, which takes long, if they are more than a number."""
    if sum(Memory.in_use) > most:
        gc.collect()
    return sum(Memory.in_use)


@pytest.mark.parametrize("on_device", [False, True], ids=["host arrays", "device arrays"])
def test_memory_that_runs_out_in_a_fit(on_device, monkeypatch):
    """At each allocation; there are fewer in a fit that sends its samples."""
    model = SVC(backend="cupy")
    samples = there(X, 0) if on_device else X
    n, before = count(lambda: model.fit(samples, y)), in_use()
    expected = model.dual_coef_
    errors = []
    for k in range(1, n + 1):
        monkeypatch.setattr(Memory, "fails_at", Memory.n_allocations + k)
        with pytest.raises(MemoryLimitError) as caught:
            model.fit(samples, y)
        monkeypatch.setattr(Memory, "fails_at", 0)
        message = str(caught.value)
        assert message.startswith("The GPU ran out of memory")
        assert message.count("\n") == 0
        assert "Free some, set a lower memory limit" in message
        errors.append(message)
        assert in_use(before) <= before
        assert model.dual_coef_ is expected
    assert any("with the plan 'whole kernel matrix, " in message for message in errors)
    np.testing.assert_array_equal(model.fit(samples, y).dual_coef_, expected)


def test_memory_that_runs_out_in_a_prediction(monkeypatch):
    host, samples = fit(X, backend="numba"), there(Z, 0)
    before = in_use()
    n = count(lambda: copy.copy(host).predict_with_decisions(samples))
    expected, values = copy.copy(host).predict_with_decisions(samples)
    for k in range(1, n + 1):
        model = copy.copy(host)
        monkeypatch.setattr(Memory, "fails_at", Memory.n_allocations + k)
        with pytest.raises(MemoryLimitError, match=r"^The GPU ran out of memory"):
            model.predict_with_decisions(samples)
        monkeypatch.setattr(Memory, "fails_at", 0)
        predicted, again = model.predict_with_decisions(samples)
        np.testing.assert_array_equal(predicted, expected)
        np.testing.assert_array_equal(again, values)
    del model
    assert in_use() == before


def test_support_vectors_stay_on_the_device():
    before = in_use()
    samples, others = there(X, 0), there(Z, 0)
    model = fit(samples)
    assert "support_vectors_" not in vars(model)
    model.predict(others)
    assert "support_vectors_" not in vars(model)
    support = model.support_vectors_
    assert type(support) is np.ndarray
    np.testing.assert_array_equal(support, X[model.support_])
    assert model.support_vectors_ is support
    del samples, others, model
    assert in_use() == before


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))]
)
def test_copies_hold_arrays_of_the_host(copied):
    model = fit(there(X, 0))
    values = model.decision_function(there(Z, 0))
    other = copied(model)
    assert "_support_there" not in vars(other)
    assert all(is_host(value) for value in vars(other).values())
    assert not hasattr(clone(other), "support_vectors_")
    del model
    np.testing.assert_array_equal(other.decision_function(there(Z, 0)), values)


def test_further_predictions_send_nothing(monkeypatch):
    samples, more = there(X, 0), there(Z, 0)
    for model in (fit(samples), fit(X, backend="numba"), fit(X * 10 + 100, backend="numba")):
        values = model.decision_function(more)
        predicted = model.predict(more)
        free_gpu_bytes()
        np.testing.assert_array_equal(model.decision_function(more), values)
        np.testing.assert_array_equal(model.predict_with_decisions(more)[0], predicted)
        assert cupy._pinned.in_transfer == []
        assert cupy._pinned.n_free_bytes == 0


def test_what_is_altered_is_followed():
    model, more = fit(there(X, 0)), there(Z, 0)
    for alter in (
        lambda: setattr(model, "support_vectors_", model.support_vectors_ + np.float32(1)),
        lambda: setattr(model, "intercept_", model.intercept_ + 1),
        lambda: setattr(model, "dual_coef_", 2 * model.dual_coef_),
        lambda: setattr(model, "gamma_", 2 * model.gamma_),
        lambda: setattr(model, "_support_sq_norms", model._support_sq_norms * np.float32(0.9)),
        lambda: model.fit(there(X[::-1].copy(), 0), y),
    ):
        before = model.decision_function(more)
        alter()
        values = model.decision_function(more)
        assert np.abs(values - before).max() > 1e-3
        np.testing.assert_allclose(values, model.decision_function(Z), rtol=0, atol=1e-4)


def test_host_memory_of_transfers_is_given_back():
    to_device(np.zeros(1000))
    assert cupy._pinned.in_transfer
    free_gpu_bytes()
    assert cupy._pinned.in_transfer == []
    assert cupy._pinned.n_free_bytes == 0
