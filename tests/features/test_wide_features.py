"""Pipelines of wide features, which are learned from a part of the images."""

import tomllib

import numpy as np
import pytest
from devices import on_device
from feature_options import Means
from feature_spy import FITTED_ON, TRANSFORMED, spy_features
from scipy.linalg import subspace_angles
from sklearn.decomposition import PCA

from svmcifar.cli.settings import preset_names, preset_path
from svmcifar.errors import InputError
from svmcifar.features import fitting
from svmcifar.features import settings as settings_module
from svmcifar.features.fitting import fit_features, fit_transform_features
from svmcifar.features.pipeline import make_feature_pipeline
from svmcifar.features.reduce.wide_pca import WidePCA
from svmcifar.features.settings import FeatureSettings
from svmcifar.io.content_hash import content_hash

pytestmark = pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning:array_api_strict")

N_CLASSES = 3
WIDE_IMAGES = fitting._WIDE_IMAGES


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    """Patches, and features that stand for them, are learned from at most 50 images."""
    monkeypatch.setattr(fitting, "_WIDE_IMAGES", 50)
    monkeypatch.setattr(settings_module, "WIDE_KINDS", {"spy", "patches"})
    with spy_features():
        yield


def images_of_few_patterns(n_images, n_patterns=4):
    """Their mean colours have so many components of much variance, and noise."""
    rng = np.random.default_rng(3)
    patterns = rng.normal(size=(n_patterns, 3, 4, 1, 4, 1)) * np.ones((1, 1, 1, 8, 1, 8))
    shares = rng.normal(size=(n_images, n_patterns)) * 2.0 ** np.arange(n_patterns, 0, -1)
    pixels = 128 + 3 * shares @ patterns.reshape(n_patterns, -1)
    return (pixels + rng.normal(scale=4, size=pixels.shape)).clip(0, 255).astype(np.uint8)


def rows_of(some, images):
    """Where images are among others, each of which is there once."""
    places = {image.tobytes(): row for row, image in enumerate(images)}
    return np.array([places[image.tobytes()] for image in some])


def test_enough_images_for_the_components_of_a_preset():
    presets = [tomllib.loads(preset_path(name).read_text()) for name in preset_names()]
    most = max(preset.get("ridge-pca", 0) for preset in presets)
    assert WIDE_IMAGES > 2 * most > 0


def test_seed_draws_the_images():
    images, drawn = images_of_few_patterns(120), []
    for seed in (0, 1, 1):
        fit_features(
            make_feature_pipeline(FeatureSettings(n_components=4, kinds=("spy",)), seed=seed),
            images,
        )
        drawn.append(rows_of(TRANSFORMED.pop(), images))
    assert len(np.intersect1d(drawn[0], drawn[1])) < 40
    np.testing.assert_array_equal(drawn[1], drawn[2])


@pytest.mark.parametrize("place", [np.asarray, on_device], ids=["host", "device"])
def test_wide_features_are_learned_from_a_part_of_the_images(place):
    images = images_of_few_patterns(120)
    pipeline = fit_features(
        make_feature_pipeline(FeatureSettings(n_components=4, kinds=("spy",))), place(images)
    )
    (fitted_on,), (seen, *rest) = FITTED_ON, TRANSFORMED
    assert not rest
    np.testing.assert_array_equal(fitted_on, images)  # filters are learned from all
    rows = rows_of(seen, images)
    assert (np.diff(rows) > 0).all()
    assert len(rows) == 50
    assert len(np.intersect1d(rows, np.arange(50))) < 40  # from everywhere
    X = Means().transform(seen).astype(np.float64)
    scaler, pca = pipeline.named_steps["standardize"], pipeline.named_steps["pca"]
    assert scaler.n_samples_seen_ == 50
    np.testing.assert_allclose(scaler.mean_, X.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(scaler.scale_, X.std(axis=0), rtol=1e-4)
    exact = PCA(4, svd_solver="full").fit((X - X.mean(axis=0)) / X.std(axis=0))
    assert subspace_angles(exact.components_.T, pca.components_.T).max() < 1e-4
    overlap = np.abs(np.sum(exact.components_ * pca.components_, axis=1))
    np.testing.assert_allclose(overlap, 1, rtol=0, atol=1e-5)
    assert isinstance(pca, WidePCA)
    assert type(pca.components_) is np.ndarray


def test_wide_features_are_whitened_by_what_they_are_learned_from():
    pipeline = make_feature_pipeline(FeatureSettings(n_components=4, kinds=("spy",), whiten=1.0))
    images = images_of_few_patterns(120)
    fit_features(pipeline, images)
    X = pipeline.transform(TRANSFORMED[0])
    np.testing.assert_allclose(X.std(axis=0), 1, rtol=1e-3)
    np.testing.assert_allclose(X.mean(axis=0), 0, rtol=0, atol=1e-3)


@pytest.mark.parametrize("n_images", [49, 50])
def test_few_images_are_all_learned_from(n_images):
    images = images_of_few_patterns(n_images)
    fit_features(make_feature_pipeline(FeatureSettings(n_components=4, kinds=("spy",))), images)
    np.testing.assert_array_equal(TRANSFORMED[0], images)


@pytest.mark.parametrize("options", [{"n_components": None}, {"n_components": 4}])
def test_other_features_are_learned_from_all_images(monkeypatch, options):
    """And so is the standardiser of patches without components."""
    kinds = {"patches"} if options["n_components"] else {"patches", "spy"}
    monkeypatch.setattr(settings_module, "WIDE_KINDS", kinds)
    images = images_of_few_patterns(120)
    fit_features(make_feature_pipeline(FeatureSettings(kinds=("spy",), **options)), images)
    np.testing.assert_array_equal(TRANSFORMED[0], images)


def test_same_wide_features_again():
    images, y = images_of_few_patterns(120), np.arange(120) % N_CLASSES
    hashes = set()
    for _ in range(2):
        pipeline = make_feature_pipeline(
            FeatureSettings(n_components=4, kinds=("spy",), whiten=0.5, ridge_scores=0.8)
        )
        X = fit_transform_features(pipeline, images, y, augment="flip-shift")
        hashes.add(content_hash(pipeline, X))
    assert len(hashes) == 1
    assert X.shape == (4 * 120, N_CLASSES + 4)  # features of all images
    fold_of = pipeline.named_steps["scores"]._folds()
    assert sum(map(len, fold_of)) == 4 * 120


def test_patches_are_wide():
    settings = {"n_filters": 4, "n_patches": 500, "pooling": 2, "patch_size": [6, 8]}
    pipeline = make_feature_pipeline(
        FeatureSettings(n_components=5, kinds=("patches",), parameters={"patches": settings})
    )
    images = images_of_few_patterns(60)
    fit_features(pipeline, images)
    scaler, pca = pipeline.named_steps["standardize"], pipeline.named_steps["pca"]
    assert scaler.n_samples_seen_ == 50
    drawn = np.sort(np.random.default_rng(0).choice(60, 50, replace=False))
    X = pipeline[:-1].transform(images[drawn])
    exact = PCA(5, svd_solver="full").fit(X.astype(np.float64))
    assert subspace_angles(exact.components_.T, pca.components_.T).max() < 1e-3


def test_more_components_than_the_part_has_images_are_refused_at_once():
    images = images_of_few_patterns(120)
    with pytest.raises(InputError, match=r"at most 50 components of 50 images\. Got 51 instead"):
        fit_features(
            make_feature_pipeline(FeatureSettings(n_components=51, kinds=("spy",))), images
        )
    assert FITTED_ON == []
