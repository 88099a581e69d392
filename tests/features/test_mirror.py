"""Mirror images, and decisions by several views of a sample."""

import array_api_strict as xp
import numpy as np
import pytest
from datafiles import to_pictures
from devices import assert_on_device, on_device, stand_in_for_gpu
from problems import training_set

from svmcifar import RBFSVC
from svmcifar.compute.arrays import to_host
from svmcifar.errors import InputError
from svmcifar.features import fitting
from svmcifar.features.augmentation import mirror
from svmcifar.features.fitting import compute_features, fit_features
from svmcifar.features.pipeline import make_feature_pipeline
from svmcifar.features.settings import FeatureSettings
from svmcifar.svm import decision_function
from svmcifar.svm.one_vs_one import average_views, winners
from svmcifar.svm.prediction import Predictor

pytestmark = pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning:array_api_strict")


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (23, 3072), dtype=np.uint8)


def test_left_and_right_are_swapped(images):
    before = images.copy()
    mirrored = mirror(images)
    assert mirrored.dtype == np.uint8
    np.testing.assert_array_equal(to_pictures(mirrored), to_pictures(images)[:, :, ::-1, :])
    np.testing.assert_array_equal(mirror(mirrored), images)
    mirrored[:] = 0
    np.testing.assert_array_equal(images, before)
    assert mirror(images[:0]).shape == (0, 3072)


def test_mirror_on_a_device(images):
    mirrored = mirror(on_device(images))
    assert_on_device(mirrored, xp.uint8)
    np.testing.assert_array_equal(to_host(mirrored), mirror(images))


@pytest.mark.parametrize("side", [16, 48])
def test_images_of_any_size_are_mirrored(side):
    images = np.random.default_rng(0).integers(0, 256, (5, 3, side, side), dtype=np.uint8)
    expected = images[..., ::-1].reshape(5, -1)
    np.testing.assert_array_equal(mirror(images.reshape(5, -1)), expected)


@pytest.mark.parametrize("shape", [(3, 1024), (3072,), (2, 3, 32, 32)])
def test_what_is_no_image_is_not_mirrored(shape):
    with pytest.raises(InputError, match=r"of shape \(n_images, n_pixels\)|must be square"):
        mirror(np.zeros(shape, dtype=np.uint8))


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("kinds", [("raw",), ("hog", "raw")])
def test_features_of_an_image_and_its_mirror_image_are_neighbours(
    images, monkeypatch, kinds, there
):
    monkeypatch.setattr(fitting, "_BATCH_ROWS", 5)
    pipeline = fit_features(make_feature_pipeline(FeatureSettings(kinds=kinds)), images)
    inputs = on_device(images) if there else images
    both = compute_features(pipeline, inputs, augment="flip")
    if there:
        assert_on_device(both, xp.float32)
    both = to_host(both)
    own = [to_host(compute_features(pipeline, x)) for x in (inputs, mirror(inputs))]
    np.testing.assert_array_equal(both[0::2], own[0])
    np.testing.assert_array_equal(both[1::2], own[1])
    assert not np.array_equal(*own)


@pytest.mark.parametrize("sizes", [[12], [4, 8], [1, 1, 10], [5, 0, 7], [2, 3, 7]])
@pytest.mark.parametrize("n_views", [1, 2, 3])
def test_views_are_averaged_across_batches(sizes, n_views):
    decisions = np.random.default_rng(0).normal(size=(12, 6))
    batches = np.split(decisions, np.cumsum(sizes)[:-1])
    averaged = np.concatenate(list(average_views(batches, n_views)))
    expected = [np.mean(decisions[i : i + n_views], axis=0) for i in range(0, 12, n_views)]
    np.testing.assert_allclose(averaged, expected, rtol=1e-15)


def test_a_sample_without_all_its_views():
    with pytest.raises(InputError, match=r"must have 2 views\. Got 1 of the last one"):
        list(average_views([np.zeros((4, 1)), np.zeros((3, 1))], 2))


@pytest.mark.parametrize("device_rows", [None, 1, 7])
@pytest.mark.parametrize("n_classes", [2, 4])
def test_pairs_are_averaged_before_they_vote(monkeypatch, n_classes, device_rows):
    stand_in_for_gpu(monkeypatch)
    monkeypatch.setattr(decision_function, "_MOST_ROWS", device_rows)  # fewer than a sample, or odd
    X, y = training_set(n_classes, n=30)
    svc = RBFSVC(C=5.0).fit(X, y)
    rng = np.random.default_rng(1)
    views = np.repeat(X[::3], 2, axis=0) + rng.normal(size=(2 * len(X[::3]), X.shape[1]))
    pairs = RBFSVC(decision_function_shape="ovo", C=5.0).fit(X, y).decision_function(views)
    if n_classes == 2:
        pairs = -pairs[:, None]
    averaged = (pairs[0::2] + pairs[1::2]) / 2
    assert (np.sign(pairs[0::2]) != np.sign(pairs[1::2])).any()  # views disagree
    samples = on_device(views) if device_rows else views
    predicted, values = svc.predict_with_decisions(samples, n_views=2)
    np.testing.assert_array_equal(predicted, svc.classes_[winners(averaged, n_classes)])
    np.testing.assert_allclose(values, Predictor(svc)._shaped(averaged), rtol=0, atol=1e-6)
    assert len(values) == len(views) // 2
