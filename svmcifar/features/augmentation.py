"""Augmentation: the views of an image in training, and those of test-time augmentation."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from svmcifar.compute.arrays import get_namespace, move_beside
from svmcifar.features.extract.image_rows import checked_images, square_shape
from svmcifar.features.settings import require_augmentation

# Pixels that an image is shifted by at most, in each direction.
_MOST_SHIFT = 3


def mirror(images: Any) -> Any:
    """Swap left and right.

    Parameters
    ----------
    images : array of shape (n_images, n_pixels), uint8
        Rows of three square planes, on the host or on a device.

    Returns
    -------
    array of shape (n_images, n_pixels), uint8
        A copy, where the images are.

    Raises
    ------
    InputError
        If the images are not such rows.
    """
    images = checked_images(images, "mirroring")
    n_channels, height, width = square_shape(images.shape[1])
    xp = get_namespace(images)
    pixels = xp.reshape(images, (images.shape[0] * n_channels, height, width))
    return xp.reshape(xp.flip(pixels, axis=2), images.shape)


def shift(images: Any, offsets: NDArray[np.integer]) -> Any:
    """Translate images by whole pixels; the pixels at the edge are repeated.

    Parameters
    ----------
    images : array of shape (n_images, n_pixels), uint8
        Rows of three square planes, on the host or on a device.
    offsets : ndarray of shape (n_images, 2), int
        Rows and columns that the content of each image moves up and left by.

    Returns
    -------
    array of shape (n_images, n_pixels), uint8
        A copy, where the images are.
    """
    xp = get_namespace(images)
    n_channels, height, width = square_shape(images.shape[1])
    rows, columns = (
        np.clip(np.arange(side)[None, :] + offsets[:, axis, None], 0, side - 1)
        for axis, side in enumerate((height, width))
    )
    source = rows[:, :, None] * width + columns[:, None, :]
    planes = (np.arange(n_channels) * height * width)[None, :, None]
    source = (planes + source.reshape(len(offsets), 1, height * width)).reshape(images.shape)
    return xp.take_along_axis(images, move_beside(source, images), axis=1)


def draw_offsets(n_images: int, seed: int) -> NDArray[np.int64]:
    """Draw a translation from -3 to 3 pixels for each image, of shape (n_images, 2)."""
    return np.random.default_rng(seed).integers(-_MOST_SHIFT, _MOST_SHIFT + 1, (n_images, 2))


# Maps a batch of images, and the slice of all images that it is, to the view of the batch.
View = Callable[[Any, slice], Any]


def describe_views(augment: str | None) -> str:
    """Describe the views that are trained on; empty without augmentation."""
    shifted = ", and both shifted" if augment == "flip-shift" else ""
    return "" if augment is None else f"images and mirror images{shifted}"


def decision_views(augment: str | None) -> list[View]:
    """Return the views for test-time augmentation, whose decision values are averaged.

    Parameters
    ----------
    augment : {"flip", "flip-shift"}, optional

    Returns
    -------
    list of callable
        The image itself; with any augmentation its mirror image too.

    Raises
    ------
    InputError
        If the augmentation is unknown.
    """
    require_augmentation(augment)
    return [_itself] if augment is None else [_itself, _mirrored]


def training_views(augment: str | None, n_images: int, seed: int = 0) -> list[View]:
    """Return the views for training.

    Parameters
    ----------
    augment : {"flip", "flip-shift"}, optional
    n_images : int
        Training images.
    seed : int, default=0
        Random seed of the shifts.

    Returns
    -------
    list of callable
        Those of `decision_views`; with "flip-shift" also both of them shifted, each image by
        offsets of its own.
    """
    views = decision_views(augment)
    if augment != "flip-shift":
        return views
    return views + [
        _Shifted(view, draw_offsets(n_images, len(views) * seed + k))  # no two alike
        for k, view in enumerate(views)
    ]


def _itself(images: Any, rows: slice) -> Any:
    return images


def _mirrored(images: Any, rows: slice) -> Any:
    return mirror(images)


@dataclass(frozen=True)
class _Shifted:
    """Another view, shifted by offsets of shape (n_images, 2) for all images."""

    view: View
    offsets: NDArray[np.int64]

    def __call__(self, images: Any, rows: slice) -> Any:
        return shift(self.view(images, rows), self.offsets[rows])
