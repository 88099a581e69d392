"""Views of an image: what stands for it in training, and what decides its class."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from svmcifar.compute.arrays import get_namespace, move_beside
from svmcifar.errors import InputError
from svmcifar.features.extract.image_rows import N_CHANNELS, N_VALUES, SIDE_PX
from svmcifar.features.settings import require_augmentation

# Pixels that an image is shifted by at most, in each direction.
_MOST_SHIFT = 3


def mirror(images: Any) -> Any:
    """Swap left and right.

    Parameters
    ----------
    images : array of shape (n_images, 3072)
        Rows of three planes of 32 x 32 pixels, on the host or on a device.

    Returns
    -------
    array of shape (n_images, 3072)
        A copy, where the images are.

    Raises
    ------
    InputError
        If the images are not such rows.
    """
    if images.ndim != 2 or images.shape[1] != N_VALUES:
        raise InputError(
            f"Images to be mirrored must be of shape (n_images, {N_VALUES}). "
            f"Got shape {images.shape} instead."
        )
    xp = get_namespace(images)
    pixels = xp.reshape(images, (images.shape[0] * N_CHANNELS, SIDE_PX, SIDE_PX))
    return xp.reshape(xp.flip(pixels, axis=2), images.shape)


def shift(images: Any, offsets: NDArray[np.integer]) -> Any:
    """Move images by whole pixels; pixels at the edge are repeated where nothing is left.

    Parameters
    ----------
    images : array of shape (n_images, 3072)
        Rows of three planes of 32 x 32 pixels, on the host or on a device.
    offsets : ndarray of shape (n_images, 2), int
        Rows and columns that each image's content moves up and left by.

    Returns
    -------
    array of shape (n_images, 3072)
        A copy, where the images are.
    """
    xp = get_namespace(images)
    place = np.arange(SIDE_PX)
    rows, columns = (
        np.clip(place[None, :] + offsets[:, axis, None], 0, SIDE_PX - 1) for axis in (0, 1)
    )
    source = rows[:, :, None] * SIDE_PX + columns[:, None, :]
    planes = (np.arange(N_CHANNELS) * SIDE_PX**2)[None, :, None]
    source = (planes + source.reshape(len(offsets), 1, SIDE_PX**2)).reshape(images.shape)
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
