"""Image files as rows of a data set's form."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from svmcifar.compute.image_shape import ImageShape
from svmcifar.errors import DataError


def read_image(path: str | Path, shape: ImageShape) -> NDArray[np.uint8]:
    """Read an image file as one row of a data set's images.

    The picture is turned upright by its EXIF tag, converted to RGB (transparent parts over
    white), cropped around its centre and resized to `shape`, of three channels.  Return the red,
    green and blue planes, shape (n_values,), uint8.  Raise DataError if Pillow cannot read it.
    """
    try:
        with Image.open(path) as file:
            upright = _to_rgba(ImageOps.exif_transpose(file), path)
    except UnidentifiedImageError as error:
        raise DataError(f"{path}: must be an image file, and this is none; name another") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: the image must be readable, got '{reason}'") from error
    white = Image.new("RGBA", upright.size, "white")
    picture = Image.alpha_composite(white, upright).convert("RGB")
    picture = ImageOps.fit(picture, (shape.width, shape.height), Image.Resampling.LANCZOS)
    return np.asarray(picture).transpose(2, 0, 1).reshape(-1)


def _to_rgba(picture: Image.Image, path: str | Path) -> Image.Image:
    """Convert to 8 bits a channel; Pillow clips what has more."""
    if picture.mode.startswith("I;16"):
        picture = Image.fromarray((np.asarray(picture) // 257).astype(np.uint8))
    elif picture.mode in ("I", "F"):
        raise DataError(
            f"{path}: an image must have 8 or 16 bits a channel, got 32-bit values, whose range "
            "is not known; convert it first"
        )
    return picture.convert("RGBA")
