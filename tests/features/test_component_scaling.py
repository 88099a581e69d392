import array_api_strict as xp
import numpy as np
import pytest
from devices import assert_on_device, on_device
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from svmcifar.compute.arrays import sklearn_dispatch, to_host
from svmcifar.errors import InputError
from svmcifar.features.fitting import compute_features, fit_features
from svmcifar.features.pipeline import make_feature_pipeline
from svmcifar.features.reduce.component_scaling import ComponentScaling
from svmcifar.features.settings import FeatureSettings
from svmcifar.io.content_hash import content_hash

pytestmark = pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning:array_api_strict")


@pytest.fixture
def components():
    """More rows than one batch of the scaler that finds the deviations."""
    rng = np.random.default_rng(0)
    return (rng.normal(size=(1500, 4)) * [30, 4, 1, 0.02]).astype(np.float32)


@pytest.fixture
def images():
    rng = np.random.default_rng(1)
    return rng.integers(0, 256, (400, 30), dtype=np.uint8) // np.arange(1, 31, dtype=np.uint8)


@pytest.mark.parametrize("power", [0.0, 0.3, 0.5, 1.0])
def test_components_are_divided_by_a_power_of_their_deviations(components, power):
    before = components.copy()
    scaled = ComponentScaling(power).fit_transform(components)
    deviations = components.std(axis=0, dtype=np.float64)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled, components / deviations**power, rtol=1e-5)
    np.testing.assert_array_equal(components, before)


def test_new_samples_are_scaled_by_the_training_samples(components):
    scaling = ComponentScaling(0.5).fit(components[:1000])
    others = components[1000:] * np.float32(3)
    deviations = components[:1000].std(axis=0, dtype=np.float64)
    np.testing.assert_allclose(scaling.transform(others), others / deviations**0.5, rtol=1e-5)


@pytest.mark.parametrize("power", [0.5, 1.0])
def test_rounding_errors_stay_small(components, power):
    components[:, 3] *= np.float32(1e-6)
    scaled = ComponentScaling(power).fit_transform(components)
    assert scaled[:, 3].std() < 1e-4
    np.testing.assert_allclose(
        scaled[:, :3], ComponentScaling(power).fit_transform(components[:, :3]), rtol=1e-6
    )


@pytest.mark.parametrize("power", [0.5, 1.0])
def test_components_that_do_not_vary(power):
    scaled = ComponentScaling(power).fit_transform(np.zeros((10, 3), dtype=np.float32))
    np.testing.assert_array_equal(scaled, np.zeros((10, 3)))


def test_scaling_on_a_device(components):
    here = ComponentScaling(0.5).fit(components)
    with sklearn_dispatch(on_device(components)):
        there = ComponentScaling(0.5).fit(on_device(components))
        scaled = there.transform(on_device(components))
    assert_on_device(there.divisors_, xp.float32)
    assert_on_device(scaled, xp.float32)
    np.testing.assert_allclose(to_host(there.divisors_), here.divisors_, rtol=1e-6)
    np.testing.assert_allclose(to_host(scaled), here.transform(components), rtol=1e-5)


def test_whole_whitening_is_scikit_learns(images):
    pipeline = fit_features(
        make_feature_pipeline(FeatureSettings(n_components=5, whiten=1.0)), images
    )
    X = compute_features(pipeline, images)
    standardised = StandardScaler().fit_transform(images / 255.0)
    expected = PCA(5, svd_solver="full", whiten=True).fit_transform(standardised)
    expected *= np.sqrt(len(images) / (len(images) - 1))  # scikit-learn divides by n - 1
    np.testing.assert_allclose(np.abs(X), np.abs(expected), rtol=0, atol=1e-2)


def test_partial_whitening_of_a_pipeline(images):
    plain = compute_features(
        fit_features(make_feature_pipeline(FeatureSettings(n_components=5)), images), images
    )
    partly = compute_features(
        fit_features(make_feature_pipeline(FeatureSettings(n_components=5, whiten=0.5)), images),
        images,
    )
    np.testing.assert_allclose(partly, plain / plain.std(axis=0) ** 0.5, rtol=1e-3, atol=1e-4)


def test_pipeline_on_a_device(images):
    here = fit_features(make_feature_pipeline(FeatureSettings(n_components=5, whiten=0.5)), images)
    there = fit_features(
        make_feature_pipeline(FeatureSettings(n_components=5, whiten=0.5)), on_device(images)
    )
    divisors = there.named_steps["whiten"].divisors_
    assert type(divisors) is np.ndarray
    np.testing.assert_allclose(divisors, here.named_steps["whiten"].divisors_, rtol=1e-4)
    X = compute_features(there, on_device(images))
    assert_on_device(X, xp.float32)
    expected = np.abs(compute_features(here, images))
    np.testing.assert_allclose(np.abs(to_host(X)), expected, rtol=0, atol=1e-2)


@pytest.mark.parametrize("whiten", [0.0, 0.5])
def test_too_many_components(images, whiten):
    with pytest.raises(InputError, match=r"at most 30 components .* Got 31 instead"):
        fit_features(make_feature_pipeline(FeatureSettings(n_components=31, whiten=whiten)), images)


def test_no_whitening_leaves_no_trace(images):
    without = fit_features(make_feature_pipeline(FeatureSettings(n_components=5)), images)
    zero = fit_features(make_feature_pipeline(FeatureSettings(n_components=5, whiten=0.0)), images)
    assert list(zero.named_steps) == ["pixels", "standardize", "pca"]
    assert content_hash(zero) == content_hash(without)


@pytest.mark.parametrize("power", [-0.1, 1.1, float("nan")])
def test_power_out_of_range(power):
    with pytest.raises(InputError, match=rf"must be from 0 to 1\. Got {power} instead"):
        make_feature_pipeline(FeatureSettings(n_components=5, whiten=power))


def test_whitening_needs_components():
    with pytest.raises(InputError, match=r"needs principal components .* Got power 0\.5 without"):
        make_feature_pipeline(FeatureSettings(whiten=0.5))
