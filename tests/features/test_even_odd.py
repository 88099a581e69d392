"""Even and odd parts of features, against images and mirror images as rows of their own."""

import array_api_strict as xp
import numpy as np
import pytest
import skops.io
from devices import assert_on_device, on_device
from feature_options import quick_features
from scipy.linalg import subspace_angles
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.preprocessing import StandardScaler

from svmcifar.compute.arrays import sklearn_dispatch, to_host
from svmcifar.errors import InputError
from svmcifar.features import fitting, kinds
from svmcifar.features.cache import FeatureCache
from svmcifar.features.extract import even_odd
from svmcifar.features.extract.even_odd import EvenOddFeatures
from svmcifar.features.extract.feature_union import FeatureStack
from svmcifar.features.extract.hog import HOG
from svmcifar.features.extract.image_rows import mirror
from svmcifar.features.extract.pixels import RawPixels
from svmcifar.features.fitting import compute_features, fit_features, fit_transform_features
from svmcifar.features.pipeline import (
    count_features,
    count_odd,
    implies_mirror_images,
    make_feature_pipeline,
    set_workers,
    step_names,
)
from svmcifar.features.reduce.component_scaling import ComponentScaling
from svmcifar.features.reduce.even_odd import EvenOddPCA, EvenOddScaler
from svmcifar.features.settings import FeatureSettings
from svmcifar.io.content_hash import content_hash

pytestmark = pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning:array_api_strict")

N, HALF = 70, 12
SOLVERS = ("covariance", "gram", "randomized")
here_and_there = pytest.mark.parametrize("place", [np.asarray, on_device], ids=["host", "device"])


@pytest.fixture(scope="module", autouse=True)
def _quick_features():
    with quick_features():
        yield


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (N, 3072), dtype=np.uint8)


@pytest.fixture
def X():  # noqa: N802
    """Parts with means, the odd ones too, since all images may look to one side."""
    rng = np.random.default_rng(1)
    scales = rng.uniform(0.2, 3.0, 2 * HALF) * np.repeat([2.0, 1.0], HALF)
    return (rng.normal(size=(N, 2 * HALF)) * scales + rng.normal(size=2 * HALF)).astype(np.float32)


def both(X, n_odd=HALF):
    """Samples, and after them all mirror images, in float64."""
    X = X.astype(np.float64)
    return np.vstack([X, np.hstack([X[:, :-n_odd], -X[:, -n_odd:]])])


# Parts of features.


@here_and_there
@pytest.mark.parametrize("batch_rows", [1000, 7])
def test_parts_add_up_to_the_features_of_both_images(images, monkeypatch, batch_rows, place):
    monkeypatch.setattr(even_odd, "_BATCH_ROWS", batch_rows)
    source = FeatureStack([("hog", HOG(pixels_per_cell=(8, 8))), ("pixels", RawPixels())])
    parts = EvenOddFeatures(source).fit_transform(place(images))
    if place is on_device:
        assert_on_device(parts, xp.float32)
    parts, width = to_host(parts), source.count_features(3072)
    assert parts.dtype == np.float32
    assert parts.shape == (N, EvenOddFeatures(source).count_features(3072)) == (N, 2 * width)
    even, odd = parts[:, :width], parts[:, width:]
    np.testing.assert_allclose(even + odd, source.transform(images), rtol=0, atol=1e-6)
    np.testing.assert_allclose(even - odd, source.transform(mirror(images)), rtol=0, atol=1e-6)
    mirrored = EvenOddFeatures(source).transform(mirror(images))
    np.testing.assert_array_equal(mirrored, np.hstack([even, -odd]))


def test_no_image_has_no_parts(images):
    assert EvenOddFeatures(RawPixels()).transform(images[:0]).shape == (0, 6144)


def test_the_source_is_fitted(images):
    seen = []

    class Spy(RawPixels):
        def fit(self, images, y=None):
            seen.append(images)
            return self

    EvenOddFeatures(Spy()).fit(images)
    np.testing.assert_array_equal(seen[0], images)


def test_only_square_colour_images_have_mirror_images():
    with pytest.raises(InputError, match="must be square"):
        EvenOddFeatures(RawPixels()).transform(np.zeros((3, 30), dtype=np.uint8))


# Standardising.


@here_and_there
def test_scaler_equals_scikit_learns_over_both_images(X, place):
    before, even, odd = X.copy(), X[:, :HALF].astype(np.float64), X[:, HALF:].astype(np.float64)
    expected = StandardScaler().fit(np.vstack([even + odd, even - odd]))
    with sklearn_dispatch(place(X)):
        scaler = EvenOddScaler().fit(place(X))
        found = to_host(scaler.transform(place(X)))
    np.testing.assert_allclose(to_host(scaler.mean_)[:HALF], expected.mean_, rtol=1e-6)
    assert not to_host(scaler.mean_)[HALF:].any()
    for part in (slice(0, HALF), slice(HALF, None)):
        np.testing.assert_allclose(to_host(scaler.var_)[part], expected.var_, rtol=1e-6)
        np.testing.assert_allclose(to_host(scaler.scale_)[part], expected.scale_, rtol=1e-6)
    assert scaler.n_odd_ == HALF
    of_image, of_mirror = expected.transform(even + odd), expected.transform(even - odd)
    np.testing.assert_allclose(found[:, :HALF], (of_image + of_mirror) / 2, rtol=0, atol=1e-5)
    np.testing.assert_allclose(found[:, HALF:], (of_image - of_mirror) / 2, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(X, before)


@pytest.mark.parametrize("constant", [0.0, 0.1, -3e4])
def test_scaler_of_a_constant_feature(X, constant):
    X[:, 3], X[:, HALF + 3] = constant, 0.0
    scaler = EvenOddScaler().fit(X)
    assert scaler.scale_[3] == scaler.scale_[HALF + 3] == 1.0
    assert np.abs(scaler.transform(X)[:, [3, HALF + 3]]).max() < 1e-2
    X[:, HALF + 3] = 0.5  # no part varies, but the feature does
    np.testing.assert_allclose(EvenOddScaler().fit(X).scale_[3], 0.5, rtol=1e-3)


# Principal components.


@here_and_there
@pytest.mark.parametrize("solver", SOLVERS)
def test_components_are_those_of_both_images(X, solver, place):
    n_components = 9
    exact = PCA(n_components + 1, svd_solver="full").fit(both(X))
    is_odd = np.abs(exact.components_[:n_components, HALF:]).sum(axis=1) > 1e-3
    order = np.argsort(is_odd, kind="stable")
    model = EvenOddPCA(n_components, solver=solver)
    found = model.fit_transform(place(X.copy()))
    if place is on_device:
        assert_on_device(found, xp.float32)
    assert model.n_odd_ == is_odd.sum()
    assert 0 < model.n_odd_ < n_components
    shapes = [getattr(model, f"{name}_").shape for name in ("components", "variances", "offset")]
    assert shapes == [(n_components, HALF), (n_components,), (n_components - model.n_odd_,)]
    variances = exact.explained_variance_[order] * (2 * N - 1) / (2 * N)
    np.testing.assert_allclose(to_host(model.variances_), variances, rtol=1e-4)
    expected = exact.transform(X)[:, order]
    signs = np.sign(np.sum(expected * to_host(found), axis=0))
    others = both(X)[N:].astype(np.float32)  # mirror images
    # By the Gram matrix each value of a component is rounded, by at most this share of it.
    is_rounded = solver == "gram"
    values, share = to_host(model.components_), 2.0**-11 if is_rounded else 0.0
    assert np.array_equal(values, values.astype(np.float16)) == is_rounded
    cases = [(found, X), (model.transform(place(X)), X), (model.transform(place(others)), others)]
    for components, samples in cases:
        expected = exact.transform(samples)[:, order] * signs
        sizes = np.abs(samples - exact.mean_) @ np.abs(exact.components_[order]).T
        assert (np.abs(to_host(components) - expected) <= 2e-3 + share * sizes).all()


@pytest.mark.parametrize("solver", SOLVERS)
def test_odd_components_are_among_the_first_and_more_even_ones_follow(X, solver):
    first = EvenOddPCA(9, solver=solver).fit(X.copy())
    model = EvenOddPCA(12, n_keep=9, solver=solver).fit(X.copy())
    assert 0 < model.n_odd_ == first.n_odd_ < 9
    n_even = 12 - model.n_odd_
    exact = PCA(n_even, svd_solver="full").fit(X[:, :HALF].astype(np.float64))
    angles = subspace_angles(model.components_[:n_even].T, exact.components_.T)
    assert angles.max() < 1e-2
    odd = [of.components_[-of.n_odd_ :] for of in (model, first)]
    np.testing.assert_allclose(np.abs(odd[0]), np.abs(odd[1]), rtol=0, atol=1e-3)
    assert (np.diff(model.variances_[:n_even]) < 0).all()


def test_components_can_be_of_one_kind(X):
    for scale, n_odd in ((1e-3, 0), (1e3, 4)):
        scaled = X * np.repeat([1.0, scale], HALF).astype(np.float32)
        model = EvenOddPCA(4).fit(scaled.copy())
        assert model.n_odd_ == n_odd
        assert model.transform(scaled).shape == (N, 4)


def test_pca_fits_and_transforms(X):
    """What `fit` learns is what `fit_transform` learns; `transform` leaves samples as they are."""
    model, other = EvenOddPCA(4), EvenOddPCA(4)
    model.fit_transform(X.copy())
    assert content_hash(other.fit(X.copy())) == content_hash(model)
    before = X.copy()
    model.transform(X)
    np.testing.assert_array_equal(X, before)
    with pytest.raises(NotFittedError):
        EvenOddPCA(3).transform(X)


@here_and_there
def test_deviations_of_odd_components_are_about_0(X, place):
    with sklearn_dispatch(place(X)):
        scaling = ComponentScaling(0.5).fit(place(X), n_odd=HALF)
    expected = both(X).std(axis=0) ** 0.5
    np.testing.assert_allclose(to_host(scaling.divisors_), expected, rtol=1e-5)


# Pipelines.

SCORED = {"kinds": ("means",), "whiten": 0.5, "ridge_scores": 0.8, "n_components": 8}
SETTINGS = {
    "pixels": {},
    "stack": {"kinds": ("hog", "means")},
    "components": {"kinds": ("means", "cells"), "n_components": 9},
    "scores": {"kinds": ("means",), "ridge_scores": 0.8},
    "scores of components": SCORED,
    "scores of more": {**SCORED, "ridge_components": 20},
    "patches": {
        **SCORED, "ridge_components": 20, "kinds": ("patches",),
        "parameters": {"patches": {"n_filters": 4, "n_patches": 300, "patch_size": [6, 8]}},
    },
}  # fmt: skip
each_setting = pytest.mark.parametrize("settings", SETTINGS.values(), ids=list(SETTINGS))


def fitted(images, settings, augment="flip", **more):
    pipeline = make_feature_pipeline(FeatureSettings(augment=augment, **settings))
    y = np.arange(images.shape[0]) % 3
    return pipeline, fit_transform_features(pipeline, images, y, augment=augment, **more)


@each_setting
def test_mirroring_negates_the_odd_features_alone(images, settings):
    pipeline, X = fitted(images, settings)
    n_odd = count_odd(pipeline)
    assert 0 < n_odd < X.shape[1]
    assert X.shape == (N, count_features(pipeline, 3072, 3))
    own = compute_features(pipeline, images, augment="flip")
    mirrored = compute_features(pipeline, mirror(images), augment="flip")
    assert own.shape == X.shape
    atol = 1e-5 * np.abs(own).max()
    n_even = own.shape[1] - n_odd
    np.testing.assert_allclose(mirrored[:, :n_even], own[:, :n_even], rtol=0, atol=atol)
    np.testing.assert_allclose(mirrored[:, n_even:], -own[:, n_even:], rtol=0, atol=atol)
    assert (np.abs(own[:, n_even:]).max(axis=0) > 100 * atol).all()


@each_setting
def test_features_are_counted_before_they_are_fitted(settings):
    pipeline = make_feature_pipeline(FeatureSettings(augment="flip", **settings))
    assert implies_mirror_images(pipeline)
    assert not implies_mirror_images(make_feature_pipeline(FeatureSettings(**settings)))
    plain = make_feature_pipeline(FeatureSettings(**settings))
    doubled = 1 if "n_components" in settings else 2
    n_scores = 3 if "ridge_scores" in settings else 0
    counts = [count_features(of, 3072, 3) - n_scores for of in (pipeline, plain)]
    assert counts[0] == doubled * counts[1]
    assert step_names(pipeline) == step_names(plain)


@pytest.mark.parametrize("settings", [SETTINGS["components"], SETTINGS["patches"]])
@pytest.mark.parametrize("augment", ["flip", "flip-shift"])
def test_on_a_device_and_in_files(images, settings, augment):
    here, X = fitted(images, settings, augment)
    there, Z = fitted(on_device(images), settings, augment)
    assert_on_device(Z, xp.float32)
    assert X.shape[0] == (1 if augment == "flip" else 2) * N
    np.testing.assert_allclose(np.abs(to_host(Z)), np.abs(X), rtol=0, atol=5e-3)
    assert count_odd(here) == count_odd(there)
    again = skops.io.loads(skops.io.dumps(there), trusted=kinds.TRUSTED)
    assert content_hash(again) == content_hash(there)
    expected = compute_features(there, images, augment=augment)
    np.testing.assert_array_equal(compute_features(again, images, augment=augment), expected)
    found = compute_features(there, on_device(images), augment=augment)
    np.testing.assert_allclose(to_host(found), expected, rtol=0, atol=1e-4)


def test_components_are_whitened_by_their_deviations_over_both_images(images):
    pipeline, _ = fitted(images, {"kinds": ("means",), "n_components": 9, "whiten": 0.5})
    expected = pipeline["pca"].variances_ ** 0.25
    np.testing.assert_allclose(pipeline["whiten"].divisors_, expected, rtol=1e-4)


def test_threads_and_seed_reach_the_source():
    pipeline = make_feature_pipeline(FeatureSettings(augment="flip", **SETTINGS["patches"]), seed=7)
    set_workers(pipeline, 1)
    sources = [one for _, one in pipeline.steps[0][1].source.transformers]
    assert [one.random_state for one in sources] == [7, 7]
    assert [one.n_jobs for one in sources] == [1, 1]
    assert pipeline["pca"].random_state == pipeline["scores"].random_state == 7


def test_the_cache_knows_even_and_odd_features(images, tmp_path):
    settings = SETTINGS["patches"]
    first, X = fitted(images, settings, cache=FeatureCache(tmp_path / "c", 10**9, least_s=0.0))
    cache = FeatureCache(tmp_path / "c", 10**9, least_s=0.0)
    again, found = fitted(images, settings, cache=cache)
    assert cache.n_found == 3  # the pipeline, its features, and scores of them
    np.testing.assert_array_equal(found, X)
    assert content_hash(again) == content_hash(first)
    plain = make_feature_pipeline(FeatureSettings(**settings))
    fit_transform_features(plain, images, np.arange(N) % 3, augment="flip", cache=cache)
    assert cache.n_found == 3  # nothing of it is of another pipeline


@pytest.mark.parametrize(("n_images", "n_components", "most"), [(20, 30, 20), (70, 49, 48)])
def test_too_many_components(images, n_images, n_components, most):
    settings = FeatureSettings(kinds=("means",), n_components=n_components, augment="flip")
    with pytest.raises(InputError, match=f"at most {most} components .* Got {n_components} "):
        fit_features(make_feature_pipeline(settings), images[:n_images])


def test_components_of_larger_images_are_not_all_computed(images, monkeypatch):
    monkeypatch.setattr(fitting, "_MOST_VALUES", 3071)
    settings = FeatureSettings(kinds=("means",), n_components=6, augment="flip")
    pipeline = make_feature_pipeline(settings)
    expected = fit_features(clone(pipeline).set_params(pca__solver="covariance"), images)
    fit_features(pipeline, images)
    assert pipeline["pca"].solver == "randomized"
    monkeypatch.setattr(fitting, "_MOST_VALUES", 3072)
    exact = fit_features(clone(expected).set_params(pca__solver="covariance"), images)
    assert exact["pca"].solver == "covariance"
    np.testing.assert_allclose(pipeline["pca"].variances_, exact["pca"].variances_, rtol=1e-3)


def test_wide_features_are_learned_from_a_part_of_the_images(images, monkeypatch):
    monkeypatch.setattr(fitting, "_WIDE_IMAGES", 50)
    pipeline, X = fitted(images, SETTINGS["patches"])
    assert pipeline["standardize"].n_samples_seen_ == 50
    assert len(X) == N
