"""Mirror images."""

from typing import Any

from svmcifar.compute.arrays import get_namespace
from svmcifar.errors import InputError
from svmcifar.features.extract.image_rows import N_CHANNELS, N_VALUES, SIDE_PX


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
