"""WidePCA: against scikit-learn's exact components, on the host and on a device."""

import array_api_strict as xp
import numpy as np
import pytest
import skops.io
from devices import DEVICE, assert_on_device, on_device
from scipy.linalg import subspace_angles
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError

from svmcifar.compute.arrays import to_host
from svmcifar.features import kinds
from svmcifar.features.reduce.wide_pca import WidePCA
from svmcifar.io.content_hash import content_hash

# Samples and features: more of either.
SHAPES = [(60, 200), (150, 30)]
N_COMPONENTS = 6

pytestmark = pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning:array_api_strict")


def samples(shape=SHAPES[0], n_patterns=N_COMPONENTS, seed=0):
    """So many components of unlike variance, noise, and a mean that is not 0."""
    rng = np.random.default_rng(seed)
    shares = rng.normal(size=(shape[0], n_patterns)) * 2.0 ** -np.arange(n_patterns)
    X = 10 * shares @ rng.normal(size=(n_patterns, shape[1])) + rng.normal(size=shape[1])
    return (X + 0.01 * rng.normal(size=shape)).astype(np.float32)


@pytest.fixture(name="X", params=SHAPES, ids=["wide", "tall"])
def _samples(request):
    return samples(request.param)


def signs(model, exact):
    return np.sign(np.sum(model.components_ * exact.components_, axis=1))


def test_equals_exact_components(X):
    exact = PCA(N_COMPONENTS, svd_solver="full").fit(X.astype(np.float64))
    model = WidePCA(N_COMPONENTS)
    own = model.fit_transform(X.copy())
    np.testing.assert_allclose(np.linalg.norm(model.components_, axis=1), 1, rtol=1e-4)
    assert subspace_angles(model.components_.T, exact.components_.T).max() < 1e-3
    others = samples(X.shape, seed=1)
    for found, points in ((own, X), (model.transform(X), X), (model.transform(others), others)):
        assert found.dtype == np.float32
        expected = exact.transform(points) * signs(model, exact)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3 * np.abs(expected).max())
    variances = own.var(axis=0, ddof=1)
    np.testing.assert_allclose(variances, exact.explained_variance_, rtol=1e-4)
    assert (np.diff(variances) < 0).all()
    np.testing.assert_allclose(own.mean(axis=0), 0, rtol=0, atol=1e-3)


def test_fit_and_transform(X):
    """What `fit` learns is what `fit_transform` learns; `transform` leaves samples as they are."""
    model, other = WidePCA(4), WidePCA(4)
    model.fit_transform(X.copy())
    assert content_hash(other.fit(X.copy())) == content_hash(model)
    before = X.copy()
    model.transform(X)
    np.testing.assert_array_equal(X, before)


def test_on_a_device(X):
    here, there = WidePCA(4), WidePCA(4)
    expected = here.fit_transform(X.copy())
    found = there.fit_transform(on_device(X))
    others = samples(X.shape, seed=1)
    for array, target in ((found, expected), (there.transform(on_device(others)), None)):
        assert_on_device(array, xp.float32)
        target = here.transform(others) if target is None else target
        np.testing.assert_allclose(to_host(array), target, rtol=0, atol=1e-3 * np.abs(target).max())
    for array in (there.components_, there.offset_):
        assert array.device == DEVICE


@pytest.mark.parametrize("place", [np.asarray, on_device])
@pytest.mark.parametrize("rank", [0, 1, 5])
def test_fewer_components_than_are_asked_for(place, rank):
    """Samples that lie in few directions have no variance in others."""
    X = samples(n_patterns=rank) if rank else np.full((60, 200), 0.5, dtype=np.float32)
    X -= X.mean(axis=0)
    if rank:
        left, values, right = np.linalg.svd(X, full_matrices=False)
        X = (left[:, :rank] * values[:rank]) @ right[:rank]
    found = to_host(WidePCA(8).fit_transform(place(X.copy())))
    assert np.isfinite(found).all()
    noise = np.abs(found[:, rank:]).max()
    assert noise <= 2e-3 * np.abs(found).max()
    assert (np.abs(found[:, :rank]).max(axis=0) > 5 * noise).all()


def test_as_many_components_as_samples():
    X = samples()
    model = WidePCA(60)
    found = model.fit_transform(X.copy())
    assert found.shape == (60, 60)
    exact = PCA(30, svd_solver="full").fit(X.astype(np.float64))
    np.testing.assert_allclose(
        np.abs(found[:, :6]), np.abs(exact.transform(X)[:, :6]), rtol=0, atol=0.05
    )


def test_must_be_fitted():
    with pytest.raises(NotFittedError):
        WidePCA(3).transform(samples())


def test_can_be_cloned_and_saved():
    X = samples()
    model = WidePCA(5, random_state=3)
    assert clone(model).get_params() == {"n_components": 5, "random_state": 3}
    model.fit(X.copy())
    loaded = skops.io.loads(skops.io.dumps(model), trusted=kinds.TRUSTED)
    assert content_hash(loaded) == content_hash(model)
    np.testing.assert_array_equal(loaded.transform(X), model.transform(X))


def test_components_of_even_variances():
    """Where no direction stands out, power iterations find those of most variance even so."""
    X = np.random.default_rng(5).normal(size=(600, 3000)).astype(np.float32)
    X -= X.mean(axis=0)
    found = WidePCA(300).fit_transform(X.copy()).astype(np.float64)
    exact = np.linalg.svd(X.astype(np.float64), compute_uv=False)[:300] ** 2
    shares = np.sort((found**2).sum(axis=0))[::-1] / exact
    assert shares.min() > 0.99
    assert shares.max() < 1 + 1e-4
