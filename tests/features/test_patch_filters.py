import numpy as np
import pytest
from devices import on_device
from scipy.linalg import fractional_matrix_power
from threadpoolctl import threadpool_limits

from svmcifar.compute.image_shape import ImageShape
from svmcifar.errors import InputError
from svmcifar.features.extract import patch_filters
from svmcifar.features.extract.patch_filters import (
    Whitening,
    _cluster_centres,
    _directions,
    fit_whitening,
    normalise_contrast,
    sample_patches,
)
from svmcifar.features.extract.patches import PatchFeatures

SHAPE = ImageShape(3, 32, 32)
SMALL = {"n_filters": 20, "n_patches": 2000, "filters": "random"}


@pytest.fixture(scope="module")
def images(synthetic_data):
    return synthetic_data.read_split("train").images[::10]  # 50


def fitted(images, **options):
    return PatchFeatures(**(SMALL | options)).fit(images)


def test_whitening_whitens():
    rng = np.random.default_rng(0)
    patches = rng.normal(size=(5000, 12)) @ rng.normal(size=(12, 12)) + rng.normal(size=12)
    whitening = fit_whitening(patches.astype(np.float32), 1e-9)
    whitened = whitening.apply(patches)
    np.testing.assert_allclose(whitened.mean(axis=0), np.zeros(12), atol=1e-4)
    np.testing.assert_allclose(np.cov(whitened.T, bias=True), np.eye(12), atol=1e-4)


def test_whitening_is_zero_phase_and_regularised(images):
    patches = normalise_contrast(
        sample_patches(images, SHAPE, 4, 3000, np.random.default_rng(1)), 10.0
    )
    whitening = fit_whitening(patches, 0.3)
    covariance = np.cov(patches.T.astype(np.float64), bias=True)
    expected = fractional_matrix_power(covariance + 0.3 * np.eye(48), -0.5)
    np.testing.assert_allclose(whitening.transform, expected, atol=1e-5)
    np.testing.assert_allclose(whitening.mean, patches.mean(axis=0, dtype=np.float64), atol=1e-9)


def test_patches_are_drawn_from_everywhere():
    """Of images whose values tell row, column and image."""
    rows, columns = np.mgrid[:32, :32]
    images = np.array([[rows, columns, np.full((32, 32), i)] for i in range(3)], dtype=np.uint8)
    images = images.reshape(3, 3072)
    patches = sample_patches(images, SHAPE, 6, 40_000, np.random.default_rng(0)).reshape(
        -1, 3, 6, 6
    )
    corners = patches[:, :, 0, 0].astype(int)
    assert {tuple(corner) for corner in corners} == {
        (y, x, i) for y in range(27) for x in range(27) for i in range(3)
    }
    across = np.arange(6)
    expected = np.zeros((1, 3, 6, 6), dtype=int)
    expected[0, 0], expected[0, 1] = across[:, None], across
    np.testing.assert_array_equal(patches, corners[:, :, None, None] + expected)


@pytest.mark.parametrize(
    "options",
    [{}, {"patch_size": 4, "zca_epsilon": 1.0, "contrast_epsilon": 1000.0}, {"n_patches": 25}],
)
def test_random_filters_are_whitened_patches_of_length_1(images, options):
    transformer = fitted(images, **options)
    size, rng = transformer.patch_size, np.random.default_rng(0)
    patches = sample_patches(images, SHAPE, size, transformer.n_patches, rng)
    patches = normalise_contrast(patches, transformer.contrast_epsilon).astype(np.float64)
    covariance = np.cov(patches.T, bias=True) + transformer.zca_epsilon * np.eye(3 * size**2)
    whitened = (patches - patches.mean(axis=0)) @ fractional_matrix_power(covariance, -0.5)
    lengths = np.linalg.norm(whitened, axis=1, keepdims=True)
    # A response is the product of two whitened patches, one of them of length 1.
    cosines = (patches @ transformer.filters_.T + transformer.bias_) / lengths
    found = cosines.argmax(axis=0)
    np.testing.assert_allclose(cosines.max(axis=0), np.ones(20), atol=1e-4)
    assert len(set(found)) == 20
    whitened /= lengths
    np.testing.assert_allclose(cosines, whitened @ whitened[found].T, atol=1e-4)


def test_clusters_of_directions():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(4, 10))
    truth /= np.linalg.norm(truth, axis=1, keepdims=True)
    directions = np.repeat(truth, 2000, axis=0) + 0.1 * rng.normal(size=(8000, 10))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    centres = _cluster_centres(directions.astype(np.float32), 4, 0)
    cosines = truth @ centres.T
    np.testing.assert_allclose(cosines.max(axis=1), np.ones(4), atol=1e-3)
    assert len(set(cosines.argmax(axis=1))) == 4


def test_clusters_disregard_how_much_contrast_there_is():
    """Of two kinds of patches one is long and spread, which would take all of the centres."""
    rng = np.random.default_rng(0)
    kinds = np.array([[1.0, 0, 0], [0, 1.0, 0]])
    patches = np.repeat(kinds, 500, axis=0) + 0.01 * rng.normal(size=(1000, 3))
    patches[500:] *= rng.uniform(1, 100, size=(500, 1))
    directions = _directions(patches, Whitening(np.zeros(3), np.eye(3)))
    assert directions.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), np.ones(1000), rtol=1e-6)
    centres = _cluster_centres(directions, 2, 0)
    np.testing.assert_allclose(np.sort(centres @ kinds[0] ** 2), [0, 1], atol=0.01)


def test_clusters_depend_on_the_seed():
    directions = np.random.default_rng(0).normal(size=(500, 5)).astype(np.float32)
    first, again, other = (_cluster_centres(directions, 8, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(again, first)
    assert np.abs(other - first).max() > 0.01


@pytest.mark.parametrize("filters", ["random", "kmeans"])
def test_learns_the_same_a_batch_at_a_time(images, filters, monkeypatch):
    at_once = fitted(images, filters=filters, n_filters=5)
    monkeypatch.setattr(patch_filters, "_BATCH_ROWS", 300)
    in_batches = fitted(images, filters=filters, n_filters=5)
    np.testing.assert_allclose(in_batches.filters_, at_once.filters_, atol=1e-4)
    np.testing.assert_allclose(in_batches.bias_, at_once.bias_, atol=1e-4)


def test_filters_of_clusters(images):
    of_clusters, drawn = fitted(images, filters="kmeans"), fitted(images)
    assert of_clusters.filters_.shape == drawn.filters_.shape
    assert np.abs(of_clusters.filters_ - drawn.filters_).max() > 0.1
    # Whitening alone gives filters their lengths, at most zca_epsilon^-1/2.
    lengths = np.linalg.norm(of_clusters.filters_, axis=1)
    assert 0.1 < lengths.min() <= lengths.max() < 0.1**-0.5 + 1e-5


@pytest.mark.parametrize("filters", ["random", "kmeans"])
def test_the_same_seed_gives_the_same_filters(images, filters):
    fits = []
    for n_threads in (1, 2):
        with threadpool_limits(n_threads):
            fits.append(fitted(images, filters=filters, random_state=3, n_jobs=n_threads))
    other = fitted(images, filters=filters, random_state=4)
    for name in ("filters_", "bias_"):
        np.testing.assert_array_equal(getattr(fits[0], name), getattr(fits[1], name))
        assert np.abs(getattr(other, name) - getattr(fits[0], name)).max() > 0


def test_learns_from_nothing_but_the_images_given(images):
    whole = images.copy()
    first = fitted(whole[:20])
    whole[20:] = 255 - whole[20:]
    again = fitted(whole[:20], n_jobs=1)
    before = again.filters_.copy(), again.bias_.copy()
    again.transform(whole)
    for transformer in (again, PatchFeatures(**SMALL).fit(whole[:20], np.arange(20))):
        np.testing.assert_array_equal(transformer.filters_, first.filters_)
        np.testing.assert_array_equal(transformer.bias_, first.bias_)
    np.testing.assert_array_equal(again.filters_, before[0])
    assert np.abs(fitted(whole[20:40]).filters_ - first.filters_).max() > 0.01


def test_fits_on_a_device_as_on_the_host(images):
    on_host, elsewhere = fitted(images), fitted(on_device(images))
    for name in ("filters_", "bias_"):
        assert type(getattr(elsewhere, name)) is np.ndarray
        np.testing.assert_array_equal(getattr(elsewhere, name), getattr(on_host, name))


@pytest.mark.filterwarnings("ignore:Number of distinct clusters")
@pytest.mark.parametrize("filters", ["random", "kmeans"])
def test_learns_nothing_from_constant_images(images, filters):
    constant = np.full((5, 3072), 7, dtype=np.uint8)
    transformer = fitted(constant, contrast_epsilon=0.0, filters=filters)
    features = transformer.transform(images[:3])
    np.testing.assert_array_equal(features, np.zeros((3, 360), np.float32))


def test_refuses_to_learn_from_no_images(images):
    with pytest.raises(InputError, match=r"at least 1 image. Got 0"):
        PatchFeatures().fit(images[:0])
