"""Gradients of many images at once.

The image is the last axis, so that every operation is vectorised over images.  Sums are added term
by term, so that the rounding of an image's features does not depend on the rest of its batch.
"""

import math
import operator
from collections.abc import Iterable
from functools import reduce
from typing import Any

from svmcifar.compute.arrays import get_namespace
from svmcifar.compute.image_shape import ImageShape

# Added to every orientation, in bins: more than the rounding error of atan2, so that an orientation
# exactly on an edge falls into the bin above, and less than the distance of any other orientation
# of integer gradients from an edge (3.4e-7 bins for the largest number of orientations).
_EDGE_MARGIN = 1e-9
MOST_ORIENTATIONS = 180


def planes_of(images: Any, shape: ImageShape) -> Any:
    """Turn image rows into float64 planes, of shape (n_channels, height, width, n_images)."""
    xp = get_namespace(images)
    planes = xp.empty((shape.n_values, images.shape[0]), dtype=images.dtype, device=images.device)
    # Assigned while it may be bytes: a transposed view would keep the images first in memory.
    planes[...] = xp.permute_dims(images, (1, 0))
    return xp.astype(xp.reshape(planes, (*shape, images.shape[0])), xp.float64)


def strongest_gradient(planes: Any) -> tuple[Any, Any]:
    """Compute each pixel's gradient, down and to the right, in the plane where it is largest.

    Of planes of shape (n_planes, n_rows, n_columns, n_images), float64.  Gradients are differences
    of the two neighbours; 0 down in the first and last row, 0 right in the first and last column.
    """
    xp = get_namespace(planes)
    strongest = _gradient(planes[0, ...])
    for k in range(1, planes.shape[0]):
        gradient = _gradient(planes[k, ...])
        # By squares, which are exact for integers: roots of equal squares may differ.
        stronger = _sq_norm(*gradient) > _sq_norm(*strongest)
        strongest = tuple(
            xp.where(stronger, one, other) for one, other in zip(gradient, strongest, strict=True)
        )
    return strongest


def _gradient(plane: Any) -> tuple[Any, Any]:
    xp = get_namespace(plane)
    down, right = xp.zeros_like(plane), xp.zeros_like(plane)
    down[1:-1, :, :] = plane[2:, :, :] - plane[:-2, :, :]
    right[:, 1:-1, :] = plane[:, 2:, :] - plane[:, :-2, :]
    return down, right


def _sq_norm(down: Any, right: Any) -> Any:
    return down * down + right * right


def votes(down: Any, right: Any, orientations: int) -> tuple[Any, Any]:
    """Compute the magnitude, float32, of each gradient and its bin in the histogram, uint8."""
    xp = get_namespace(down, right)
    magnitude = xp.astype(xp.sqrt(_sq_norm(down, right)), xp.float32)
    # In bins, from -orientations to +orientations; both ends are the direction to the left.
    turn = xp.atan2(down, right) * (orientations / math.pi) + _EDGE_MARGIN
    turn += orientations * xp.astype(turn < 0, xp.float64)
    turn -= orientations * xp.astype(turn >= orientations, xp.float64)
    return magnitude, xp.astype(turn, xp.uint8)


def add_up(terms: Iterable[Any]) -> Any:
    """Add arrays in order."""
    return reduce(operator.add, terms)
