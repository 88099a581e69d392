"""Random changes to images, against plain NumPy, colorsys and Pillow."""

import colorsys
import itertools

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance

from svmcifar.cnn import augment
from svmcifar.cnn.augment import augment_batch, jitter_colours, move_pixels, turn_hue


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def random_images(n, seed=0):
    """Images whose pixels all differ, from 0 to 1."""
    pixels = np.random.default_rng(seed).permutation(n * 3 * 32 * 32) / (n * 3 * 32 * 32)
    return torch.from_numpy(pixels.astype(np.float32).reshape(n, 3, 32, 32))


def move_by(monkeypatch, images, *, degrees=0.0, mirror=0, shift=(0, 0)):
    """Move images by chosen amounts; `shift` is across and down, in pixels."""
    n = len(images)
    symmetric = torch.full((n,), degrees / augment.ROTATION_DEGREES)
    draws = iter([torch.full((n,), float(mirror)), torch.tensor([*shift] * n) + 4.0])
    monkeypatch.setattr(augment, "_symmetric", lambda n, generator: symmetric)
    monkeypatch.setattr(augment, "_integers", lambda high, n, generator: next(draws))
    return move_pixels(images, generator()).numpy()


def test_nothing_moves_without_cause(monkeypatch):
    images = random_images(2)
    np.testing.assert_array_equal(move_by(monkeypatch, images), images)


@pytest.mark.parametrize("mirror", [0, 1])
def test_shift_is_a_crop_of_the_reflected_image_and_comes_before_the_mirror(monkeypatch, mirror):
    images = random_images(1)
    padded = np.pad(images[0], ((0, 0), (4, 4), (4, 4)), mode="symmetric")
    for across, down in itertools.product((-4, -1, 0, 3, 4), repeat=2):
        cropped = padded[:, 4 + down : 36 + down, 4 + across : 36 + across]
        expected = cropped[:, :, ::-1] if mirror else cropped
        moved = move_by(monkeypatch, images, mirror=mirror, shift=(across, down))
        np.testing.assert_array_equal(moved[0], expected)


@pytest.mark.parametrize("degrees", [-10.0, -3.3, 7.1, 10.0])
@pytest.mark.parametrize(("mirror", "shift"), [(0, (0, 0)), (0, (3, -2)), (1, (-4, 1))])
def test_rotation_is_about_the_centre_and_comes_last(monkeypatch, degrees, mirror, shift):
    images = random_images(1)
    padded = np.pad(images[0], ((0, 0), (16, 16), (16, 16)), mode="symmetric")
    down, across = np.mgrid[:32, :32] - 15.5
    angle = np.deg2rad(degrees)
    x = across * np.cos(angle) - down * np.sin(angle)
    y = across * np.sin(angle) + down * np.cos(angle)
    x = (-x if mirror else x) + 15.5 + shift[0]
    y = y + 15.5 + shift[1]
    expected = padded[:, np.rint(y).astype(int) + 16, np.rint(x).astype(int) + 16]
    moved = move_by(monkeypatch, images, degrees=degrees, mirror=mirror, shift=shift)
    # Half way between two pixels, either is right.
    clear = (np.abs(x % 1 - 0.5) > 1e-3) & (np.abs(y % 1 - 0.5) > 1e-3)
    assert clear.mean() > 0.97
    np.testing.assert_array_equal(moved[0][:, clear], expected[:, clear])


def test_amounts_are_drawn_evenly_for_each_image(monkeypatch):
    seen = []
    affine_grid = augment.affine_grid
    monkeypatch.setattr(
        augment,
        "affine_grid",
        lambda theta, *a, **k: seen.append(theta) or affine_grid(theta, *a, **k),
    )
    n = 3000
    move_pixels(torch.zeros(n, 3, 32, 32), generator())
    theta = seen[0].numpy()
    degrees = np.rad2deg(np.arctan2(theta[:, 1, 0], theta[:, 1, 1]))
    assert np.abs(degrees).max() <= 10 + 1e-4
    np.testing.assert_allclose(
        np.quantile(degrees, [0, 0.25, 0.5, 0.75, 1]), [-10, -5, 0, 5, 10], atol=0.5
    )
    mirrored = theta[:, 0, 0] < 0
    assert 0.47 < mirrored.mean() < 0.53
    shifts = theta[:, :, 2] * 16
    np.testing.assert_array_equal(shifts, np.rint(shifts))
    for axis in (0, 1):
        values, counts = np.unique(shifts[:, axis], return_counts=True)
        assert values.tolist() == [*range(-4, 5)]
        assert counts.min() > 0.8 * n / 9
    for one, other in itertools.combinations((degrees, mirrored, *shifts.T), 2):
        assert abs(np.corrcoef(one, other)[0, 1]) < 0.06


def corner_colours():
    """Random colours, and those where two or three channels are the same."""
    ties = list(itertools.product((0.0, 0.3, 1.0), repeat=3))
    return np.concatenate([np.random.default_rng(0).random((73, 3)), ties]).astype(np.float32)


@pytest.mark.parametrize("turn", [0.0, 0.1, -0.1, 0.037, 1 / 3, -0.5])
def test_hue_turns_as_in_colorsys(turn):
    colours = corner_colours()
    images = torch.from_numpy(colours.T.reshape(1, 3, 10, 10).copy())
    turned = turn_hue(images, torch.full((1, 1, 1, 1), turn)).reshape(3, 100).T
    hsv = [colorsys.rgb_to_hsv(*colour) for colour in colours.tolist()]
    expected = [colorsys.hsv_to_rgb((h + turn) % 1, s, v) for h, s, v in hsv]
    np.testing.assert_allclose(turned, expected, atol=2e-6)


def test_hue_turns_each_image_by_its_own():
    red = torch.tensor([1.0, 0, 0])[None, :, None, None].expand(3, 3, 2, 2)
    turned = turn_hue(red, torch.tensor([0, 1 / 3, 2 / 3])[:, None, None, None])
    np.testing.assert_allclose(turned[:, :, 1, 1], np.eye(3), atol=1e-6)


def jitter_by(monkeypatch, images, **amounts):
    """Change colours by chosen amounts; those not named stay as they are."""
    for name in ("BRIGHTNESS", "CONTRAST", "SATURATION", "HUE"):
        monkeypatch.setattr(augment, name, amounts.get(name, 0.0))
    monkeypatch.setattr(augment, "_symmetric", lambda n, generator: torch.ones(n))
    return jitter_colours(images, generator())


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize(
    ("name", "enhance"),
    [
        ("BRIGHTNESS", ImageEnhance.Brightness),
        ("CONTRAST", ImageEnhance.Contrast),
        ("SATURATION", ImageEnhance.Color),
    ],
)
def test_colours_change_as_in_pillow(monkeypatch, name, enhance, sign):
    pixels = np.random.default_rng(1).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    pixels[:16] //= 3
    images = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
    changed = jitter_by(monkeypatch, images, **{name: 0.2 * sign})[0].permute(1, 2, 0) * 255
    expected = np.asarray(enhance(Image.fromarray(pixels)).enhance(1 + 0.2 * sign), float)
    np.testing.assert_allclose(changed, expected, atol=2)
    assert np.abs(expected - pixels).max() > 15


def test_contrast_keeps_each_images_own_mean_gray(monkeypatch):
    images = torch.stack([torch.full((3, 32, 32), 0.2), torch.full((3, 32, 32), 0.8)])
    changed = jitter_by(monkeypatch, images, CONTRAST=0.2)
    np.testing.assert_allclose(changed, images, atol=1e-6)


def test_hue_is_one_of_the_changes(monkeypatch):
    images = random_images(1)
    changed = jitter_by(monkeypatch, images, HUE=0.1)
    np.testing.assert_array_equal(changed, turn_hue(images, torch.full((1, 1, 1, 1), 0.1)))


def test_amounts_of_colour_change_are_those_of_the_recipe():
    assert (augment.BRIGHTNESS, augment.CONTRAST, augment.SATURATION) == (0.2, 0.2, 0.2)
    assert augment.HUE == 0.1
    draws = augment._symmetric(4000, generator()).numpy()
    np.testing.assert_allclose(
        np.quantile(draws, [0, 0.25, 0.5, 0.75, 1]), [-1, -0.5, 0, 0.5, 1], atol=0.04
    )


def test_order_of_the_changes_is_drawn(monkeypatch):
    results = set()
    monkeypatch.setattr(augment, "_symmetric", lambda n, generator: torch.ones(n))
    for seed in range(40):
        results.add(jitter_colours(random_images(1), generator(seed)).numpy().tobytes())
    assert len(results) > 8  # of 24 orders


def test_batch_is_in_range_and_depends_on_the_seed_alone():
    images = torch.from_numpy(np.random.default_rng(2).integers(0, 256, (64, 3, 32, 32), np.uint8))
    before = images.clone()
    first = augment_batch(images, generator())
    torch.rand(5)
    np.testing.assert_array_equal(first, augment_batch(images, generator()))
    assert not torch.equal(first, augment_batch(images, generator(1)))
    assert torch.equal(images, before)
    assert first.dtype == torch.float32
    assert first.shape == images.shape
    assert float(first.min()) >= -1e-6
    assert float(first.max()) <= 1 + 1e-6
    assert abs(float(first.mean()) - float(images.float().mean()) / 255) < 0.02


def test_white_is_one(monkeypatch):
    for name in ("BRIGHTNESS", "CONTRAST", "SATURATION", "HUE"):
        monkeypatch.setattr(augment, name, 0.0)
    white = torch.full((2, 3, 32, 32), 255, dtype=torch.uint8)
    np.testing.assert_allclose(augment_batch(white, generator()), 1, atol=1e-6)


def test_black_white_and_gray_stay_gray():
    levels = torch.tensor([0, 255, 128], dtype=torch.uint8)[:, None, None, None]
    changed = augment_batch(levels.expand(3, 3, 32, 32), generator())
    assert torch.isfinite(changed).all()
    np.testing.assert_allclose(changed, changed[:, :1].expand_as(changed), atol=1e-6)
    assert float(changed[0].max()) == 0
