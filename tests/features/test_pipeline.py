import array_api_strict as xp
import numpy as np
import pytest
import skops.io
from devices import assert_on_device, on_device
from sklearn import config_context
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from svmcifar.compute.arrays import sklearn_dispatch, to_host
from svmcifar.errors import InputError
from svmcifar.features import fitting, transfer
from svmcifar.features.extract.pixels import RawPixels
from svmcifar.features.fitting import compute_features, fit_features, fit_transform_features
from svmcifar.features.pipeline import count_features, make_feature_pipeline
from svmcifar.features.reduce.standardize import BatchStandardScaler
from svmcifar.features.settings import FeatureSettings
from svmcifar.io.content_hash import content_hash

# scikit-learn keeps NumPy from warning of 0 / 0 in its first batch, but not what is made of NumPy.
pytestmark = pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning:array_api_strict")

TRUSTED = [
    "svmcifar.features.RawPixels",
    "svmcifar.features.BatchStandardScaler",
]


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    # More rows than one batch of the scaler, and a constant pixel.
    images = rng.integers(0, 256, (2300, 48), dtype=np.uint8)
    images[:, 7] = 93
    return images


def test_pixels_are_float32_from_0_to_1():
    pixels = RawPixels().transform(np.array([[0, 51, 255]], dtype=np.uint8))
    assert pixels.dtype == np.float32
    np.testing.assert_array_equal(pixels, np.array([[0, 0.2, 1]], dtype=np.float32))


@pytest.mark.parametrize(
    "images", [np.zeros((2, 3), np.float32), np.zeros((2, 3, 4), np.uint8), np.zeros(3, np.uint8)]
)
def test_pixels_refuse_what_is_no_image_row(images):
    with pytest.raises(InputError, match=r"must be uint8 of shape \(n_images, n_pixels\)"):
        RawPixels().transform(images)


def test_scaler_equals_scikit_learns(images):
    X = images.astype(np.float64)
    ours, theirs = BatchStandardScaler().fit(X), StandardScaler().fit(X)
    np.testing.assert_allclose(ours.mean_, theirs.mean_, rtol=1e-12)
    np.testing.assert_allclose(ours.scale_, theirs.scale_, rtol=1e-12)
    assert ours.n_samples_seen_ == len(X)
    refitted = ours.fit(X[:10])  # a second fit forgets the first
    np.testing.assert_allclose(refitted.mean_, X[:10].mean(axis=0), rtol=1e-12)


def test_scaler_honours_sample_weight(images):
    X, weight = images[:1500].astype(np.float64), np.arange(1500.0)
    ours = BatchStandardScaler().fit(X, sample_weight=weight)
    np.testing.assert_allclose(ours.mean_, np.average(X, axis=0, weights=weight), rtol=1e-12)


def test_features_are_standardised_float32(images):
    before = images.copy()
    pipeline = fit_features(make_feature_pipeline(), images)
    X = compute_features(pipeline, images)
    assert X.dtype == np.float32
    assert X.shape == images.shape
    varying = np.delete(X, 7, axis=1)
    np.testing.assert_allclose(varying.mean(axis=0, dtype=np.float64), 0, atol=1e-5)
    np.testing.assert_allclose(varying.std(axis=0, dtype=np.float64), 1, atol=1e-5)
    np.testing.assert_allclose(X[:, 7], 0, atol=1e-5)
    np.testing.assert_array_equal(images, before)


def test_new_images_are_scaled_by_the_training_images(images):
    pipeline = fit_features(make_feature_pipeline(), images)
    brighter = (images[:100] // 2 + 120).astype(np.uint8)
    scaler = StandardScaler().fit(images / 255.0)
    expected = scaler.transform(brighter / 255.0)
    np.testing.assert_allclose(compute_features(pipeline, brighter), expected, atol=1e-4)


def test_pca_equals_scikit_learns(images):
    pipeline = fit_features(make_feature_pipeline(FeatureSettings(n_components=5)), images)
    X = compute_features(pipeline, images)
    assert X.shape == (len(images), 5)
    standardised = StandardScaler().fit_transform(images / 255.0)
    expected = PCA(5, svd_solver="full").fit_transform(standardised)
    np.testing.assert_allclose(np.abs(X), np.abs(expected), atol=2e-3)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"kinds": ["hog", "raw"], "parameters": {"hog": {"pixels_per_cell": (2, 1)}}},
        {
            "kinds": ["patches"],
            "parameters": {"patches": {"n_filters": 5, "patch_size": [2, 3], "pooling": 2}},
        },
        {"n_components": 6},
        {"n_components": 6, "ridge_scores": 0.5},
        {"n_components": 6, "ridge_scores": 0.5, "ridge_components": 9},
        {"ridge_scores": 0.5},
    ],
)
def test_features_are_counted_before_they_are_computed(images, settings):
    pipeline = make_feature_pipeline(FeatureSettings(**settings))
    y = np.arange(40) % 4
    counted = count_features(pipeline, 48, 4)
    assert counted == fit_transform_features(pipeline, images[:40], y).shape[1]


def test_a_row_does_not_depend_on_its_batch(images, monkeypatch):
    pipeline = fit_features(make_feature_pipeline(), images)
    whole = compute_features(pipeline, images)
    monkeypatch.setattr(fitting, "_BATCH_ROWS", 7)
    np.testing.assert_array_equal(compute_features(pipeline, images), whole)


@pytest.mark.parametrize(("n_images", "n_components", "most"), [(20, 30, 20), (2300, 49, 48)])
def test_too_many_components(images, n_images, n_components, most):
    with pytest.raises(InputError, match=f"at most {most} components .* Got {n_components} "):
        fit_features(
            make_feature_pipeline(FeatureSettings(n_components=n_components)), images[:n_images]
        )


def test_pipeline_can_be_cloned(images):
    pipeline = fit_features(make_feature_pipeline(FeatureSettings(n_components=4)), images)
    again = clone(pipeline).fit(images)
    np.testing.assert_array_equal(
        compute_features(again, images), compute_features(pipeline, images)
    )


def test_pixels_on_a_device():
    images = np.arange(256, dtype=np.uint8).reshape(8, 32)
    pixels = RawPixels().transform(on_device(images))
    assert_on_device(pixels, xp.float32)
    np.testing.assert_array_equal(to_host(pixels), RawPixels().transform(images))
    with pytest.raises(InputError, match=r"Got float32 of shape \(8, 32\) instead"):
        RawPixels().transform(pixels)


def test_scaler_on_a_device(images):
    X, weight = images / np.float32(255), np.arange(len(images), dtype=np.float64)
    with sklearn_dispatch(on_device(X)):
        for weights in (None, weight):
            there = None if weights is None else on_device(weights)
            scaler = BatchStandardScaler().fit(on_device(X), sample_weight=there)
            ours = BatchStandardScaler().fit(X, sample_weight=weights)
            for name in ("mean_", "var_", "scale_"):
                assert_on_device(getattr(scaler, name), xp.float64)
                np.testing.assert_allclose(
                    to_host(getattr(scaler, name)), getattr(ours, name), rtol=1e-6
                )


@pytest.mark.parametrize("n_components", [None, 5])
def test_features_on_a_device(images, n_components):
    """All of it there: NumPy cannot read the arrays.  What is stored is on the host."""
    ours = fit_features(make_feature_pipeline(FeatureSettings(n_components=n_components)), images)
    pipeline = make_feature_pipeline(FeatureSettings(n_components=n_components))
    assert fit_features(pipeline, on_device(images)) is pipeline
    for (_, step), (_, our_step) in zip(pipeline.steps, ours.steps, strict=True):
        assert vars(step).keys() == vars(our_step).keys()
        for name, value in vars(step).items():
            expected = getattr(our_step, name)
            assert type(value) is type(expected), name
            if isinstance(value, np.ndarray):
                assert (value.dtype, value.shape) == (expected.dtype, expected.shape)
                np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-4)
    again = skops.io.loads(skops.io.dumps(pipeline), trusted=TRUSTED)
    assert content_hash(again) == content_hash(pipeline)

    expected = compute_features(ours, images[:100])
    for fitted in (pipeline, ours):
        X = compute_features(fitted, on_device(images[:100]))
        assert_on_device(X, xp.float32)
        np.testing.assert_allclose(to_host(X), expected, atol=1e-4)
        on_host = compute_features(fitted, images[:100])
        assert type(on_host) is np.ndarray
        np.testing.assert_allclose(on_host, expected, atol=1e-4)
    for _, step in ours.steps:  # a copy has been moved
        assert not any(isinstance(value, xp._array_object.Array) for value in vars(step).values())


def test_fitted_arrays_are_sent_once(images, monkeypatch):
    pipeline = fit_features(make_feature_pipeline(FeatureSettings(n_components=5)), images)
    n_arrays = sum(isinstance(v, np.ndarray) for _, s in pipeline.steps for v in vars(s).values())
    sent = []
    move_beside = transfer.move_beside
    monkeypatch.setattr(
        transfer, "move_beside", lambda *args: sent.append(args) or move_beside(*args)
    )
    monkeypatch.setattr(fitting, "_BATCH_ROWS", 70)
    compute_features(pipeline, on_device(images))
    assert len(sent) == n_arrays


def test_too_many_components_on_a_device(images):
    with pytest.raises(InputError, match=r"at most 20 components .* Got 30 "):
        fit_features(
            make_feature_pipeline(FeatureSettings(n_components=30)), on_device(images[:20])
        )


def test_features_are_arrays_whatever_scikit_learn_is_set_to(images):
    """Transformers of scikit-learn return frames to whoever asks for them."""
    settings = FeatureSettings(n_components=5, whiten=0.5)
    expected = fit_features(make_feature_pipeline(settings), images)
    with config_context(transform_output="pandas"):
        pipeline = fit_features(make_feature_pipeline(settings), images)
        X = compute_features(pipeline, images)
    assert type(X) is np.ndarray
    np.testing.assert_array_equal(X, compute_features(expected, images))


@pytest.mark.parametrize(("side", "solver"), [(8, "covariance_eigh"), (9, "auto")])
def test_components_of_larger_images_are_not_all_computed(monkeypatch, side, solver):
    monkeypatch.setattr(fitting, "_MOST_VALUES", 3 * 8**2)
    images = np.random.default_rng(0).integers(0, 256, (12, 3 * side**2), dtype=np.uint8)
    pipeline = make_feature_pipeline(FeatureSettings(n_components=4))
    first, second = (fit_features(clone(pipeline), images) for _ in range(2))
    assert first["pca"].svd_solver == solver
    np.testing.assert_array_equal(first["pca"].components_, second["pca"].components_)
    X = first["standardize"].transform(first["pixels"].transform(images))
    exact = PCA(4, svd_solver="full").fit(X.astype(np.float64))
    ours = first["pca"].explained_variance_
    np.testing.assert_allclose(ours, exact.explained_variance_, rtol=1e-3)
