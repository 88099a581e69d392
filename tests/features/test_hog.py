import math

import numpy as np
import pytest
from datafiles import to_pictures
from devices import assert_on_device, on_device
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage.feature import hog
from sklearn.base import clone

from svmcifar.compute.arrays import to_host
from svmcifar.errors import InputError
from svmcifar.features.extract import hog as hog_module
from svmcifar.features.extract.hog import HOG
from svmcifar.features.extract.hog_gradients import (
    _EDGE_MARGIN,
    MOST_ORIENTATIONS,
    strongest_gradient,
    votes,
)

BLOCK_NORMS = ["L1", "L1-sqrt", "L2", "L2-Hys"]


@pytest.fixture(scope="module")
def images(synthetic_data):
    return synthetic_data.read_split("train").images[::10]  # 50, more than one batch


def of_scikit_image(images, colour="strongest", **options):
    """Features by scikit-image, in float64."""
    pictures, channel_axis = to_pictures(images), -1
    if colour == "grey":
        pictures = np.array([Image.fromarray(picture).convert("L") for picture in pictures])
        channel_axis = None
    return np.array([hog(picture, channel_axis=channel_axis, **options) for picture in pictures])


def assert_equals_scikit_image(images, **options):
    transformer = HOG(**options)
    features = transformer.transform(images)
    assert features.dtype == np.float32
    expected = of_scikit_image(images, **transformer.get_params())
    np.testing.assert_allclose(features, expected, rtol=0, atol=1e-5)


def gradients_of(images, transform_sqrt=False):
    """Gradients of each channel, of shape (2, n_images, 3, 32, 32)."""
    planes = images.reshape(-1, 3, 32, 32).astype(np.float64)
    planes = np.sqrt(planes) if transform_sqrt else planes
    down, right = np.zeros((2, *planes.shape))
    down[:, :, 1:-1] = planes[:, :, 2:] - planes[:, :, :-2]
    right[:, :, :, 1:-1] = planes[:, :, :, 2:] - planes[:, :, :, :-2]
    return np.stack([down, right])


def without_rounded_ties(images, orientations=9, transform_sqrt=False):
    """Leave out the images in which scikit-image's rounding decides what is a tie.

    Between channels, where the magnitudes of gradients with equal squares differ in the last bit;
    and of square roots those that are on the edge of a bin, but for that bit.
    """
    gradients = gradients_of(images, transform_sqrt)
    strongest = np.hypot(*gradients).argmax(axis=1)
    tied = strongest != (gradients**2).sum(axis=0).argmax(axis=1)
    if transform_sqrt:
        down, right = np.take_along_axis(gradients, strongest[None, :, None], axis=2)[:, :, 0]
        turn = np.arctan2(down, right) / np.pi * orientations
        exact = (down == 0) | (right == 0) | (np.abs(down) == np.abs(right))
        tied |= (np.abs(turn - np.round(turn)) < 1e-9) & ~exact
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
    """Histograms of the four cells in the middle of an image, which sum to 1."""
    transformer = HOG(
        orientations=orientations, pixels_per_cell=(8, 8), cells_per_block=(1, 1), block_norm="L1"
    )
    return transformer.transform(image).reshape(4, 4, orientations)[1:3, 1:3]


@st.composite
def drawn_images(draw):
    """Three images with fine or coarse patterns of few or many values, bright or dark."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    scale, n_values = draw(st.sampled_from([1, 2, 5, 16])), draw(st.sampled_from([2, 4, 32, 256]))
    step = draw(st.integers(1, 255 // (n_values - 1)))
    coarse = rng.integers(0, n_values, (3, 3, 32, 32)) * step
    pixels = coarse.repeat(scale, axis=2).repeat(scale, axis=3)[:, :, :32, :32]
    return pixels.reshape(3, 3072).astype(np.uint8)


@st.composite
def drawn_options(draw):
    pixels = draw(st.tuples(st.integers(2, 16), st.integers(2, 16)))
    cells = [draw(st.integers(1, min(3, 32 // n))) for n in pixels]
    return {
        "orientations": draw(st.sampled_from([1, 2, 3, 4, 6, 8, 9, 12, 16, 18, 36])),
        "pixels_per_cell": pixels,
        "cells_per_block": cells,
        "block_norm": draw(st.sampled_from(BLOCK_NORMS)),
    }


@settings(max_examples=60, deadline=None)
@given(drawn_images(), drawn_options())
def test_equals_scikit_image(images, options):
    images = without_rounded_ties(images)
    assume(len(images))
    assert_equals_scikit_image(images, **options)


@settings(max_examples=20, deadline=None)
@given(drawn_images(), drawn_options())
def test_equals_scikit_image_in_grey(images, options):
    assert_equals_scikit_image(images, colour="grey", **options)


@pytest.mark.parametrize("colour", ["strongest", "grey"])
@pytest.mark.parametrize("block_norm", BLOCK_NORMS)
def test_equals_scikit_image_on_synthetic_images(images, block_norm, colour):
    assert_equals_scikit_image(images, block_norm=block_norm, colour=colour)


@pytest.mark.parametrize("pixels_per_cell", [(1, 1), (3, 5), (7, 32), (32, 32)])
def test_cells_of_any_size(images, pixels_per_cell):
    assert_equals_scikit_image(images[:5], pixels_per_cell=pixels_per_cell, cells_per_block=(1, 1))


@pytest.mark.parametrize("orientations", [9, 12])
def test_square_roots(images, orientations):
    rng = np.random.default_rng(0)
    images = np.concatenate([images, rng.integers(0, 256, (20, 3072)).astype(np.uint8)])
    chosen = without_rounded_ties(images, orientations, transform_sqrt=True)
    assert len(chosen) > 0.7 * len(images)
    assert_equals_scikit_image(chosen, orientations=orientations, transform_sqrt=True)


@pytest.mark.parametrize("block_norm", BLOCK_NORMS)
def test_constant_images_have_no_gradients(block_norm):
    images = np.repeat(np.array([[0], [93], [255]], dtype=np.uint8), 3072, axis=1)
    features = HOG(block_norm=block_norm).transform(images)
    np.testing.assert_array_equal(features, np.zeros((3, 1764), np.float32))


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
        *({"block_norm": block_norm} for block_norm in BLOCK_NORMS),
        {"colour": "grey", "transform_sqrt": True, "orientations": 12},
        {"pixels_per_cell": (5, 6), "cells_per_block": (1, 3)},
    ],
)
def test_features_on_a_device_are_those_on_the_host(images, options, monkeypatch):
    monkeypatch.setattr(hog_module, "_DEVICE_BATCH_ROWS", 4)
    transformer = HOG(**options)
    features = transformer.fit(on_device(images[:6])).transform(on_device(images[:6]))
    assert_on_device(features, on_device(np.zeros(1, np.float32)).dtype)
    np.testing.assert_array_equal(to_host(features), transformer.transform(images[:6]))


def test_images_are_left_alone(images):
    before = images.copy()
    HOG().transform(images)
    np.testing.assert_array_equal(images, before)


def test_integers_of_any_kind(images):
    options = {"orientations": 8, "pixels_per_cell": (8, 4), "cells_per_block": (1, 2)}
    of_numpy = HOG(
        orientations=np.int64(8),
        pixels_per_cell=list(np.array([8, 4])),
        cells_per_block=list(np.array([1, 2])),
    )
    for array, read in ((images[:3], np.asarray), (on_device(images[:3]), to_host)):
        features = read(of_numpy.transform(array))
        np.testing.assert_array_equal(features, HOG(**options).transform(images[:3]))


def test_can_be_cloned():
    options = {
        "orientations": 12,
        "pixels_per_cell": (8, 4),
        "cells_per_block": (1, 2),
        "block_norm": "L1",
        "transform_sqrt": True,
        "colour": "grey",
    }
    assert HOG(**options).get_params() == options
    assert clone(HOG(**options)).get_params() == options


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((2, 3072), np.float32),
        np.zeros((2, 3071), np.uint8),
        np.zeros((2, 3, 32, 32), np.uint8),
        np.zeros(3072, np.uint8),
        on_device(np.zeros((2, 3072), np.int16)),
    ],
)
def test_refuses_what_is_no_image_row(images):
    with pytest.raises(InputError, match=r"must be uint8 of shape \(n_images, 3072\). Got .*\.$"):
        HOG().transform(images)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"orientations": 0}, r"'orientations' .* range \[1, 180\]. Got 0"),
        ({"orientations": 181}, "'orientations' .* Got 181"),
        ({"orientations": 9.0}, "'orientations' .* Got 9.0"),
        ({"pixels_per_cell": 8}, "'pixels_per_cell' .* Got 8"),
        ({"pixels_per_cell": (8,)}, r"'pixels_per_cell' .* two integers above 0. Got \(8,\)"),
        ({"pixels_per_cell": (8, 0)}, r"'pixels_per_cell' .* Got \(8, 0\)"),
        ({"cells_per_block": (2.0, 2)}, r"'cells_per_block' .* Got \(2.0, 2\)"),
        ({"cells_per_block": (1, 2, 3)}, r"'cells_per_block' .* Got \(1, 2, 3\)"),
        ({"block_norm": "L3"}, "'block_norm' .* Got 'L3'"),
        ({"transform_sqrt": "yes"}, "'transform_sqrt' .* Got 'yes'"),
        ({"colour": "green"}, "'colour' .* Got 'green'"),
        ({"pixels_per_cell": (8, 33)}, r"fit an image of 32 x 32 pixels. Got .*\(8, 33\)"),
        ({"pixels_per_cell": (11, 8), "cells_per_block": (3, 2)}, "must fit .* smaller"),
    ],
)
def test_refuses_parameters(options, message):
    images = np.zeros((1, 3072), np.uint8)
    for call in (HOG(**options).fit, HOG(**options).transform):
        with pytest.raises(InputError, match=message) as caught:
            call(images)
        assert "\n" not in str(caught.value)
