import math

import numpy as np
import pytest
import skops.io
from devices import assert_on_device, on_device
from reference_patches import all_patches, pooled_responses
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from threadpoolctl import threadpool_info, threadpool_limits

from svmcifar.compute.arrays import to_host
from svmcifar.compute.image_shape import ImageShape
from svmcifar.errors import InputError
from svmcifar.features.extract import patch_filters, patch_responses
from svmcifar.features.extract.patch_filters import normalise_contrast, sample_patches
from svmcifar.features.extract.patch_kernels import normalised_patches
from svmcifar.features.extract.patches import PatchFeatures
from svmcifar.io.content_hash import content_hash

SHAPE = ImageShape(3, 32, 32)
SMALL = {"n_filters": 20, "n_patches": 2000, "filters": "random"}


@pytest.fixture(scope="module")
def images(synthetic_data):
    return synthetic_data.read_split("train").images[::10]  # 50


@pytest.fixture(scope="module")
def noise():
    """Noise of many amplitudes, of which some is at an end of the range."""
    rng = np.random.default_rng(0)
    amplitude = np.array([0, 1, 2, 10, 60, 127])[:, None]
    values = rng.integers(-amplitude, amplitude + 1, (6, 3072)) + rng.integers(0, 256, (6, 1))
    return values.clip(0, 255).astype(np.uint8)


def fitted(images, **options):
    return PatchFeatures(**(SMALL | options)).fit(images)


def raw(features, power):
    """Averages from features: the root of one that is nearly zero magnifies its rounding."""
    return np.asarray(features, dtype=np.float64) ** (1 / power)


def assert_equals_reference(transformer, images, epsilon_scale=1.0):
    features = transformer.transform(images)
    assert features.dtype == np.float32
    expected = [
        pooled_responses(
            image,
            transformer.filters_,
            transformer.bias_,
            transformer.patch_size,
            transformer.contrast_epsilon * epsilon_scale,
            transformer.threshold,
            transformer.pooling,
            transformer.image_shape,
            transformer.cells == "overlapping",
        )
        for image in images
    ]
    assert np.max(expected) > 0.01
    np.testing.assert_allclose(raw(features, transformer.power), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"power": 1.0},
        {"power": 0.25, "threshold": 0.3},
        {"threshold": 0.0, "pooling": 2},
        {"pooling": 4, "contrast_epsilon": 0.0},
        {"pooling": 27, "n_filters": 3},
        {"pooling": 1, "contrast_epsilon": 1000.0, "threshold": 0.1},
        {"patch_size": 1, "threshold": 0.1},
        {"patch_size": 3, "filters": "kmeans"},
        {"patch_size": 9, "pooling": 5},
        {"cells": "overlapping"},
        {"cells": "overlapping", "pooling": 4, "threshold": 0.25},
        {"cells": "overlapping", "pooling": 1},
        {"cells": "overlapping", "pooling": 27, "n_filters": 3},
        {"patch_size": 16, "pooling": 1, "n_patches": 100},
    ],
)
def test_equals_plain_loops(images, noise, options):
    transformer = fitted(images, **options)
    assert_equals_reference(transformer, np.concatenate([images[:2], noise[[1, 3, 5]]]))


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("side", [16, 48])
def test_images_of_other_sizes(side, there):
    images = np.random.default_rng(0).integers(0, 256, (3, 3 * side**2), dtype=np.uint8)
    images[:, ::2] //= 4
    transformer = fitted(images, n_filters=8, threshold=0.5)
    assert_equals_reference(transformer, images[:1])
    if there:
        np.testing.assert_allclose(
            raw(to_host(transformer.transform(on_device(images))), transformer.power),
            raw(transformer.transform(images), transformer.power),
            rtol=1e-5,
            atol=1e-6,
        )


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 20, 7), (4, 9, 12), (3, 8, 24)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
def test_images_of_any_shape_and_type(shape, dtype):
    """And on a device; those that are not bytes may be of any range and far from 0."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (6, math.prod(shape)))
    images[:, ::2] //= 4
    images[0, :2] = 0, 255
    low, unit = {np.float32: (1000, 1 / 512), np.float64: (1e7, 1 / 512)}.get(dtype, (0, 1))
    images = (low + images * unit).astype(dtype)
    cells = "overlapping" if dtype == np.uint8 else "apart"
    options = {"n_filters": 8, "patch_size": 3, "threshold": 0.5, "cells": cells}
    options["image_shape"] = shape
    transformer = fitted(images, **options)
    assert_equals_reference(transformer, images[:2], unit**2)
    np.testing.assert_allclose(
        raw(to_host(transformer.transform(on_device(images))), transformer.power),
        raw(transformer.transform(images), transformer.power),
        rtol=1e-4,
        atol=1e-6,
    )


@pytest.mark.parametrize("scale", [1.0, 1 / 255, 40.0])
def test_the_unit_of_pixels_does_not_matter(images, scale):
    """If the images have a pixel of 0 and one of 255, as these have."""
    assert (images.min(), images.max()) == (0, 255)
    of_bytes = fitted(images).transform(images)
    pixels = images * scale - 3
    np.testing.assert_allclose(fitted(pixels).transform(pixels), of_bytes, rtol=0, atol=2e-3)


def test_bytes_and_others_are_not_taken_for_each_other(images):
    for one, other in ((images, images / 255), (images / 255, images)):
        transformer = fitted(one)
        for array in (other, on_device(other)):
            with pytest.raises(InputError, match=r"must be bytes if those of fit were.* Convert"):
                transformer.transform(array)
        transformer.fit(other).transform(other)  # nothing is left of the first fit


def test_content_hash_is_that_of_older_releases(images):
    transformer = fitted(images)
    newer = content_hash(transformer)
    for name in ("image_shape", "value_range_", "cells"):
        del vars(transformer)[name]
    assert content_hash(transformer) == newer
    transformer.transform(images[:2])
    assert content_hash(fitted(images, image_shape=(3, 32, 32))) != newer
    assert content_hash(fitted(images, cells="overlapping")) != newer


def test_patches_larger_than_the_smaller_side():
    options = SMALL | {"image_shape": (1, 5, 20)}
    with pytest.raises(InputError, match=r"'patch_size' .* at most 5, the rows or .* Got 6"):
        PatchFeatures(**options).fit(np.zeros((2, 100), np.uint8))
    with pytest.raises(InputError, match=r"'pooling' .* at most 2, the positions .* Got 3"):
        PatchFeatures(**options, patch_size=4).fit(np.zeros((2, 100), np.uint8))
    with pytest.raises(InputError, match=r"two or more values.* Got patch_size=1 with grey"):
        PatchFeatures(**options, patch_size=1).fit(np.zeros((2, 100), np.uint8))


def test_equals_plain_loops_over_several_tiles(images, noise, monkeypatch):
    monkeypatch.setattr(patch_responses, "_TILE_FILTERS", 8)
    assert_equals_reference(fitted(images), np.concatenate([images[:2], noise[3:]]))


def test_normalises_contrast_like_the_plain_loop(noise):
    patches = sample_patches(noise, SHAPE, 5, 400, np.random.default_rng(0))
    for epsilon in (0.0, 10.0):
        every = np.concatenate([list(all_patches(i, 5, epsilon).values()) for i in noise])
        normalised = normalise_contrast(patches, epsilon)
        for patch in normalised[::20]:
            assert np.abs(every - patch).max(axis=1).min() < 1e-5


@pytest.mark.parametrize(("size", "epsilon"), [(1, 1.0), (5, 0.0), (6, 10.0), (12, 0.5)])
def test_every_patch_of_an_image_is_normalised(noise, size, epsilon):
    """Of filters made of whitened patches none could tell a wrong mean."""
    for image in noise:
        patches = np.empty((3 * size**2, (33 - size) ** 2), dtype=np.float32)
        normalised_patches(image.reshape(3, 32, 32), size, epsilon, patches)
        expected = np.array(list(all_patches(image, size, epsilon).values()))
        np.testing.assert_allclose(patches.T, expected, rtol=1e-5, atol=1e-6)


def test_sums_do_not_depend_on_the_number_of_processors(images, monkeypatch):
    """Products of a task, or of learning, are one thread's; clustering goes on to its end."""
    blas_threads, fits = [], []

    def spied(call):
        def spy(*args):
            found = threadpool_info()
            blas_threads.extend(i["num_threads"] for i in found if i["user_api"] == "blas")
            return call(*args)

        return spy

    class SpiedKMeans(patch_filters.MiniBatchKMeans):
        def fit(self, X):
            fits.append(super().fit(X))
            return self

    monkeypatch.setattr(patch_filters, "fit_whitening", spied(patch_filters.fit_whitening))
    monkeypatch.setattr(patch_responses, "pool_rectified", spied(patch_responses.pool_rectified))
    monkeypatch.setattr(patch_filters, "MiniBatchKMeans", SpiedKMeans)
    monkeypatch.setattr(patch_filters, "_KMEANS_BATCH_ROWS", 100)
    with threadpool_limits(2, "blas"):
        transformer = fitted(images, filters="kmeans")
        assert set(blas_threads) == {1}
        transformer.transform(images[:2])
    assert set(blas_threads) == {1}
    n_blas = sum(i["user_api"] == "blas" for i in threadpool_info())
    assert len(blas_threads) == (1 + 2) * n_blas
    (kmeans,) = fits
    assert kmeans.n_steps_ == patch_filters._KMEANS_EPOCHS * 2000 // 100


def test_a_row_does_not_depend_on_its_batch_or_the_workers(images, monkeypatch):
    transformer = fitted(images, n_filters=300, n_jobs=1)
    whole = transformer.transform(images)
    assert whole.shape == (50, 9 * 2 * 300)
    for n_jobs, n_images in ((2, 32), (3, 7), (2, 1)):
        monkeypatch.setattr(patch_responses, "_TASK_IMAGES", n_images)
        transformer.set_params(n_jobs=n_jobs)
        np.testing.assert_array_equal(transformer.transform(images), whole)
    for rows in (slice(1), slice(3, 10), slice(31, 33), slice(None, None, -1)):
        np.testing.assert_array_equal(transformer.transform(images[rows]), whole[rows])
    np.testing.assert_array_equal(transformer.transform(np.asfortranarray(images)), whole)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"pooling": 4, "power": 1.0, "threshold": 0.25},
        {"patch_size": 9, "pooling": 5, "contrast_epsilon": 0.0, "filters": "kmeans"},
        {"pooling": 4, "cells": "overlapping"},
    ],
)
def test_features_on_a_device_are_those_on_the_host(images, noise, options, monkeypatch):
    monkeypatch.setattr(patch_responses, "_DEVICE_BATCH_IMAGES", 4)
    monkeypatch.setattr(patch_responses, "_TILE_FILTERS", 8)
    chosen = np.concatenate([images[:4], noise])
    transformer = fitted(images, **options)
    features = transformer.transform(on_device(chosen))
    assert_on_device(features, on_device(np.zeros(1, np.float32)).dtype)
    np.testing.assert_allclose(
        raw(to_host(features), transformer.power),
        raw(transformer.transform(chosen), transformer.power),
        rtol=1e-5,
        atol=1e-6,
    )


def test_constant_images(images):
    constant = np.repeat(np.array([[0], [93], [255]], dtype=np.uint8), 3072, axis=1)
    for epsilon in (0.0, 10.0):
        transformer = fitted(images, contrast_epsilon=epsilon, threshold=0.01, power=1.0)
        features = transformer.transform(constant).reshape(3, 9, 2, 20)
        # A patch without contrast is zero, whatever its brightness: what is left is the bias.
        above = np.maximum(transformer.bias_ - 0.01, 0)
        below = np.maximum(-transformer.bias_ - 0.01, 0)
        assert above.max() > 0
        np.testing.assert_allclose(features[:, :, 0], np.tile(above, (3, 9, 1)), atol=1e-6)
        np.testing.assert_allclose(features[:, :, 1], np.tile(below, (3, 9, 1)), atol=1e-6)
        on_its_device = to_host(transformer.transform(on_device(constant)))
        np.testing.assert_allclose(on_its_device.reshape(features.shape), features, atol=1e-6)


def test_no_images(images):
    for none in (images[:0], on_device(images[:0])):
        features = to_host(fitted(images).transform(none))
        assert features.shape == (0, 360)
        assert features.dtype == np.float32


def test_images_are_left_alone(images):
    before = images.copy()
    fitted(images).transform(images)
    np.testing.assert_array_equal(images, before)


def test_numbers_of_any_kind(images):
    options = {"n_filters": 9, "patch_size": 5, "pooling": 2, "threshold": 0.5, "power": 0.25}
    of_numpy = {
        "n_filters": np.int64(9),
        "patch_size": np.int32(5),
        "pooling": np.int64(2),
        "threshold": np.float64(0.5),
        "power": np.float64(0.25),
        "contrast_epsilon": np.float64(10.0),
        "random_state": np.int64(0),
    }
    plain, other = fitted(images, **options), fitted(images, **of_numpy)
    for array in (images[:3], on_device(images[:3])):
        features = other.transform(array)
        assert str(features.dtype).endswith("float32")
        np.testing.assert_array_equal(to_host(features), to_host(plain.transform(array)))


def test_can_be_cloned():
    options = {
        "n_filters": 10,
        "patch_size": 8,
        "pooling": 2,
        "cells": "overlapping",
        "threshold": 0.5,
        "power": 1.0,
        "filters": "kmeans",
        "contrast_epsilon": 1.0,
        "zca_epsilon": 0.01,
        "n_patches": 100,
        "n_jobs": 2,
        "random_state": 5,
        "image_shape": (1, 9, 9),
    }
    assert PatchFeatures(**options).get_params() == options
    assert clone(PatchFeatures(**options)).get_params() == options


def test_can_be_saved(images):
    transformer = fitted(images)
    data = skops.io.dumps(transformer)
    trusted = ["svmcifar.features.PatchFeatures"]
    assert skops.io.get_untrusted_types(data=data) == trusted
    loaded = skops.io.loads(data, trusted=trusted)
    assert loaded.get_params() == transformer.get_params()
    np.testing.assert_array_equal(loaded.transform(images[:5]), transformer.transform(images[:5]))


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((2, 3, 32, 32), np.uint8),
        np.zeros((2, 32, 32), np.float32),
        np.zeros(3072, np.uint8),
        np.zeros((2, 3072), complex),
        on_device(np.zeros((2, 3, 1024), np.int16)),
    ],
)
def test_refuses_what_is_no_image_row(images, wrong):
    for call in (PatchFeatures(**SMALL).fit, fitted(images).transform):
        with pytest.raises(
            InputError, match=r"must be numbers of shape \(n_images, n_pixels\). Got .*"
        ):
            call(wrong)


@pytest.mark.parametrize("n_values", [0, 1024, 3071, 3 * 32 * 16])
def test_refuses_images_that_are_not_square(images, n_values):
    for call in (PatchFeatures(**SMALL).fit, fitted(images).transform):
        with pytest.raises(InputError, match=rf"must be square .* Got {n_values} values"):
            call(np.zeros((2, n_values), np.uint8))


def test_must_be_fitted_with_its_parameters(images):
    with pytest.raises(NotFittedError):
        PatchFeatures().transform(images)
    for change in ({"patch_size": 8}, {"n_filters": 10}):
        transformer = fitted(images).set_params(**change)
        with pytest.raises(InputError, match=r"Got filters_ of shape \(20, 108\) .* Fit it again."):
            transformer.transform(images)
    transformer = fitted(images)
    transformer.bias_ = transformer.bias_[:5]
    with pytest.raises(InputError, match="Fit it again"):
        transformer.transform(images)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_filters": 0}, "'n_filters' .* Got 0"),
        ({"n_filters": 9.0}, "'n_filters' .* Got 9.0"),
        ({"patch_size": 0}, "'patch_size' .* Got 0"),
        ({"patch_size": 33}, "'patch_size' .* at most 32, .* Got 33"),
        ({"pooling": 0}, "'pooling' .* Got 0"),
        ({"pooling": 28}, "'pooling' .* at most 27, .* 6 x 6 pixels .* Got 28"),
        ({"threshold": -0.5}, "'threshold' .* Got -0.5"),
        ({"threshold": np.nan}, "'threshold' .* Got nan"),
        ({"power": 0.0}, "'power' .* Got 0.0"),
        ({"power": 1.5}, "'power' .* Got 1.5"),
        ({"filters": "sparse"}, "'filters' .* Got 'sparse'"),
        ({"contrast_epsilon": -1.0}, "'contrast_epsilon' .* Got -1.0"),
        ({"zca_epsilon": 0.0}, "'zca_epsilon' .* Got 0.0"),
        ({"n_patches": 19}, "'n_patches' .* at least n_filters=20. Got 19"),
        ({"n_jobs": 1.5}, "'n_jobs' .* Got 1.5"),
        ({"random_state": -1}, "'random_state' .* Got -1"),
        ({"random_state": None}, "'random_state' .* Got None"),
    ],
)
def test_refuses_parameters(images, options, message):
    transformer = fitted(images).set_params(**options)
    for call in (transformer.fit, transformer.transform):
        with pytest.raises(InputError, match=message) as caught:
            call(images)
        assert "\n" not in str(caught.value)
