"""Views of an image: what stands for it in training, and what decides its class."""

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
    """Move images by whole pixels; pixels at the edge are repeated where nothing is left.

    Parameters
    ----------
    images : array of shape (n_images, n_pixels), uint8
        Rows of three square planes, on the host or on a device.
    offsets : ndarray of shape (n_images, 2), int
        Rows and columns that each image's content moves up and left by.

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
    """Draw how far each of the training images is shifted.

    Parameters
    ----------
    n_images : int
    seed : int

    Returns
    -------
    ndarray of shape (n_images, 2), int64
        From -3 to 3 pixels.
    """
    return np.random.default_rng(seed).integers(-_MOST_SHIFT, _MOST_SHIFT + 1, (n_images, 2))


# Of a batch of images, and which rows they are of all.
View = Callable[[Any, slice], Any]


def describe_views(augment: str | None) -> str:
    """Name the views that are trained on, for people.

    Parameters
    ----------
    augment : {"flip", "flip-shift"}, optional

    Returns
    -------
    str
        Empty without augmentation.
    """
    shifted = ", and both shifted" if augment == "flip-shift" else ""
    return "" if augment is None else f"images and mirror images{shifted}"


def decision_views(augment: str | None) -> list[View]:
    """List the views whose decision values are averaged.

    Parameters
    ----------
    augment : {"flip", "flip-shift"}, optional

    Returns
    -------
    list of callable
        The image itself; where anything is augmented, its mirror image too.

    Raises
    ------
    InputError
        If the augmentation is not known.
    """
    require_augmentation(augment)
    return [_itself] if augment is None else [_itself, _mirrored]


def training_views(augment: str | None, n_images: int, seed: int = 0) -> list[View]:
    """List the views that are trained on.

    Parameters
    ----------
    augment : {"flip", "flip-shift"}, optional
    n_images : int
        Training images.
    seed : int, default=0
        Of the offsets.

    Returns
    -------
    list of callable
        Those that decide; with "flip-shift" also both of them shifted, each image by other
        offsets.
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
    """Another view, shifted by offsets of shape (n_images, 2)."""

    view: View
    offsets: NDArray[np.int64]

    def __call__(self, images: Any, rows: slice) -> Any:
        return shift(self.view(images, rows), self.offsets[rows])
