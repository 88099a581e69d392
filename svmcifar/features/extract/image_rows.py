"""Images as rows of numbers: one plane of pixels a colour, in the order of their rows."""

import math
from collections.abc import Iterator, Sequence
from numbers import Integral
from typing import Any

import numpy as np

from svmcifar.compute.arrays import get_dtype, get_namespace, is_host
from svmcifar.compute.image_shape import ImageShape
from svmcifar.errors import InputError

_COLOURS = 3
# Larger values of pixels have squares whose sums float32 may not hold.
_MOST = 1e15


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


def mirror(images: Any) -> Any:
    """Copy images, of shape (n_images, n_pixels), uint8, with left and right swapped.

    Raise InputError if they are not rows of three square planes.
    """
    images = checked_images(images, "mirroring")
    n_channels, height, width = square_shape(images.shape[1])
    xp = get_namespace(images)
    pixels = xp.reshape(images, (images.shape[0] * n_channels, height, width))
    return xp.reshape(xp.flip(pixels, axis=2), images.shape)


def real_images(images: Any, user: str) -> Any:
    """Return array-like images as an array of uint8, float32 or float64.

    Raise InputError, for `user`, if they are not two-dimensional, real and finite.
    """
    if is_host(images):
        images = np.asarray(images)
    is_real = not is_host(images) or images.dtype.kind in "bufi"
    if not is_real or images.ndim != 2:
        raise InputError(
            f"Images for {user} must be numbers of shape (n_images, n_pixels). Got "
            f"{images.dtype} of shape {images.shape} instead. Make a row of each image, one colour "
            f"after the other: images.reshape(len(images), -1) if they are grey, "
            f"images.transpose(0, 3, 1, 2).reshape(len(images), -1) if colours come last."
        )
    if get_dtype(images) == np.uint8:
        return images
    xp = get_namespace(images)
    if get_dtype(images) not in (np.float32, np.float64):
        images = xp.astype(images, xp.float64)
    if 0 not in images.shape:
        low, high = float(xp.min(images)), float(xp.max(images))  # NaN if there is one
        if not (low >= -_MOST and high <= _MOST):
            raise InputError(
                f"Images for {user} must be finite and at most {_MOST:g} in size. "
                f"Got values from {low:g} to {high:g} instead. Repair or scale them."
            )
    return images


def batches(n: int, size: int) -> Iterator[slice]:
    """Yield slices of `size` rows that cover `n` rows; none for 0 (gen_batches needs a row)."""
    return (slice(start, min(start + size, n)) for start in range(0, n, size))


def resolve_shape(image_shape: Sequence[int] | None, n_values: int, user: str) -> ImageShape:
    """Return the shape of images in rows of `n_values` values; None is for square colour images.

    Raise InputError, for `user`, if it is no shape or another number of values.
    """
    if image_shape is None:
        return square_shape(n_values)
    sides = tuple(image_shape)
    if len(sides) != 3 or not all(isinstance(n, Integral) and int(n) > 0 for n in sides):
        raise InputError(
            f"The 'image_shape' parameter of {user} must be three integers above 0: channels, "
            f"height and width. Got {image_shape!r} instead."
        )
    shape = ImageShape(*map(int, sides))
    if shape.n_values != n_values:
        raise InputError(
            f"Images for {user} must be rows of {' x '.join(map(str, shape))} = {shape.n_values} "
            f"values, by image_shape (channels, height, width). Got {n_values} values instead."
        )
    return shape


def square_shape(n_values: int) -> ImageShape:
    """Return the shape of square colour images of `n_values` values; raise InputError if none."""
    side = math.isqrt(n_values // _COLOURS)
    if side == 0 or n_values != _COLOURS * side * side:
        raise InputError(
            f"Images must be square and have {_COLOURS} colours: {_COLOURS} x side x side values. "
            f"Got {n_values} values instead. Others need an image_shape."
        )
    return ImageShape(_COLOURS, side, side)
