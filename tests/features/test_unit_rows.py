import numpy as np
import pytest
from devices import assert_on_device, on_device

from svmcifar.compute.arrays import to_host
from svmcifar.features.reduce.unit_rows import UnitRows, round_to_half


def samples():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 300)) * 10.0 ** rng.uniform(-9, 3, size=(50, 300))
    X[7] = 0
    return X.astype(np.float32)


@pytest.mark.parametrize("there", [False, True])
def test_directions(there):
    X = samples()
    before = X.copy()
    units = UnitRows().fit(X).transform(on_device(X) if there else X)
    if there:
        assert_on_device(units, on_device(np.zeros(1, np.float32)).dtype)
    units = to_host(units)
    np.testing.assert_array_equal(X, before)
    assert units.dtype == np.float32
    lengths = np.linalg.norm(X.astype(np.float64), axis=1, keepdims=True)
    lengths[7] = 1
    np.testing.assert_allclose(units, X / lengths, rtol=1e-6)
    assert (units[7] == 0).all()


def test_rounding_is_to_nearest():
    X = np.concatenate([np.geomspace(1e-9, 65_000, 100_000), [2.0**-14, 2.0**-15, 6e-8, 0.0]])
    X = np.concatenate([X, -X]).astype(np.float32)
    np.testing.assert_array_equal(round_to_half(X), X.astype(np.float16).astype(np.float32))
