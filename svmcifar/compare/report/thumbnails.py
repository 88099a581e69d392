"""Small pictures as data URIs, for pages that load nothing."""

import base64
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def png_data_uri(picture: NDArray[np.uint8]) -> str:
    """Return a picture, uint8 RGB of shape (height, width, 3), as a PNG inside a data URI.

    It is embedded pixel by pixel: whoever shows it enlarges it.
    """
    buffer = BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
