"""Data augmentation: the views of an image in training, and in test-time augmentation."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from svmcifar.compute.arrays import get_namespace, move_beside
from svmcifar.features.extract.image_rows import mirror, square_shape

# Maximum shift in pixels, in each direction.
_MAX_SHIFT = 3


def shift(images: Any, offsets: NDArray[np.integer]) -> Any:
    """Copy images translated by whole pixels; the pixels at the edge are repeated.

    Offsets of shape (n_images, 2) are the rows up and the columns to the left.
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
    return np.random.default_rng(seed).integers(-_MAX_SHIFT, _MAX_SHIFT + 1, (n_images, 2))


# Maps a batch of images, and its slice of all images, to the view of the batch.
View = Callable[[Any, slice], Any]


def describe_views(augment: str | None, *, implied: bool = False) -> str:
    """Describe the samples that are trained on; empty without augmentation.

    If mirror images are `implied` they are no samples of their own.
    """
    if augment is None:
        return ""
    if implied:
        shifted = " and shifted images" if augment == "flip-shift" else ""
        return f"images{shifted}, which imply their mirror images"
    shifted = ", and both shifted" if augment == "flip-shift" else ""
    return f"images and mirror images{shifted}"


def decision_views(augment: str | None, *, implied: bool = False) -> list[View]:
    """Return the views whose decision values are averaged (test-time augmentation).

    They are the image itself and, with any augmentation, its mirror image, unless the features of
    an image are even and odd parts, which imply those of its mirror image (`implied`).
    """
    return [_itself] if augment is None or implied else [_itself, _mirrored]


def training_views(
    augment: str | None, n_images: int, seed: int = 0, *, implied: bool = False
) -> list[View]:
    """Return the views for training: `decision_views`, with "flip-shift" followed by them shifted.

    Each image of each view has its own offsets, drawn from `seed`.
    """
    views = decision_views(augment, implied=implied)
    if augment != "flip-shift":
        return views
    return views + [
        partial(_shifted, view, draw_offsets(n_images, len(views) * seed + k))  # no two alike
        for k, view in enumerate(views)
    ]


def _itself(images: Any, rows: slice) -> Any:
    return images


def _mirrored(images: Any, rows: slice) -> Any:
    return mirror(images)


def _shifted(view: View, offsets: NDArray[np.int64], images: Any, rows: slice) -> Any:
    return shift(view(images, rows), offsets[rows])
