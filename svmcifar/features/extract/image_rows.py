"""Images as rows of bytes: one plane of pixels a colour, in the order of their rows."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from svmcifar.compute.arrays import get_dtype, is_host
from svmcifar.compute.image_shape import ImageShape
from svmcifar.errors import InputError

_COLOURS = 3


def checked_images(images: Any, user: str) -> Any:
    """Return array-like images as an array; raise InputError, for `user`, if not 2-d uint8."""
    if is_host(images):
        images = np.asarray(images)
    if get_dtype(images) != np.uint8 or images.ndim != 2:
        raise InputError(
            f"Images for {user} must be uint8 of shape (n_images, n_pixels). "
            f"Got {get_dtype(images)} of shape {images.shape} instead."
        )
    return images


def batches(n: int, size: int) -> Iterator[slice]:
    """Yield slices of `size` rows that cover `n` rows; none for 0 (gen_batches needs a row)."""
    return (slice(start, min(start + size, n)) for start in range(0, n, size))


def square_shape(n_values: int) -> ImageShape:
    """Return the shape of square colour images of `n_values` values; raise InputError if none."""
    side = math.isqrt(n_values // _COLOURS)
    if side == 0 or n_values != _COLOURS * side * side:
        raise InputError(
            f"Images must be square and have {_COLOURS} colours: {_COLOURS} x side x side values. "
            f"Got {n_values} values instead."
        )
    return ImageShape(_COLOURS, side, side)
