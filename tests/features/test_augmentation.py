"""Views of images: shifts against np.pad, and which views train and decide."""

from itertools import product

import array_api_strict as xp
import numpy as np
import pytest
from devices import assert_on_device, on_device

from svmcifar.compute.arrays import to_host
from svmcifar.errors import InputError
from svmcifar.features.augmentation import (
    decision_views,
    describe_views,
    draw_offsets,
    shift,
    training_views,
)
from svmcifar.features.settings import AUGMENTATIONS, require_augmentation

N_IMAGES = 23
ALL_OFFSETS = np.array(list(product(range(-3, 4), repeat=2)))


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (N_IMAGES, 3072), dtype=np.uint8)


def mirrored(images):
    return images.reshape(-1, 3, 32, 32)[..., ::-1].reshape(-1, 3072)


def shifted(images, offsets, side=32):
    """Move one image after the other, by padding and cutting."""
    results, end = [], 9 + side
    for image, (row, column) in zip(images.reshape(-1, 3, side, side), offsets, strict=True):
        padded = np.pad(image, ((0, 0), (9, 9), (9, 9)), mode="edge")
        results.append(padded[:, 9 + row : end + row, 9 + column : end + column].ravel())
    return np.array(results)


@pytest.mark.parametrize("offsets", ALL_OFFSETS, ids=lambda o: f"{o[0]},{o[1]}")
def test_every_offset(images, offsets):
    before = images.copy()
    offsets = np.tile(offsets, (N_IMAGES, 1))
    found = shift(images, offsets)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, shifted(images, offsets))
    np.testing.assert_array_equal(images, before)
    assert not np.shares_memory(found, images)


def test_each_image_has_its_own_offset():
    images = np.random.default_rng(1).integers(0, 256, (len(ALL_OFFSETS), 3072), dtype=np.uint8)
    offsets = np.random.default_rng(2).permutation(ALL_OFFSETS)
    np.testing.assert_array_equal(shift(images, offsets), shifted(images, offsets))


@pytest.mark.parametrize("side", [16, 48])
def test_images_of_any_size_are_shifted(side):
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (len(ALL_OFFSETS), 3 * side**2), dtype=np.uint8)
    np.testing.assert_array_equal(shift(images, ALL_OFFSETS), shifted(images, ALL_OFFSETS, side))


def test_content_moves_up_and_left():
    image = np.zeros((3, 32, 32), dtype=np.uint8)
    image[1, 10, 20] = 200
    moved = shift(image.reshape(1, -1), np.array([[3, -2]])).reshape(3, 32, 32)
    assert np.argwhere(moved).tolist() == [[1, 7, 22]]


def test_shift_on_a_device():
    images = np.random.default_rng(1).integers(0, 256, (len(ALL_OFFSETS), 3072), dtype=np.uint8)
    found = shift(on_device(images), ALL_OFFSETS)
    assert_on_device(found, xp.uint8)
    np.testing.assert_array_equal(to_host(found), shifted(images, ALL_OFFSETS))


def test_shift_of_no_image(images):
    assert shift(images[:0], np.empty((0, 2), dtype=np.int64)).shape == (0, 3072)


@pytest.mark.parametrize("seed", [0, 1])
def test_offsets_are_drawn_from_all(seed):
    offsets = draw_offsets(5000, seed)
    assert offsets.shape == (5000, 2)
    found, counts = np.unique(offsets, axis=0, return_counts=True)
    np.testing.assert_array_equal(found, ALL_OFFSETS)
    assert counts.min() > 50  # about 102 of each
    assert counts.max() < 160
    np.testing.assert_array_equal(draw_offsets(5000, seed), offsets)
    assert (draw_offsets(5000, seed + 1) != offsets).any(axis=1).mean() > 0.9


@pytest.mark.parametrize("augment", [None, "flip", "flip-shift"])
@pytest.mark.parametrize("device", [False, True])
def test_training_views(images, augment, device):
    own, other = draw_offsets(N_IMAGES, 0), draw_offsets(N_IMAGES, 1)
    expected = {
        None: [images],
        "flip": [images, mirrored(images)],
        "flip-shift": [
            images, mirrored(images), shifted(images, own), shifted(mirrored(images), other),
        ],
    }[augment]  # fmt: skip
    views = training_views(augment, N_IMAGES)
    inputs = on_device(images) if device else images
    for view, whole in zip(views, expected, strict=True):
        for rows in (slice(0, N_IMAGES), slice(0, 5), slice(5, 22), slice(22, 23)):
            np.testing.assert_array_equal(to_host(view(inputs[rows, :], rows)), whole[rows])
    deciding = decision_views(augment)
    assert len(deciding) == (1 if augment is None else 2)
    for view, whole in zip(deciding, expected[:2], strict=True):
        np.testing.assert_array_equal(to_host(view(inputs, slice(0, N_IMAGES))), whole)


def test_shifted_views_are_always_the_same_and_unlike_each_other(images):
    rows = slice(0, N_IMAGES)
    first, again = (training_views("flip-shift", N_IMAGES) for _ in range(2))
    np.testing.assert_array_equal(first[2](images, rows), again[2](images, rows))
    np.testing.assert_array_equal(first[3](images, rows), again[3](images, rows))
    same = np.tile(images[:1], (N_IMAGES, 1))
    assert len(np.unique(first[2](same, rows), axis=0)) > N_IMAGES / 2
    both = mirrored(first[3](same, rows)), first[2](same, rows)
    assert (both[0] != both[1]).any(axis=1).mean() > 0.8


@pytest.mark.parametrize("augment", [None, "flip", "flip-shift"])
def test_views_where_mirror_images_are_implied(images, augment):
    views, rows = training_views(augment, N_IMAGES, 3, implied=True), slice(5, 22)
    assert len(views) == (2 if augment == "flip-shift" else 1)
    assert len(decision_views(augment, implied=True)) == 1
    for view in (views[0], *decision_views(augment, implied=True)):
        np.testing.assert_array_equal(view(images[rows], rows), images[rows])
    if augment == "flip-shift":
        expected = shifted(images, draw_offsets(N_IMAGES, 3))[rows]
        np.testing.assert_array_equal(views[1](images[rows], rows), expected)


def test_descriptions():
    assert describe_views(None) == describe_views(None, implied=True) == ""
    implied = [describe_views(augment, implied=True) for augment in AUGMENTATIONS]
    assert implied == [
        "images, which imply their mirror images",
        "images and shifted images, which imply their mirror images",
    ]
    assert describe_views("flip") == "images and mirror images"
    assert describe_views("flip-shift") == "images and mirror images, and both shifted"


def test_known_augmentations():
    assert AUGMENTATIONS == ("flip", "flip-shift")
    for augment in (None, *AUGMENTATIONS):
        require_augmentation(augment)


@pytest.mark.parametrize("augment", ["rotate", "", True, "shift", "Flip"])
def test_other_augmentations_are_refused(augment):
    expected = rf"^Images can be augmented by 'flip' or 'flip-shift'\. Got {augment!r} instead\.$"
    with pytest.raises(InputError, match=expected):
        require_augmentation(augment)


def test_every_seed_shifts_in_its_own_way(images):
    same, rows = np.tile(images[:1], (N_IMAGES, 1)), slice(0, N_IMAGES)
    shifted_views = [
        view(same, rows)
        for seed in range(3)
        for view in training_views("flip-shift", N_IMAGES, seed)[2::2]
    ]
    assert len({view.tobytes() for view in shifted_views}) == 3
    np.testing.assert_array_equal(
        training_views("flip-shift", N_IMAGES, 2)[3](images, rows),
        shifted(mirrored(images), draw_offsets(N_IMAGES, 5)),
    )
