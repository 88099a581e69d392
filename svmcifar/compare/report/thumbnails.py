"""Small pictures as data URIs, for pages that load nothing."""

import base64
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def png_data_uri(picture: NDArray[np.uint8]) -> str:
    """Return a picture as a PNG inside a data URI.

    Parameters
    ----------
    picture : ndarray of uint8, shape (height, width, 3)
        RGB.  It is embedded pixel by pixel: whoever shows it enlarges it.

    Returns
    -------
    str
        The same bytes for the same picture, with one version of Pillow.

    Raises
    ------
    ValueError
        If the picture is not uint8 RGB.
    """
    picture = np.asarray(picture)
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[-1] != 3:
        raise ValueError(
            f"A picture must be uint8 of shape (height, width, 3). "
            f"Got {picture.dtype} of shape {picture.shape}."
        )
    buffer = BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
