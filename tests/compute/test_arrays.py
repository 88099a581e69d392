import gc
import os
import sys
import weakref
from types import ModuleType

import array_api_strict as xp
import numpy as np
import pandas as pd
import pytest
import sklearn
from devices import DEVICE, OTHER_DEVICE, assert_on_device, on_device

from svmcifar.compute import arrays, gpu
from svmcifar.errors import BackendUnavailableError, InputError, MemoryLimitError


@pytest.fixture
def cupy(monkeypatch):
    """A CuPy of one function, which a test sets."""
    module = ModuleType("cupy")
    monkeypatch.setitem(sys.modules, "cupy", module)
    return module


def test_numpy_cannot_read_the_stand_in():
    """Or the other tests would not see a transfer that nobody asked for."""
    with pytest.raises(RuntimeError, match=r"device1.* device to a NumPy array"):
        np.asarray(on_device([1.0]))


@pytest.mark.parametrize("array", [np.zeros(2), [1, 2], 3.0, None, pd.Series([1]), np.float32(1)])
def test_what_numpy_reads_is_on_the_host(array):
    assert arrays.is_host(array)


def test_what_is_not_on_the_host():
    assert not arrays.is_host(on_device([1.0]))
    assert not arrays.is_host(xp.asarray([1.0]))  # of another library, if not of another device
    fake = type("ndarray", (), {"__module__": "cupy"})()
    assert not arrays.is_host(fake)


def test_arrays_of_one_place_have_a_namespace():
    X = on_device([1.0])
    assert arrays.get_namespace(X, on_device([2])) is xp
    host = arrays.get_namespace(np.zeros(1), np.zeros(2))
    assert host.asarray([1.0]).__class__ is np.ndarray
    assert host is arrays.get_namespace(np.zeros(3))


@pytest.mark.parametrize(
    ("one", "other", "places"),
    [
        (np.zeros(1), on_device([1.0]), ("the host", "device1")),
        (on_device([1.0]), np.zeros(1), ("device1", "the host")),
        (on_device([1.0]), on_device([1.0], OTHER_DEVICE), ("device1", "device2")),
    ],
)
def test_arrays_of_several_places_have_none(one, other, places):
    with pytest.raises(InputError) as caught:
        arrays.get_namespace(one, one, other)
    message = str(caught.value)
    assert message.startswith("All arrays must be on one device. Got one on ")
    assert message.index(places[0]) < message.index(places[1])
    assert "to_device or to_host" in message


def test_devices_of_several_libraries_are_not_compared():
    class Device:
        def __eq__(self, other):
            return True

        __hash__ = None

    fake = type("ndarray", (), {"__module__": "cupy", "device": Device()})()
    with pytest.raises(InputError, match=r"one on .*device1.* of array_api_strict and .* cupy"):
        arrays.get_namespace(on_device([1.0]), fake)


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32", "float64", "bool"])
def test_to_host_keeps_values_and_dtype(dtype):
    values = np.array([[0, 1], [2, 3]], dtype=dtype)
    X = on_device(values)
    assert arrays.get_dtype(X) == arrays.get_dtype(values) == dtype
    back = arrays.to_host(X)
    assert (type(back), back.dtype) == (np.ndarray, np.dtype(dtype))
    np.testing.assert_array_equal(back, values)
    assert arrays.to_host(values) is values


def test_moving_beside_and_taking_rows():
    values, rows = np.arange(12.0).reshape(4, 3), np.array([3, 0, 3])
    assert_on_device(arrays.move_beside(values, on_device([1])), xp.float64)
    assert arrays.move_beside(values, values) is values
    taken = arrays.take_rows(on_device(values), rows)
    assert_on_device(taken, xp.float64)
    np.testing.assert_array_equal(arrays.to_host(taken), values[rows])
    np.testing.assert_array_equal(arrays.take_rows(values, rows), values[rows])


def test_to_device_sends_what_is_on_the_host(cupy):
    cupy.asarray = lambda array: ("sent", array)
    values = np.arange(3)
    assert arrays.to_device(values) == ("sent", values)
    X = on_device([1.0])
    assert arrays.to_device(X) is X


def test_no_gpu_is_one_clear_error(monkeypatch):
    monkeypatch.setattr(gpu, "why_no_cupy", lambda: "there is no NVIDIA GPU")
    monkeypatch.setitem(sys.modules, "cupy", None)
    message = r"^The GPU cannot be used here: there is no NVIDIA GPU\. Work on the CPU instead\.$"
    for call in (lambda: arrays.to_device(np.zeros(1)), arrays.require_gpu):
        with pytest.raises(BackendUnavailableError, match=message):
            call()


def test_another_error_of_a_gpu_that_works_is_not_hidden(monkeypatch, cupy):
    monkeypatch.setattr(gpu, "why_no_cupy", lambda: None)

    def fail(array):
        raise ZeroDivisionError

    cupy.asarray = fail
    with pytest.raises(ZeroDivisionError):
        arrays.to_device(np.zeros(1))
    arrays.require_gpu()


def test_a_full_gpu_is_one_clear_error(monkeypatch, cupy):
    monkeypatch.setattr(gpu, "why_no_cupy", lambda: None)

    def fail(array):
        raise MemoryError("Out of memory allocating 8 bytes")

    cupy.asarray = fail
    message = r"^The GPU ran out of memory \(Out of memory allocating 8 bytes\)\. Free some, "
    with pytest.raises(MemoryLimitError, match=message):
        arrays.to_device(np.zeros(1))
    with pytest.raises(MemoryLimitError, match=message), arrays.sklearn_dispatch(on_device([1])):
        fail(None)


@pytest.mark.parametrize("value", ["1", "2", " 1 ", "1_0", "", " ", "true", "off"])
def test_tf32_is_refused(monkeypatch, cupy, value):
    """And what CuPy itself fails on, at the first product of float32 numbers."""
    cupy.asarray = lambda array: array
    monkeypatch.setenv("CUPY_TF32", value)
    with pytest.raises(BackendUnavailableError) as caught:
        arrays.to_device(np.zeros(1))
    assert str(caught.value) == (
        f"CUPY_TF32 must be 0 where svmcifar works on the GPU: with TF32 kernel values have 3 "
        f"digits, and CuPy fails on what is no number. Got {value!r}. Unset it."
    )
    assert gpu.why_no_cupy().startswith("CUPY_TF32 must be 0")


@pytest.mark.parametrize("value", [None, "0", "00", "-1"])
def test_what_is_no_wish_for_tf32(monkeypatch, cupy, value):
    cupy.asarray = lambda array: array
    if value is not None:
        monkeypatch.setenv("CUPY_TF32", value)
    arrays.to_device(np.zeros(1))


@pytest.mark.parametrize(
    ("kind", "status", "is_named"),
    [("CUDARuntimeError", 2, True), ("CUDARuntimeError", 35, False), ("CUDADriverError", 2, True),
     ("CUBLASError", 3, True), ("CUBLASError", 2, False), ("Other", 2, False)],
)  # fmt: skip
def test_what_cuda_says_of_memory(kind, status, is_named):
    error = type(kind, (RuntimeError,), {"status": status})("what it says")
    expected = MemoryLimitError if is_named else RuntimeError
    with pytest.raises(expected) as caught, arrays.named_out_of_memory("a plan"):
        raise error
    if is_named:
        assert str(caught.value).startswith(
            "The GPU ran out of memory with the plan 'a plan' (what it says). Free some, set a "
        )


def test_memory_of_the_host_is_not_the_gpus():
    is_refused = pytest.raises(MemoryError, match="Unable to allocate")
    with is_refused as caught, arrays.on_device_of(on_device([1.0])):
        np.empty(2**60, dtype=np.uint8)
    assert not isinstance(caught.value, MemoryLimitError)


def test_an_error_keeps_no_arrays():
    """Else a GPU would stay full for as long as a notebook shows the error."""

    class Array:
        pass

    def allocate():
        held = Array()
        seen.append(weakref.ref(held))
        raise MemoryError

    seen = []
    with pytest.raises(MemoryLimitError), arrays.named_out_of_memory():
        allocate()
    gc.collect()
    assert seen[0]() is None


@pytest.mark.parametrize("before", [None, "0"])
def test_dispatch_lasts_as_long_as_it_is_needed(monkeypatch, before):
    monkeypatch.delenv("SCIPY_ARRAY_API", raising=False)
    if before is not None:
        monkeypatch.setenv("SCIPY_ARRAY_API", before)

    def is_on():
        return sklearn.get_config()["array_api_dispatch"]

    with arrays.sklearn_dispatch(on_device([1.0])):
        assert is_on()
        with sklearn.config_context(assume_finite=True):  # as estimators do within
            pass
    with pytest.raises(KeyError), arrays.sklearn_dispatch(on_device([1.0])):
        raise KeyError
    assert not is_on()
    assert os.environ.get("SCIPY_ARRAY_API") == before
    with arrays.sklearn_dispatch(np.zeros(1)):
        assert not is_on()


def test_waiting_is_for_cupy_alone():
    arrays.wait_for(np.zeros(1))
    arrays.wait_for(on_device([1.0], DEVICE))
