"""Histograms of oriented gradients as features."""

from collections.abc import Callable, Sequence
from numbers import Integral
from typing import Any

from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils._param_validation import Interval

from svmcifar.compute.arrays import get_namespace, is_host
from svmcifar.compute.image_shape import ImageShape
from svmcifar.errors import InputError
from svmcifar.features.extract.hog_gradients import (
    MOST_ORIENTATIONS,
    add_up,
    planes_of,
    strongest_gradient,
    votes,
)
from svmcifar.features.extract.image_rows import batches, real_images, resolve_shape
from svmcifar.features.parameters import validate_parameters

# On the host a batch stays in the processor cache; on a GPU each call should be large.
_HOST_BATCH_ROWS = 32
_DEVICE_BATCH_ROWS = 4096

# Rows and columns of a block, in cells.
_BLOCK_CELLS = 2
_EPS = 1e-5
_HYSTERESIS = 0.2
# Parameters of older releases, fixed now: model files hold them and content hashes cover them.
_FIXED = {
    "cells_per_block": (_BLOCK_CELLS, _BLOCK_CELLS),
    "block_norm": "L2-Hys",
    "transform_sqrt": False,
    "colour": "strongest",
}


# As `votes`: from gradients down and to the right, and orientations, to magnitudes and bins.
Votes = Callable[[Any, Any, int], tuple[Any, Any]]


class HOG(TransformerMixin, BaseEstimator):
    """Histograms of oriented gradients, by Dalal and Triggs.

    The same features as scikit-image's `skimage.feature.hog`, for all images at once and on a
    device too: of each pixel the gradient in the channel where it is strongest; blocks of 2 x 2
    cells, one cell apart, normalised by "L2-Hys" (the norm of their values, which are cut off at
    0.2, and the norm again).  Where channels have gradients of equal magnitude the first of them
    counts, and an orientation on the edge between two bins belongs to the upper one; scikit-image
    leaves some of these cases to rounding: very few pixels of an image.  Stateless.

    Parameters
    ----------
    orientations : int, default=9
        Bins of a histogram over the unsigned orientations 0 to 180 degrees; 1 to 180.
    pixels_per_cell : pair of int, default=(4, 4)
        Rows and columns of a cell.  Pixels that do not fill a last cell are left out.
    image_shape : tuple of int, default=None
        Channels, height and width of the images; None for square ones of three colours.

    References
    ----------
    N. Dalal, B. Triggs, "Histograms of oriented gradients for human detection", CVPR 2005.

    Examples
    --------
    >>> import numpy as np
    >>> images = np.zeros((5, 192), dtype=np.uint8)
    >>> HOG(pixels_per_cell=(2, 2)).transform(images).shape
    (5, 324)
    >>> HOG(pixels_per_cell=(2, 2), image_shape=(1, 8, 6)).transform(np.ones((5, 48))).shape
    (5, 216)
    """

    __module__ = "svmcifar.features"  # as in model files, wherever the code lies

    _parameter_constraints = {  # noqa: RUF012 (scikit-learn's own form)
        "orientations": [Interval(Integral, 1, MOST_ORIENTATIONS, closed="both")],
        "pixels_per_cell": [tuple, list],
        "image_shape": [tuple, list, None],
    }
    # Newer than the oldest model files, which leave it out, as content hashes do.
    image_shape = None

    __sklearn_is_fitted__ = lambda self: True  # noqa: E731 (scikit-learn's protocol)

    def __init__(
        self,
        *,
        orientations: int = 9,
        pixels_per_cell: Sequence[int] = (4, 4),
        image_shape: Sequence[int] | None = None,
    ) -> None:
        self.orientations = orientations
        self.pixels_per_cell = pixels_per_cell
        self.image_shape = image_shape
        self.__dict__.update(_FIXED)

    def fit(self, images: Any, y: Any = None) -> "HOG":
        """Check the parameters and the images, as `transform` does."""
        self.check_parameters()
        self.count_features(real_images(images, "HOG").shape[1])
        return self

    def count_features(self, n_pixels: int) -> int:
        """Return the number of features of an image; raise InputError if blocks exceed it."""
        n_rows, n_columns = self._count_blocks(resolve_shape(self.image_shape, n_pixels, "HOG"))
        # NumPy's integers would make float64 of float32 arrays.
        return n_rows * n_columns * _BLOCK_CELLS**2 * int(self.orientations)

    def transform(self, images: Any) -> Any:
        """Compute the histograms.

        Parameters
        ----------
        images : array-like of shape (n_images, n_pixels), of real numbers
            Rows of one plane a channel, by `image_shape`, on the host or on a device.

        Returns
        -------
        array of shape (n_images, n_features), float32
            On the same device.  An image's features are those of its blocks from left to right and
            top to bottom; a block's those of its cells in the same order.

        Raises
        ------
        InputError
            If the images are not such rows, a parameter is invalid, or blocks exceed images.
        """
        self.check_parameters()
        images = real_images(images, "HOG")
        shape = self.shape_of(images)
        xp, n_images = get_namespace(images), images.shape[0]
        n_features = self.count_features(images.shape[1])
        features = xp.empty((n_images, n_features), dtype=xp.float32, device=images.device)
        for rows in batches(n_images, _HOST_BATCH_ROWS if is_host(images) else _DEVICE_BATCH_ROWS):
            features[rows, :] = self.transform_batch(images[rows, :], shape)
        return features

    def check_parameters(self) -> None:
        """Raise InputError if a parameter is invalid."""
        validate_parameters(self)
        pair = self.pixels_per_cell
        if len(pair) != 2 or not all(isinstance(n, Integral) and int(n) > 0 for n in pair):
            raise InputError(
                f"The 'pixels_per_cell' parameter of HOG must be two integers above 0. "
                f"Got {pair!r} instead."
            )
        for name, value in _FIXED.items():
            if getattr(self, name) != value:
                raise InputError(
                    f"The {name!r} of HOG must be {value!r}, which older releases left open. "
                    f"Got {getattr(self, name)!r} instead. Train again."
                )

    def shape_of(self, images: Any) -> ImageShape:
        """Return the shape of images in rows; raise InputError if it is not `image_shape`."""
        return resolve_shape(self.image_shape, images.shape[1], "HOG")

    def _count_blocks(self, shape: ImageShape) -> tuple[int, int]:
        """Return the rows and columns of blocks; raise InputError if there are none."""
        n_rows, n_columns = (int(n) for n in self.pixels_per_cell)
        cells = shape.height // n_rows, shape.width // n_columns
        n_blocks = cells[0] - _BLOCK_CELLS + 1, cells[1] - _BLOCK_CELLS + 1
        if min(n_blocks) < 1:
            raise InputError(
                f"Blocks of HOG, {_BLOCK_CELLS} x {_BLOCK_CELLS} cells, must fit an image of "
                f"{shape.height} x {shape.width} pixels. Got "
                f"pixels_per_cell={self.pixels_per_cell!r}. Make cells smaller."
            )
        return n_blocks

    def transform_batch(self, images: Any, shape: ImageShape, vote: Votes = votes) -> Any:
        """Compute the histograms of a batch of images, with another function for the votes."""
        xp = get_namespace(images)
        gradients = strongest_gradient(planes_of(images, shape))
        cells = _histograms(*gradients, int(self.orientations), self.pixels_per_cell, vote)
        blocks = _normalise(_blocks_of(cells))
        cut_off = xp.asarray(_HYSTERESIS, dtype=blocks.dtype, device=blocks.device)
        blocks = _normalise(xp.minimum(blocks, cut_off))
        return xp.permute_dims(xp.reshape(blocks, (-1, images.shape[0])), (1, 0))


def _histograms(
    down: Any, right: Any, orientations: int, pixels_per_cell: Sequence[int], vote: Votes = votes
) -> Any:
    """Sum the gradients' magnitudes of each cell by orientation, divided by its number of pixels.

    The result has shape (n_cell_rows, n_cell_columns, orientations, n_images), float32.
    """
    xp = get_namespace(down, right)
    magnitude, bins = vote(down, right, orientations)
    n_rows, n_columns = (int(n) for n in pixels_per_cell)
    histograms = [
        _cell_means(magnitude * xp.astype(bins == k, xp.float32), n_rows, n_columns)
        for k in range(orientations)
    ]
    return xp.stack(histograms, axis=2)


def _cell_means(values: Any, n_rows: int, n_columns: int) -> Any:
    """Average the pixels of each cell; those that do not fill a cell are left out."""
    height, width = values.shape[0] // n_rows * n_rows, values.shape[1] // n_columns * n_columns
    rows = add_up(values[k:height:n_rows, :, :] for k in range(n_rows))
    return add_up(rows[:, k:width:n_columns, :] for k in range(n_columns)) / (n_rows * n_columns)


def _blocks_of(cells: Any) -> Any:
    """Gather the histograms of the cells of each block, along axis 2."""
    n_rows, n_columns = (n - _BLOCK_CELLS + 1 for n in cells.shape[:2])
    blocks = [
        cells[i : i + n_rows, j : j + n_columns, :, :]
        for i in range(_BLOCK_CELLS)
        for j in range(_BLOCK_CELLS)
    ]
    return get_namespace(cells).concat(blocks, axis=2)


def _normalise(blocks: Any) -> Any:
    """Divide each block by the norm of its values."""
    squares = blocks * blocks
    total = add_up(squares[:, :, k : k + 1, :] for k in range(blocks.shape[2]))
    return blocks / get_namespace(blocks).sqrt(total + _EPS**2)
