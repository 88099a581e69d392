"""Image files as rows of a data set's form, and where they are."""

import io
import os
import re
import warnings
from collections.abc import Iterable, Iterator
from glob import glob, has_magic
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from svmcifar.compute.image_shape import ImageShape
from svmcifar.compute.memory import format_bytes
from svmcifar.compute.progress import stage
from svmcifar.errors import DataError
from svmcifar.io.reading import open_file

# Formats that Pillow does not read, but a folder's files of which are meant as images.
_FOREIGN_SUFFIXES = {".heic", ".heif", ".svg", ".svgz"}
# Of a picture while it is converted; those of Pillow's most pixels fit if they are RGB.
_MOST_BYTES = 900 * 2**20
_BYTES_OF_ROW = 16  # Pillow's pointers to the rows of two pictures
_OPAQUE = {"1", "L", "RGB", "CMYK", "YCbCr", "LAB", "HSV"}
_STRIP_PIXELS = 2**20
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}


def find_images(places: Iterable[Path]) -> list[Path]:
    """List the image files that are meant by files, folders and patterns, in this order.

    A folder means the image files in it and in folders within, by their suffix and in the order of
    their names, without hidden ones; a name with ``*``, ``?`` or ``[`` that is no file's means what
    it matches (``**`` any folders).  Raise DataError if a folder or a pattern means nothing.
    """
    found: list[Path] = []
    for place in places:
        if place.is_dir():
            inside = list(images_within(place))
        elif has_magic(str(place)) and not os.path.lexists(place):
            matches = map(Path, sorted(glob(str(place), recursive=True)))
            inside = [path for path in matches if not path.is_dir()]
        else:
            inside = [place]
        if not inside:
            raise DataError(f"{place}: it must mean at least one image file, and does none")
        found += inside
    return found


def images_within(folder: Path) -> Iterator[Path]:
    """Yield the image files of a folder and those within, sorted by name, without hidden ones."""
    Image.init()
    suffixes = _FOREIGN_SUFFIXES | {
        suffix
        for suffix, form in Image.registered_extensions().items()
        if form in Image.OPEN and Image.MIME.get(form, "").startswith("image/")
    }
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(parent, name)
            if path.suffix.lower() in suffixes and not name.startswith("."):
                yield path


def read_images(
    paths: Iterable[Path], shape: ImageShape
) -> tuple[list[Path], list[NDArray[np.uint8]], list[DataError]]:
    """Read image files as `read_image`; return what could be read, its rows, and the errors."""
    paths = list(paths)
    readable, rows, errors = [], [], []
    with stage("reading images", len(paths), "images") as reading:
        for path in paths:
            try:
                rows.append(read_image(path, shape))
                readable.append(path)
            except DataError as error:
                errors.append(error)
            reading.advance()
    return readable, rows, errors


def read_image(
    path: str | Path, shape: ImageShape, content: bytes | None = None
) -> NDArray[np.uint8]:
    """Read an image file, or its content that was read before, as one row of a data set's images.

    The picture is turned upright by its EXIF tag, converted to RGB (transparent parts over
    white), cropped around its centre and resized to `shape`, of three channels.  Return the red,
    green and blue planes, shape (n_values,), uint8.  Raise DataError if Pillow cannot read it.
    """
    try:
        with warnings.catch_warnings():
            # Pillow warns of half the size at which it refuses, and of damage that it passes over.
            warnings.simplefilter("ignore")
            opened = open_file(path) if content is None else io.BytesIO(content)
            with opened, Image.open(opened) as file:
                _check_size(file, path)
                ImageOps.exif_transpose(file, in_place=True)
                return fit_image(_to_rgb(file, path), shape)
    except UnidentifiedImageError as error:
        raise DataError(f"{path}: must be an image file{_what_it_is(path, content)}") from error
    except Image.DecompressionBombError as error:
        size = re.search(r"\d+", str(error))
        got = f", got {int(size[0]) / 1e6:.0f}" if size else ""
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0) / 1e6
        raise DataError(
            f"{path}: an image must have at most {most:.0f} megapixels{got}; make it smaller first"
        ) from error
    except (MemoryError, DataError):
        raise
    except Exception as error:  # Pillow raises any for a damaged file
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: the image must be readable, got '{reason}'") from error


def fit_image(picture: Image.Image, shape: ImageShape) -> NDArray[np.uint8]:
    """Crop an RGB picture around its centre and resize it; return its planes as `read_image`."""
    picture = ImageOps.fit(picture, (shape.width, shape.height), Image.Resampling.LANCZOS)
    return np.asarray(picture).transpose(2, 0, 1).reshape(-1)


def _what_it_is(path: str | Path, content: bytes | None) -> str:
    """Say what a file is that Pillow does not read, and what to do: the end of a message."""
    if content is None:
        with open_file(path) as file:
            content = file.read(1024)
    start = content[:1024]
    if start[4:8] == b"ftyp":
        if start[8:12] in _HEIC_BRANDS:
            return " of a format that Pillow reads, got HEIC; convert it to JPEG or PNG first"
        return ", and this is a film or another file of ISO media; name a picture"
    if b"<svg" in start or (start[:2] == b"\x1f\x8b" and Path(path).suffix == ".svgz"):
        return " with pixels, got SVG, a drawing; convert it to PNG first"
    return ", and this is none; name another"


def _check_size(picture: Image.Image, path: str | Path) -> None:
    """Raise DataError if a picture and what it is converted to are too large to unpack."""
    of_pixel = 4 + (0 if picture.mode == "RGB" else 4 if len(picture.getbands()) > 1 else 1)
    n_bytes = picture.width * picture.height * of_pixel + max(picture.size) * _BYTES_OF_ROW
    if n_bytes > _MOST_BYTES:
        raise DataError(
            f"{path}: an image must unpack to at most {format_bytes(_MOST_BYTES)}, got "
            f"{picture.width} x {picture.height} pixels ({picture.mode}), which take "
            f"{format_bytes(n_bytes)}; make it smaller first"
        )


def _to_rgb(picture: Image.Image, path: str | Path) -> Image.Image:
    """Convert to red, green and blue of 8 bits, over white; Pillow clips what has more bits."""
    if picture.mode.startswith("I;16"):
        picture = Image.fromarray((np.asarray(picture) // 257).astype(np.uint8))
    elif picture.mode in ("I", "F"):
        raise DataError(
            f"{path}: an image must have 8 or 16 bits a channel, got 32-bit values, whose range "
            "is not known; convert it first"
        )
    if picture.mode in _OPAQUE and "transparency" not in picture.info:
        return picture if picture.mode == "RGB" else picture.convert("RGB")
    opaque = Image.new("RGB", picture.size)
    n_rows = max(_STRIP_PIXELS // picture.width, 1)
    for top in range(0, picture.height, n_rows):  # all at once would take three copies more
        box = 0, top, picture.width, min(top + n_rows, picture.height)
        strip = picture.crop(box).convert("RGBA")
        white = Image.new("RGBA", strip.size, "white")
        opaque.paste(Image.alpha_composite(white, strip).convert("RGB"), box)
    return opaque
