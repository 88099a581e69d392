"""Histograms of oriented gradients as features."""

import math
from collections.abc import Sequence
from numbers import Integral
from typing import Any

from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils._param_validation import Interval, InvalidParameterError, StrOptions

from svmcifar.compute.arrays import get_namespace, is_host
from svmcifar.errors import InputError
from svmcifar.features.extract.hog_gradients import (
    MOST_ORIENTATIONS,
    add_up,
    grey_of,
    planes_of,
    strongest_gradient,
    votes,
)
from svmcifar.features.extract.image_rows import SIDE_PX, checked_images

# On the host what is worked on stays in the cache; on a GPU each call should have much to do.
_HOST_BATCH_ROWS = 32
_DEVICE_BATCH_ROWS = 4096

_EPS = 1e-5
_HYSTERESIS = 0.2


class HOG(TransformerMixin, BaseEstimator):
    """Histograms of oriented gradients, by Dalal and Triggs.

    The same features as scikit-image's `skimage.feature.hog`, for all images at once and on a
    device too.  Where channels have gradients of equal magnitude the first of them counts, and an
    orientation on the edge between two bins belongs to the upper one; scikit-image leaves some of
    these cases to rounding: very few pixels of an image, more with `transform_sqrt`.

    Stateless: `fit` learns nothing.

    Parameters
    ----------
    orientations : int, default=9
        Bins of a histogram over the unsigned orientations 0 to 180 degrees; 1 to 180.
    pixels_per_cell : pair of int, default=(4, 4)
        Rows and columns of a cell.  Pixels that do not fill a last cell are left out.
    cells_per_block : pair of int, default=(2, 2)
        Rows and columns of a block, in cells.  Neighbouring blocks are one cell apart.
    block_norm : {"L1", "L1-sqrt", "L2", "L2-Hys"}, default="L2-Hys"
        How the histograms of a block are normalised: by the sum of their values; that, and the
        square root of the quotient; by the square root of the sum of their squares; that, cut off
        at 0.2, and again.
    transform_sqrt : bool, default=False
        Take the square root of the pixel values first, which makes gradients in the dark count
        for more.
    colour : {"strongest", "grey"}, default="strongest"
        Each pixel's gradient is that of the channel where it is strongest, or that of the grey
        image (as Pillow's mode "L" has it).

    References
    ----------
    N. Dalal, B. Triggs, "Histograms of oriented gradients for human detection", CVPR 2005.

    Examples
    --------
    >>> import numpy as np
    >>> images = np.zeros((5, 3072), dtype=np.uint8)
    >>> HOG(pixels_per_cell=(8, 8)).transform(images).shape
    (5, 324)
    """

    __module__ = "svmcifar.features"  # as in model files, wherever the code lies

    _parameter_constraints = {  # noqa: RUF012 (scikit-learn's own form)
        "orientations": [Interval(Integral, 1, MOST_ORIENTATIONS, closed="both")],
        "pixels_per_cell": [tuple, list],
        "cells_per_block": [tuple, list],
        "block_norm": [StrOptions({"L1", "L1-sqrt", "L2", "L2-Hys"})],
        "transform_sqrt": ["boolean"],
        "colour": [StrOptions({"strongest", "grey"})],
    }

    __sklearn_is_fitted__ = lambda self: True  # noqa: E731 (scikit-learn's protocol)

    def __init__(
        self,
        *,
        orientations: int = 9,
        pixels_per_cell: Sequence[int] = (4, 4),
        cells_per_block: Sequence[int] = (2, 2),
        block_norm: str = "L2-Hys",
        transform_sqrt: bool = False,
        colour: str = "strongest",
    ) -> None:
        self.orientations = orientations
        self.pixels_per_cell = pixels_per_cell
        self.cells_per_block = cells_per_block
        self.block_norm = block_norm
        self.transform_sqrt = transform_sqrt
        self.colour = colour

    def fit(self, images: Any, y: Any = None) -> "HOG":
        """Check the parameters.

        Parameters
        ----------
        images : ignored
        y : ignored

        Returns
        -------
        HOG

        Raises
        ------
        InputError
            If a parameter is not what it may be, or blocks are larger than images.
        """
        self.check_parameters()
        return self

    def transform(self, images: Any) -> Any:
        """Compute the histograms.

        Parameters
        ----------
        images : array-like of shape (n_images, 3072), uint8
            Rows of three planes of 32 x 32 pixels, on the host or on a device.

        Returns
        -------
        array of shape (n_images, n_features), float32
            Where the images are.  An image's features are those of its blocks from left to right
            and top to bottom; a block's those of its cells in the same order.

        Raises
        ------
        InputError
            If the images are not such rows, a parameter is not what it may be, or blocks are
            larger than images.
        """
        self.check_parameters()
        images = checked_images(images, "HOG")
        xp = get_namespace(images)
        n_images, n_features = images.shape[0], math.prod(self._shape_of_blocks())
        features = xp.empty((n_images, n_features), dtype=xp.float32, device=images.device)
        batch_rows = _HOST_BATCH_ROWS if is_host(images) else _DEVICE_BATCH_ROWS
        for start in range(0, n_images, batch_rows):
            rows = slice(start, min(start + batch_rows, n_images))
            features[rows, :] = self._transform_batch(images[rows, :])
        return features

    def check_parameters(self) -> None:
        """Refuse parameters that are not what they may be.

        Raises
        ------
        InputError
        """
        try:
            self._validate_params()
        except InvalidParameterError as error:
            raise InputError(str(error)) from error
        for name in ("pixels_per_cell", "cells_per_block"):
            pair = getattr(self, name)
            if len(pair) != 2 or not all(isinstance(n, Integral) and int(n) > 0 for n in pair):
                raise InputError(
                    f"The {name!r} parameter of HOG must be two integers above 0. "
                    f"Got {pair!r} instead."
                )
        if min(self._shape_of_blocks()[:2]) < 1:
            raise InputError(
                f"Blocks of HOG must fit an image of {SIDE_PX} x {SIDE_PX} pixels. Got "
                f"pixels_per_cell={self.pixels_per_cell!r} times "
                f"cells_per_block={self.cells_per_block!r}. Make either smaller."
            )

    def _shape_of_blocks(self) -> tuple[int, ...]:
        """Rows and columns of blocks, rows and columns of cells of one, and orientations."""
        n_blocks = (
            SIDE_PX // n_pixels - n_cells + 1
            for n_pixels, n_cells in zip(self.pixels_per_cell, self.cells_per_block, strict=True)
        )
        # NumPy's integers would make float64 of float32 arrays.
        return tuple(int(n) for n in (*n_blocks, *self.cells_per_block, self.orientations))

    def _transform_batch(self, images: Any) -> Any:
        """Compute the histograms of a batch of rows that have been checked."""
        xp = get_namespace(images)
        planes = planes_of(images)
        if self.colour == "grey":
            planes = grey_of(planes)
        if self.transform_sqrt:
            planes = xp.sqrt(planes)
        shape = self._shape_of_blocks()
        cells = _histograms(*strongest_gradient(planes), shape[-1], self.pixels_per_cell)
        blocks = _normalise(_blocks_of(cells, shape), self.block_norm)
        return xp.permute_dims(xp.reshape(blocks, (-1, images.shape[0])), (1, 0))


def _histograms(down: Any, right: Any, orientations: int, pixels_per_cell: Sequence[int]) -> Any:
    """Average the magnitudes of each cell by orientation.

    Parameters
    ----------
    down, right : arrays of shape (n_rows, n_columns, n_images), float64
        Gradients, as `strongest_gradient` gives them.
    orientations : int
    pixels_per_cell : pair of int

    Returns
    -------
    array of shape (n_cell_rows, n_cell_columns, orientations, n_images), float32
        Sums over the pixels of an orientation, divided by all pixels of the cell.
    """
    xp = get_namespace(down, right)
    magnitude, bins = votes(down, right, orientations)
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


def _blocks_of(cells: Any, shape: tuple[int, ...]) -> Any:
    """Gather the histograms of the cells of each block.

    Parameters
    ----------
    cells : array of shape (n_cell_rows, n_cell_columns, orientations, n_images), float32
    shape : tuple of int
        Rows and columns of blocks, rows and columns of cells of one, and orientations.

    Returns
    -------
    array of shape (n_block_rows, n_block_columns, n_values, n_images), float32
    """
    n_block_rows, n_block_columns, n_rows, n_columns, _ = shape
    blocks = [
        cells[i : i + n_block_rows, j : j + n_block_columns, :, :]
        for i in range(n_rows)
        for j in range(n_columns)
    ]
    return get_namespace(cells).concat(blocks, axis=2)


def _normalise(blocks: Any, block_norm: str) -> Any:
    """Normalise each block of an array as `_blocks_of` gives it."""
    xp = get_namespace(blocks)
    if block_norm == "L1":
        return blocks / (_total(blocks) + _EPS)
    if block_norm == "L1-sqrt":
        return xp.sqrt(blocks / (_total(blocks) + _EPS))
    blocks = _normalise_l2(blocks)
    if block_norm == "L2-Hys":
        return _normalise_l2(xp.minimum(blocks, _HYSTERESIS))
    return blocks


def _normalise_l2(blocks: Any) -> Any:
    return blocks / get_namespace(blocks).sqrt(_total(blocks * blocks) + _EPS**2)


def _total(blocks: Any) -> Any:
    """Add up the values of each block, keeping the axis."""
    return add_up(blocks[:, :, k : k + 1, :] for k in range(blocks.shape[2]))
