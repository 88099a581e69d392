import numpy as np
import pytest
from devices import on_device
from sklearn.svm import SVC

from svmcifar.svm import moments as moments_module
from svmcifar.svm.moments import kernel_center, resolve_gamma
from svmcifar.svm.moments import moments as moments_of


def samples(n, d, dtype, offset=0.0, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, d)) + offset).astype(dtype)


def test_samples_near_the_origin_are_not_centred():
    X = samples(200, 10, np.float64)
    moments = moments_of(X)
    assert kernel_center(moments, X.dtype) is None
    shifted = X + 0.09 * np.sqrt(moments.mean_sq_norm / 10)
    assert kernel_center(moments_of(shifted - X.mean(axis=0)), X.dtype) is None
    shifted = X + 0.11 * np.sqrt(moments.mean_sq_norm / 10)
    center = kernel_center(moments_of(shifted - X.mean(axis=0)), X.dtype)
    np.testing.assert_allclose(center, shifted.mean(axis=0) - X.mean(axis=0), rtol=1e-12)


# 2,500 x 900 values are several runs of rows, the last of them a short one.
@pytest.mark.parametrize("shape", [(1, 1), (7, 3), (2500, 900), (3, 2**20 + 1)])
@pytest.mark.parametrize(("dtype", "offset"), [("f4", 0), ("f4", 1e4), ("f8", 1e8)])
def test_moments(shape, dtype, offset):
    X = samples(*shape, dtype, offset)
    moments = moments_of(X)
    exact = X.astype(np.float64)
    np.testing.assert_allclose(moments.mean, exact.mean(axis=0), rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(moments.variance, exact.var(), rtol=1e-9)
    np.testing.assert_allclose(
        moments.mean_sq_norm, np.square(exact).sum(axis=1).mean(), rtol=1e-13
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_moments_tell_that_samples_are_not_finite(bad):
    X = samples(2000, 900, np.float32)
    X[1990, 5] = bad
    assert not np.isfinite(moments_of(X).variance)


@pytest.mark.parametrize("gamma", ["scale", "auto", 0.37])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("constant", [False, True])
def test_gamma_is_that_of_scikit_learn(gamma, dtype, constant):
    X = np.full((20, 3), 2.5, dtype) if constant else samples(20, 3, dtype, offset=100)
    theirs = SVC(gamma=gamma).fit(X, np.arange(20) % 2)._gamma
    ours = resolve_gamma(gamma, 3, moments_of(X).variance)
    np.testing.assert_allclose(ours, theirs, rtol=1e-11)


@pytest.mark.parametrize("run", [2**24, 1000])
@pytest.mark.parametrize(("dtype", "offset"), [("f4", 0), ("f4", 1e4), ("f8", 1e8)])
def test_moments_on_a_device(monkeypatch, dtype, offset, run):
    monkeypatch.setattr(moments_module, "_DEVICE_VALUES", run)
    X = samples(321, 17, dtype, offset)
    ours, there = moments_of(X), moments_of(on_device(X))
    assert type(there.mean) is np.ndarray
    assert there.mean.dtype == np.float64
    np.testing.assert_allclose(there.mean, ours.mean, rtol=1e-13, atol=1e-13)
    for name in ("variance", "mean_sq_norm"):
        assert type(getattr(there, name)) is float
        np.testing.assert_allclose(getattr(there, name), getattr(ours, name), rtol=1e-9)
