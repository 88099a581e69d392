import math

import numpy as np
import pytest
from devices import assert_on_device, on_device
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from skimage.feature import hog
from sklearn.base import clone

from svmcifar.compute.arrays import to_host
from svmcifar.compute.image_shape import ImageShape
from svmcifar.errors import InputError
from svmcifar.features.extract import hog as hog_module
from svmcifar.features.extract.hog import HOG, _histograms
from svmcifar.features.extract.hog_gradients import (
    _EDGE_MARGIN,
    MOST_ORIENTATIONS,
    planes_of,
    strongest_gradient,
    votes,
)
from svmcifar.io.content_hash import content_hash

SIDES_PX = [16, 32, 48]


@pytest.fixture(scope="module")
def images(synthetic_data):
    return synthetic_data.read_split("train").images[::10]  # 50, more than one batch


def to_pictures(images, shape=None):
    side = math.isqrt(images.shape[1] // 3)
    return images.reshape(-1, *(shape or (3, side, side))).transpose(0, 2, 3, 1)


def assert_equals_scikit_image(images, **options):
    """In float64, with the settings that HOG has no parameters for."""
    transformer = HOG(**options)
    features = transformer.fit(images).transform(images)
    assert features.dtype == np.float32
    fixed = {"cells_per_block": (2, 2), "block_norm": "L2-Hys", "channel_axis": -1}
    options = transformer.get_params() | fixed
    pictures = to_pictures(images, options.pop("image_shape"))
    expected = np.array([hog(picture, **options) for picture in pictures])
    np.testing.assert_allclose(features, expected, rtol=0, atol=1e-5)


def gradients_of(images):
    """Gradients of each channel, of shape (2, n_images, 3, side, side)."""
    planes = to_pictures(images).transpose(0, 3, 1, 2).astype(np.float64)
    down, right = np.zeros((2, *planes.shape))
    down[:, :, 1:-1] = planes[:, :, 2:] - planes[:, :, :-2]
    right[:, :, :, 1:-1] = planes[:, :, :, 2:] - planes[:, :, :, :-2]
    return np.stack([down, right])


def without_rounded_ties(images):
    """Leave out the images in which scikit-image's rounding decides what is a tie.

    Between channels, where the magnitudes of gradients with equal squares differ in the last bit.
    """
    gradients = gradients_of(images)
    strongest = np.hypot(*gradients).argmax(axis=1)
    tied = strongest != (gradients**2).sum(axis=0).argmax(axis=1)
    return images[~tied.any(axis=(1, 2))]


def ramp(down, right, start=0):
    """A plane with this gradient in every pixel but those of the border."""
    rows, columns = np.mgrid[:32, :32]
    plane = start + (down * rows + right * columns) / 2
    assert plane.min() >= 0
    assert plane.max() <= 255
    assert (plane == np.round(plane)).all()
    return plane.astype(np.uint8)


def inner_histograms(image, orientations):
    """Histograms of the four cells of 8 x 8 pixels in the middle of an image, which sum to 1."""
    planes = planes_of(image, ImageShape(3, 32, 32))
    inner = _histograms(*strongest_gradient(planes), orientations, (8, 8))[1:3, 1:3, :, 0]
    return inner / inner.sum(axis=2, keepdims=True)


@st.composite
def drawn_images(draw):
    """Three images with fine or coarse patterns of few or many values, bright or dark."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    scale, n_values = draw(st.sampled_from([1, 2, 5, 16])), draw(st.sampled_from([2, 4, 32, 256]))
    step = draw(st.integers(1, 255 // (n_values - 1)))
    side = draw(st.sampled_from(SIDES_PX))
    coarse = rng.integers(0, n_values, (3, 3, side, side)) * step
    pixels = coarse.repeat(scale, axis=2).repeat(scale, axis=3)[:, :, :side, :side]
    return pixels.reshape(3, -1).astype(np.uint8)


@st.composite
def drawn_options(draw):
    return {
        "orientations": draw(st.sampled_from([1, 2, 3, 4, 6, 8, 9, 12, 16, 18, 36])),
        "pixels_per_cell": draw(st.tuples(st.integers(2, 8), st.integers(2, 8))),
    }


@settings(max_examples=60, deadline=None)
@given(drawn_images(), drawn_options())
def test_equals_scikit_image(images, options):
    images = without_rounded_ties(images)
    assume(len(images))
    assert_equals_scikit_image(images, **options)


def test_equals_scikit_image_on_synthetic_images(images):
    assert_equals_scikit_image(images)


@pytest.mark.parametrize("side", SIDES_PX)
def test_images_of_any_size(side):
    """A corner of a scene of soft shapes, which has few ties."""
    rng = np.random.default_rng(0)
    pixels = np.kron(rng.integers(0, 256, (4, 3, 6, 6)), np.ones((8, 8)))[:, :, :side, :side]
    pixels = (pixels + rng.integers(-60, 60, pixels.shape)).clip(0, 255)
    images = without_rounded_ties(pixels.reshape(4, -1).astype(np.uint8))
    assert len(images) > 2
    assert_equals_scikit_image(images)
    n_cells = side // 4
    assert HOG().transform(images).shape[1] == (n_cells - 1) ** 2 * 36


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 9, 31), (3, 40, 12), (4, 10, 10), (2, 8, 24)])
def test_images_of_any_shape_and_type(shape, dtype):
    """With fractions no two channels tie; integers are drawn so that few do."""
    rng = np.random.default_rng(1)
    images = rng.random((40, math.prod(shape))) * 250
    if np.dtype(dtype).kind == "f":
        images = images * 0.01 - 1  # negative too
    images = images.astype(dtype)
    if shape[0] > 1 and np.dtype(dtype).kind != "f":
        images = np.concatenate([images[[i]] for i in range(40) if not has_ties(images[i], shape)])
    assert len(images) > 4
    assert_equals_scikit_image(images, pixels_per_cell=(4, 3), image_shape=shape)


def has_ties(image, shape):
    """Whether the squares of gradients of two channels are equal where they are largest."""
    planes = image.reshape(shape).astype(np.float64)
    down, right = np.zeros((2, *shape))
    down[:, 1:-1] = planes[:, 2:] - planes[:, :-2]
    right[:, :, 1:-1] = planes[:, :, 2:] - planes[:, :, :-2]
    squares = np.sort(down**2 + right**2, axis=0)
    return bool(((squares[-1] == squares[-2]) & (squares[-1] > 0)).any())


def test_other_types_are_as_bytes_with_the_same_values(images):
    expected = HOG().transform(images)
    for dtype in (np.int64, np.float32, np.float64, np.float16, ">f4"):
        np.testing.assert_array_equal(HOG().transform(images.astype(dtype)), expected)
    grey = images[:, :1024]
    by_shape = HOG(image_shape=(1, 32, 32)).transform(grey)
    np.testing.assert_array_equal(by_shape, HOG().transform(np.tile(grey, 3)))
    masks = HOG(image_shape=[1, 32, 32]).transform(grey > 100)
    np.testing.assert_array_equal(masks, HOG(image_shape=(1, 32, 32)).transform(1.0 * (grey > 100)))


@pytest.mark.parametrize("pixels_per_cell", [(1, 1), (3, 5), (7, 16), (16, 16)])
def test_cells_of_any_size(images, pixels_per_cell):
    assert_equals_scikit_image(images[:5], pixels_per_cell=pixels_per_cell)


def test_constant_images_have_no_gradients():
    images = np.repeat(np.array([[0], [93], [255]], dtype=np.uint8), 3072, axis=1)
    np.testing.assert_array_equal(HOG().transform(images), np.zeros((3, 1764), np.float32))


@pytest.mark.parametrize(
    ("down", "right", "degrees"),
    [
        *((0, 2, 0), (0, -2, 0), (2, 0, 90), (-2, 0, 90)),
        *((2, 2, 45), (-2, -2, 45), (2, -2, 135), (-2, 2, 135)),
    ],
)
@pytest.mark.parametrize("orientations", [4, 8, 12, 36])
def test_an_orientation_on_an_edge_is_in_the_upper_bin(orientations, down, right, degrees):
    image = np.tile(ramp(down, right, start=100).ravel(), 3)[None]
    inner = inner_histograms(image, orientations)
    expected = np.zeros_like(inner)
    expected[:, :, orientations * degrees // 180] = 1
    np.testing.assert_allclose(inner, expected, atol=1e-5)


def test_edges_are_found_whatever_the_last_bits():
    """Of atan2, and of square roots."""
    two_roots = math.sqrt(18) - math.sqrt(8)
    assert two_roots < math.sqrt(2)
    down = np.array([two_roots, np.nextafter(3, 0), 3 - 1e-6, np.nextafter(-3, 0), 0.0])
    right = np.array([math.sqrt(2), 3, 3, 3, -1])
    _, bins = votes(down, right, 4)
    assert bins.tolist() == [1, 1, 0, 3, 0]


def test_the_edge_margin_moves_no_other_gradient():
    numbers = np.arange(256)
    down, right = np.meshgrid(numbers, numbers)
    between = (np.gcd(down, right) == 1) & (down > 0) & (right > down)
    turn = np.arctan2(down[between], right[between]) / np.pi
    for orientations in range(1, MOST_ORIENTATIONS + 1):
        fraction = turn * orientations % 1
        assert fraction.min() > 100 * _EDGE_MARGIN
        assert fraction.max() < 1 - 100 * _EDGE_MARGIN


def test_bins_and_magnitudes_of_all_gradients():
    numbers = np.arange(-255.0, 256.0)
    down, right = (side.ravel() for side in np.meshgrid(numbers, numbers))
    magnitude, bins = votes(down, right, 180)
    np.testing.assert_allclose(magnitude, np.hypot(down, right), rtol=1e-7)
    assert (magnitude.dtype, bins.dtype) == (np.float32, np.uint8)
    np.testing.assert_array_equal(bins, np.floor(np.degrees(np.arctan2(down, right)) % 180))


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1, 0), (2, 0, 1)])
def test_the_first_of_the_channels_that_tie_counts(order):
    planes = np.array([ramp(6, 8), ramp(10, 0), ramp(8, 6)])[list(order)]
    inner = inner_histograms(planes.reshape(1, 3072), 9)
    of_first = inner_histograms(np.tile(planes[0].ravel(), 3)[None], 9)
    np.testing.assert_array_equal(inner, of_first)


def test_gradients_of_equal_squares_tie():
    """Though the roots of the squares may not: by np.hypot some differ in the last bit."""
    one, other = (47, 28), (52, 17)
    assert np.square(one).sum() == np.square(other).sum()
    planes = np.zeros((2, 3, 3, 1))
    planes[:, 2, 1, 0], planes[:, 1, 2, 0] = np.transpose([one, other])
    for first, ordered in ((one, planes), (other, planes[::-1])):
        down, right = strongest_gradient(ordered)
        assert (down[1, 1, 0], right[1, 1, 0]) == first


def test_one_image_and_none(images):
    assert_equals_scikit_image(images[:1])
    features = HOG(pixels_per_cell=(8, 8)).transform(images[:0])
    assert features.shape == (0, 324)
    assert features.dtype == np.float32


@pytest.mark.parametrize("pixels_per_cell", [(4, 4), (16, 16)])
def test_a_row_does_not_depend_on_its_batch(images, pixels_per_cell):
    transformer = HOG(pixels_per_cell=pixels_per_cell)
    whole = transformer.transform(images)
    for rows in (slice(1), slice(3, 10), slice(31, 33), slice(49, 50)):
        np.testing.assert_array_equal(transformer.transform(images[rows]), whole[rows])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"orientations": 12},
        {"pixels_per_cell": (5, 6)},
        {"image_shape": (1, 64, 48)},
    ],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_features_on_a_device_are_those_on_the_host(images, options, dtype, monkeypatch):
    monkeypatch.setattr(hog_module, "_DEVICE_BATCH_ROWS", 4)
    transformer, few = HOG(**options), images[:6].astype(dtype)
    features = transformer.fit(on_device(few)).transform(on_device(few))
    assert_on_device(features, on_device(np.zeros(1, np.float32)).dtype)
    np.testing.assert_array_equal(to_host(features), transformer.transform(few))


def test_images_are_left_alone(images):
    before = images.copy()
    HOG().transform(images)
    np.testing.assert_array_equal(images, before)


def test_integers_of_any_kind(images):
    options = {"orientations": 8, "pixels_per_cell": (8, 4)}
    of_numpy = HOG(orientations=np.int64(8), pixels_per_cell=list(np.array([8, 4])))
    for array, read in ((images[:3], np.asarray), (on_device(images[:3]), to_host)):
        features = read(of_numpy.transform(array))
        np.testing.assert_array_equal(features, HOG(**options).transform(images[:3]))


def test_can_be_cloned():
    options = {"orientations": 12, "pixels_per_cell": (8, 4), "image_shape": (1, 9, 9)}
    assert HOG(**options).get_params() == options
    assert clone(HOG(**options)).get_params() == options


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((2, 3, 32, 32), np.uint8),
        np.zeros((2, 32, 32), np.float32),
        np.zeros(3072, np.uint8),
        np.zeros((2, 3072), complex),
        np.full((2, 3072), "0"),
        on_device(np.zeros((2, 3, 1024), np.int16)),
    ],
)
def test_refuses_what_is_no_image_row(images):
    for call in (HOG().fit, HOG().transform):
        with pytest.raises(
            InputError, match=r"HOG must be numbers of shape \(n_images, n_pixels\). Got .*\.$"
        ):
            call(images)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
def test_refuses_pixels_that_are_no_numbers(value):
    images = np.zeros((2, 3072), np.float32)
    images[1, 7] = value
    for array in (images, on_device(images)):
        with pytest.raises(InputError, match=r"must be finite and at most .* Got values from"):
            HOG().transform(array)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 8, 9), r"rows of 1 x 8 x 9 = 72 values, by image_shape .* Got 64 values instead"),
        ((8, 8), r"'image_shape' parameter of HOG must be three integers .* Got \(8, 8\)"),
        ((1, 8, 8.0), r"three integers above 0.* Got \(1, 8, 8.0\)"),
        ((0, 8, 8), r"three integers above 0.* Got \(0, 8, 8\)"),
        (64, r"'image_shape' parameter of HOG must be an instance of .* Got 64"),
        (None, r"must be square .* Got 64 values instead. Others need an image_shape"),
    ],
)
def test_refuses_shapes(shape, message):
    for call in (HOG(image_shape=shape).fit, HOG(image_shape=shape).transform):
        with pytest.raises(InputError, match=message) as caught:
            call(np.zeros((2, 64), np.uint8))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("n_values", [0, 3, 1024, 3071, 3 * 32 * 16])
def test_refuses_images_that_are_not_square(n_values):
    for call in (HOG().fit, HOG().transform):
        with pytest.raises(InputError, match=rf"square .* Got {n_values} values|Blocks of HOG"):
            call(np.zeros((2, n_values), np.uint8))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"orientations": 0}, r"'orientations' .* range \[1, 180\]. Got 0"),
        ({"orientations": 181}, "'orientations' .* Got 181"),
        ({"orientations": 9.0}, "'orientations' .* Got 9.0"),
        ({"pixels_per_cell": 8}, "'pixels_per_cell' .* Got 8"),
        ({"pixels_per_cell": (8,)}, r"'pixels_per_cell' .* two integers above 0. Got \(8,\)"),
        ({"pixels_per_cell": (8, 0)}, r"'pixels_per_cell' .* Got \(8, 0\)"),
        ({"pixels_per_cell": (8, 17)}, r"fit an image of 32 x 32 pixels. Got .*\(8, 17\)"),
        ({"pixels_per_cell": (17, 8)}, "must fit .* smaller"),
    ],
)
def test_refuses_parameters(options, message):
    images = np.zeros((1, 3072), np.uint8)
    for call in (HOG(**options).fit, HOG(**options).transform):
        with pytest.raises(InputError, match=message) as caught:
            call(images)
        assert "\n" not in str(caught.value)


OLDER = {
    "cells_per_block": (3, 3),
    "block_norm": "L1",
    "transform_sqrt": True,
    "colour": "grey",
}


@pytest.mark.parametrize("name", OLDER)
def test_parameters_of_older_releases(images, name):
    """Their values then are those that a model file, and its hash, has; others are refused."""
    transformer = HOG()
    assert set(vars(transformer)) == set(transformer.get_params()) | set(OLDER)
    vars(transformer)[name] = OLDER[name]  # as skops does
    with pytest.raises(InputError, match=rf"'{name}' of HOG must be .* older releases left open"):
        transformer.transform(images)


def test_content_hash_is_that_of_older_releases():
    expected = "344f3e252a271a57151bc7416f61fc4444336f671b6e0b5bb76d2bab43549ee3"
    assert content_hash(HOG()) == expected
