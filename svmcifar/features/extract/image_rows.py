"""Images as the data set has them: rows of three planes of 32 x 32 bytes."""

from typing import Any

import numpy as np

from svmcifar.compute.arrays import get_dtype, is_host
from svmcifar.errors import InputError

SIDE_PX = 32
N_CHANNELS = 3
N_VALUES = N_CHANNELS * SIDE_PX * SIDE_PX


def checked_images(images: Any, user: str) -> Any:
    """Check that images are rows of bytes.

    Parameters
    ----------
    images : array-like of shape (n_images, 3072), uint8
        On the host or on a device.
    user : str
        Who asks, for the error.

    Returns
    -------
    array of shape (n_images, 3072), uint8

    Raises
    ------
    InputError
        If they are anything else.
    """
    if is_host(images):
        images = np.asarray(images)
    if get_dtype(images) != np.uint8 or images.ndim != 2 or images.shape[1] != N_VALUES:
        raise InputError(
            f"Images for {user} must be uint8 of shape (n_images, {N_VALUES}). "
            f"Got {get_dtype(images)} of shape {images.shape} instead."
        )
    return images
