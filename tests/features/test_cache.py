"""What is found in the feature cache, and what is not."""

import numpy as np
import pytest
from cached_features import MEANS, PATCHES, SMALL, Computing, open_at, random_images
from devices import on_device
from feature_options import quick_features

from svmcifar.compute.threads import single_threaded_blas
from svmcifar.features import augmentation
from svmcifar.features import cache as cache_module
from svmcifar.features.cache_folder import list_entries
from svmcifar.features.fitting import compute_features, compute_training_features
from svmcifar.features.pipeline import make_feature_pipeline
from svmcifar.features.settings import FeatureSettings
from svmcifar.io.content_hash import content_hash

pytestmark = pytest.mark.filterwarnings("error:.*feature cache:UserWarning")

IMAGES = random_images()
KINDS_OF_PIPELINES = {
    "raw": {},
    "components": SMALL,
    "stack": {"kinds": ("means", "cells"), "n_components": 6, "whiten": 1.0},
    "patches": {"kinds": ("patches",), "parameters": {"patches": PATCHES}},
    "wide": {"kinds": ("patches",), "parameters": {"patches": PATCHES}, "n_components": 4},
    "patches of two sizes": {
        "kinds": ("patches",),
        "parameters": {"patches": PATCHES | {"patch_size": [4, 5]}},
    },
    "stacked patches": {"kinds": ("raw", "patches"), "parameters": {"patches": PATCHES}},
    "hog": {"kinds": ("hog",), "parameters": {"hog": {"pixels_per_cell": (16, 16)}}},
}


@pytest.fixture(scope="module", autouse=True)
def _quick_features():
    # Small problems in several threads of BLAS take long on a busy machine.
    with quick_features(), single_threaded_blas():
        yield


@pytest.mark.parametrize("seen", [{}, {"augment": "flip-shift", "in_training": True}])
@pytest.mark.parametrize("settings", KINDS_OF_PIPELINES.values(), ids=list(KINDS_OF_PIPELINES))
def test_what_is_found_is_equal_to_the_bit(tmp_path, settings, seen):
    plain, first, again = Computing(), *(Computing(open_at(tmp_path)) for _ in range(2))
    expected = plain.fit(IMAGES, **settings)
    X = plain.features(expected, IMAGES, **seen)
    for computing in (first, again):
        pipeline = computing.fit(IMAGES, **settings)
        assert content_hash(pipeline) == content_hash(expected)
        found = computing.features(pipeline, IMAGES, **seen)
        assert (found.dtype, found.flags.c_contiguous) == (np.float32, True)
        np.testing.assert_array_equal(found, X)
        # Other images go through what was found.
        others = random_images(seed=1)
        np.testing.assert_array_equal(
            compute_features(pipeline, others), compute_features(expected, others)
        )
    assert (first.done, again.done) == (["fit", "features"], [])
    assert 0 < sum(entry.n_bytes for entry in list_entries(tmp_path)) <= first.cache.kept_bytes
    assert (first.cache.n_found, again.cache.n_found, again.cache.kept_bytes) == (0, 2, 0)


def altered(images):
    images = images.copy()
    images[-1, -1] ^= 1
    return images


def of_patches(**change):
    return {"kinds": ("patches",), "parameters": {"patches": PATCHES | change}}


def of_hog(**change):
    return {"kinds": ("hog",), "parameters": {"hog": {"pixels_per_cell": (16, 16)} | change}}


CHANGED_PATCHES = {
    "n_filters": 5,
    "patch_size": 3,
    "pooling": 1,
    "cells": "overlapping",
    "threshold": 0.5,
    "power": 1.0,
    "filters": "kmeans",
    "contrast_epsilon": 5.0,
    "zca_epsilon": 0.2,
    "n_patches": 60,
}
CHANGED_HOG = {
    "orientations": 8,
    "pixels_per_cell": (8, 16),
}


def test_changes_are_of_every_parameter():
    for before, changed in ((of_patches(), CHANGED_PATCHES), (of_hog(), CHANGED_HOG)):
        parameters = make_feature_pipeline(FeatureSettings(**before))[0].get_params()
        assert changed.keys() == parameters.keys() - {"n_jobs", "random_state", "image_shape"}
        assert not any(parameters[name] == value for name, value in changed.items())


CHANGES = {
    "components": (SMALL, SMALL | {"n_components": 6}),
    "power of whitening": (SMALL, SMALL | {"whiten": 0.25}),
    "no whitening": (SMALL, SMALL | {"whiten": 0.0}),
    "no PCA": (SMALL, {"kinds": ("means",)}),
    "kind": (SMALL, SMALL | {"kinds": ("cells",)}),
    "another kind": (SMALL, SMALL | {"kinds": ("means", "cells")}),
    "order of kinds": ({"kinds": ("cells", "means")}, {"kinds": ("means", "cells")}),
    "seed": (of_patches(), of_patches() | {"seed": 1}),
    **{name: (of_patches(), of_patches(**{name: to})) for name, to in CHANGED_PATCHES.items()},
    **{name: (of_hog(), of_hog(**{name: to})) for name, to in CHANGED_HOG.items()},
}


@pytest.mark.parametrize(("before", "after"), CHANGES.values(), ids=list(CHANGES))
def test_other_parameters_are_not_mixed_up(tmp_path, before, after):
    computing = Computing(open_at(tmp_path))
    for settings in (before, after, before, after):
        pipeline = computing.fit(IMAGES, **settings)
        X = computing.features(pipeline, IMAGES)
        plain = Computing().fit(IMAGES, **settings)
        assert content_hash(pipeline) == content_hash(plain)
        np.testing.assert_array_equal(X, compute_features(plain, IMAGES))
    assert computing.done == ["fit", "features"] * 2


@pytest.mark.parametrize(
    "images",
    [altered(IMAGES), IMAGES[::-1], IMAGES[1:], IMAGES[:-1], random_images(seed=1)],
    ids=["one pixel", "order", "without the first", "without the last", "all"],
)
def test_other_images_are_not_mixed_up(tmp_path, images):
    computing = Computing(open_at(tmp_path))
    pipelines = [computing.fit(some, **MEANS) for some in (IMAGES, images)]
    assert content_hash(pipelines[0]) != content_hash(pipelines[1])
    results = [computing.features(pipelines[0], some) for some in (IMAGES, images)]
    np.testing.assert_array_equal(results[1], compute_features(pipelines[0], images))
    assert computing.done == ["fit", "fit", "features", "features"]


def test_images_changed_in_place_are_others(tmp_path):
    computing, images = Computing(open_at(tmp_path)), IMAGES.copy()
    pipeline = computing.fit(images, **MEANS)
    computing.features(pipeline, images)
    images[3, 5] ^= 8
    X = computing.features(pipeline, images)
    np.testing.assert_array_equal(X, compute_features(pipeline, images))
    computing.fit(images, **MEANS)
    assert computing.done == ["fit", "features", "features", "fit"]


def test_other_views_are_not_mixed_up(tmp_path, monkeypatch):
    computing = Computing(open_at(tmp_path))
    pipeline = computing.fit(IMAGES, **MEANS)
    for _ in range(2):
        for augment in (None, "flip", "flip-shift"):
            X = computing.features(pipeline, IMAGES, augment, in_training=True)
            right = compute_training_features(pipeline, IMAGES, augment=augment)
            np.testing.assert_array_equal(X, right)
            # Without shifts the views that decide are those of training.
            X = computing.features(pipeline, IMAGES, augment)
            np.testing.assert_array_equal(X, compute_features(pipeline, IMAGES, augment=augment))
        assert computing.done == ["fit"] + ["features"] * 3
    monkeypatch.setattr(augmentation, "draw_offsets", lambda n, seed: np.full((n, 2), seed))
    computing.features(pipeline, IMAGES, "flip-shift", in_training=True)
    assert computing.done == ["fit"] + ["features"] * 4


@pytest.mark.parametrize("step", [1, 2, 3], ids=["standardize", "pca", "whiten"])
def test_other_fitted_arrays_are_not_mixed_up(tmp_path, step):
    computing = Computing(open_at(tmp_path))
    pipeline = computing.fit(IMAGES, **SMALL)
    X = computing.features(pipeline, IMAGES)
    array = {1: "mean_", 2: "components_", 3: "divisors_"}[step]
    values = getattr(pipeline[step], array)
    values.flat[-1] = np.nextafter(values.flat[-1], 9, dtype=values.dtype)
    values.flat[0] += 1
    assert not np.array_equal(computing.features(pipeline, IMAGES), X)
    assert computing.done == ["fit", "features", "features"]


@pytest.mark.parametrize("kinds", [("patches",), ("raw", "patches")])
def test_number_of_threads_does_not_matter_and_stays(tmp_path, kinds):
    computing = Computing(open_at(tmp_path))
    for n_jobs in (1, 2, None):
        settings = {"patches": PATCHES}
        pipeline = computing.fit(IMAGES, n_jobs=n_jobs, kinds=kinds, parameters=settings)
        computing.features(pipeline, IMAGES)
        steps = dict(pipeline.steps if len(kinds) == 1 else pipeline[0].transformers)
        assert steps["patches"].n_jobs == n_jobs
    assert computing.done == ["fit", "features"]


def test_layout_and_form_of_images_do_not_matter(tmp_path):
    computing = Computing(open_at(tmp_path))
    pipeline = computing.fit(IMAGES, **MEANS)
    for images in (IMAGES, np.asfortranarray(IMAGES), np.repeat(IMAGES, 2, axis=0)[::2]):
        computing.features(pipeline, images)
    assert computing.done == ["fit", "features"]


def test_what_takes_less_than_ten_seconds_is_not_kept(tmp_path, monkeypatch):
    seconds = iter([0.0, 9.99, 20.0, 29.99, 0.0, 10.0, 50.0, 60.0, 70.0, 80.0, 90.0, 100.0])
    monkeypatch.setattr(cache_module, "perf_counter", lambda: next(seconds))
    computing = Computing(cache_module.FeatureCache(tmp_path, 10**8))
    computing.features(computing.fit(IMAGES, **MEANS), IMAGES)
    assert list_entries(tmp_path) == []
    computing.features(computing.fit(IMAGES, **MEANS), IMAGES)
    computing.features(computing.fit(IMAGES, **MEANS), IMAGES)
    assert computing.done == ["fit", "features"] * 2
    assert next(seconds) == 70.0


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning:array_api_strict")
def test_images_on_a_device_pass_by(tmp_path):
    computing = Computing(open_at(tmp_path))
    images = on_device(IMAGES)
    for _ in range(2):
        pipeline = computing.fit(images, kinds=("means",))
        X = computing.features(pipeline, images)
        assert X.device == images.device
    assert computing.done == ["fit", "features"] * 2
    assert list_entries(tmp_path) == []
