"""Images made worse: what each corruption does to a pixel."""

import numpy as np
import pytest

from svmcifar.compute.image_shape import ImageShape
from svmcifar.data.corruptions import STRENGTHS, corrupt

SHAPE = ImageShape(3, 12, 10)


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return rng.integers(60, 196, (40, SHAPE.n_values), dtype=np.uint8)


def worse(images, name):
    return [x.reshape(-1, *SHAPE) for x in corrupt(images, SHAPE, name)]


@pytest.mark.parametrize("name", STRENGTHS)
def test_five_strengths_each_worse_than_the_last_and_the_same_every_time(images, name):
    first, second = list(corrupt(images, SHAPE, name)), list(corrupt(images, SHAPE, name))
    assert len(first) == 5
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
        assert (a.dtype, a.shape) == (images.dtype, images.shape)
    distances = [np.abs(x.astype(float) - images).mean() for x in first]
    if name != "shift":  # of random pixels, one pixel is as far as five
        assert distances == sorted(distances)
    assert distances[0] > 0.5


def test_noise_has_its_deviation(images):
    for strength, x in zip(STRENGTHS["noise"], worse(images, "noise"), strict=True):
        noise = x.astype(float) - images.reshape(-1, *SHAPE)
        assert noise.std() == pytest.approx(255 * strength, rel=0.03)
        assert abs(noise.mean()) < 0.5


def test_contrast_shrinks_around_the_mean_of_each_colour(images):
    before = images.reshape(-1, *SHAPE).astype(float)
    mean = before.mean(axis=(2, 3), keepdims=True)
    for strength, x in zip(STRENGTHS["contrast"], worse(images, "contrast"), strict=True):
        np.testing.assert_allclose(x, mean + strength * (before - mean), atol=0.51)


def test_blur_spreads_a_point_within_its_colour_and_image():
    point = np.zeros((2, *SHAPE), np.uint8)
    point[0, 1, 6, 5] = 255
    for strength, x in zip(STRENGTHS["blur"], worse(point.reshape(2, -1), "blur"), strict=True):
        assert not x[1].any()
        assert not x[0, [0, 2]].any()
        ratio = x[0, 1, 6, 6] / x[0, 1, 6, 5]
        assert ratio == pytest.approx(np.exp(-0.5 / strength**2), abs=0.02)


def test_shift_moves_each_image_one_way_and_reflects(images):
    before = images.reshape(-1, *SHAPE)
    for by, x in zip(STRENGTHS["shift"], worse(images, "shift"), strict=True):
        found = set()
        for old, new in zip(before, x, strict=True):
            ways = {
                "down": (new[:, by:], old[:, :-by], new[:, :by], old[:, :by][:, ::-1]),
                "up": (new[:, :-by], old[:, by:], new[:, -by:], old[:, -by:][:, ::-1]),
                "right": (new[..., by:], old[..., :-by], new[..., :by], old[..., :by][..., ::-1]),
                "left": (new[..., :-by], old[..., by:], new[..., -by:], old[..., -by:][..., ::-1]),
            }
            (way,) = [
                name
                for name, (a, b, c, d) in ways.items()
                if np.array_equal(a, b) and np.array_equal(c, d)
            ]
            found.add(way)
        assert found == {"down", "up", "right", "left"}
