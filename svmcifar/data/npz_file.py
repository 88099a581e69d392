"""Arrays of images with their labels in one ``.npz`` file."""

import os
from collections.abc import Mapping
from functools import cached_property
from math import inf
from pathlib import Path
from tokenize import TokenError
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from svmcifar.compute.memory import available_bytes, format_bytes
from svmcifar.compute.progress import stage
from svmcifar.data.dataset import ReadingOptions
from svmcifar.data.image_files import fit_image
from svmcifar.data.labelled_pictures import (
    ALL,
    LabelledPictures,
    Pictures,
    Superclasses,
    check_ids,
    check_superclasses,
    check_texts,
    numbers_as_names,
)
from svmcifar.errors import DataError
from svmcifar.io.reading import open_file
from svmcifar.io.stored_zip import ZIP_ERRORS

# Names of images and labels by part: as Keras and MedMNIST have them.
_LAYOUTS = (
    {"train": ("x_train", "y_train"), "test": ("x_test", "y_test")},
    {"train": ("train_images", "train_labels"), "test": ("test_images", "test_labels")},
    {ALL: ("x", "y")},
    {ALL: ("images", "labels")},
)
_NAMES, _ABOVE, _ABOVE_NAMES = "class_names", "superclass_of", "superclass_names"
_CHANNELS = (1, 3)
# Of archives, and of arrays in them.
_DAMAGE = (*ZIP_ERRORS, OSError, SyntaxError, TokenError, TypeError, AttributeError)


class NpzFile(LabelledPictures):
    """Images ``x_train`` and ``x_test`` with labels ``y_train`` and ``y_test``, and more.

    Images are uint8: (n_images, height, width), with channels last or first, or rows as `Split` has
    them.  Grey ones become three equal planes.  ``class_names`` are optional, and so are
    ``superclass_of`` (numbers by class) and ``superclass_names``.
    """

    @classmethod
    def find(cls, place: Path, reading: ReadingOptions) -> Self | None:
        """Open an ``.npz`` file; None for anything else."""
        path = Path(os.path.expanduser(place))
        return cls(path, reading) if path.suffix.lower() == ".npz" and path.is_file() else None

    @classmethod
    def form(cls) -> str:
        """Describe what `find` takes, to end a sentence with "must be"."""
        return "an .npz file"

    @cached_property
    def _arrays(self) -> dict[str, Any]:
        """The arrays that are known, by name."""
        known = {name for layout in _LAYOUTS for part in layout.values() for name in part}
        try:
            with (
                stage("reading arrays"),
                open_file(self.location) as opened,
                np.load(opened, allow_pickle=False) as file,
            ):
                wanted = [n for n in file.files if n in known | {_NAMES, _ABOVE, _ABOVE_NAMES}]
                n_bytes = sum(member.file_size for member in file.zip.infolist())
                if n_bytes > (available_bytes() or inf):
                    raise ValueError(f"it unpacks to {format_bytes(n_bytes)}, more than is free")
                arrays = {name: file[name] for name in wanted}
            if strange := [name for name in wanted if not isinstance(arrays[name], np.ndarray)]:
                raise ValueError(f"{strange[0]} is no array")
            return arrays
        except _DAMAGE as error:
            raise DataError(
                f"{self.location}: must be a whole .npz file of numbers and texts, got "
                f"'{' '.join(str(error).split())[:100]}'; write it again with numpy.savez"
            ) from error

    @cached_property
    def _layout(self) -> Mapping[str, tuple[str, str]]:
        """Names of images and labels by part."""
        for layout in _LAYOUTS:
            if all(name in self._arrays for part in layout.values() for name in part):
                return layout
        wanted = [", ".join(name for part in of.values() for name in part) for of in _LAYOUTS]
        raise DataError(
            f"{self.location}: must have the arrays {'; or '.join(wanted)}, got "
            f"{', '.join(self._arrays) or 'none of them'}; rename them"
        )

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the classes; their numbers if there are none."""
        if _NAMES in self._arrays:
            return self._texts(_NAMES)
        labels = {name: self._ids(name, None) for _, name in self._layout.values()}
        return numbers_as_names(labels.values(), self._subject(", ".join(labels)))

    @cached_property
    def superclasses(self) -> Superclasses | None:
        """The superclasses, if the file has them."""
        if _ABOVE not in self._arrays:
            return None
        ids = self._ids(_ABOVE, None)
        if len(ids) != len(self.names):
            raise DataError(
                f"{self._subject(_ABOVE)}: must be one number a class, got {len(ids)} for "
                f"{len(self.names)} classes; write it again"
            )
        if _ABOVE_NAMES in self._arrays:
            names = self._texts(_ABOVE_NAMES)
            self._ids(_ABOVE, len(names))
        else:
            names = numbers_as_names([ids], self._subject(_ABOVE))
        if missing := sorted(set(range(len(names))) - set(ids.tolist())):
            raise DataError(
                f"{self._subject(_ABOVE)}: each superclass must have classes, got none of "
                f"{names[missing[0]]!r}; number them from 0"
            )
        return check_superclasses(
            Superclasses(names, ids), self._subject(_ABOVE), "leave the array out"
        )

    @property
    def own_size(self) -> int:
        """Height and width of the images; raise DataError if they differ."""
        height, width, _ = self._pixels[next(iter(self._layout))].shape[1:]
        if height != width:
            raise DataError(
                f"{self.location}: images must be square, got {height} x {width} pixels; pass "
                "--resize to crop and resize them"
            )
        return int(height)

    @cached_property
    def _pixels(self) -> dict[str, NDArray[np.uint8]]:
        """The images by part, (n_images, height, width, 1 or 3); all alike."""
        pixels = {
            part: _channels_last(self._arrays[name], self._subject(name))
            for part, (name, _) in self._layout.items()
        }
        if len(shapes := {images.shape[1:] for images in pixels.values()}) > 1:
            raise DataError(
                f"{self.location}: all images must have one shape, got "
                f"{' and '.join(map(str, sorted(shapes)))}; resize them"
            )
        return pixels

    @cached_property
    def stored_parts(self) -> Mapping[str, Pictures]:
        """The training and test pictures, or all."""
        return {part: self._pictures(part, name) for part, (_, name) in self._layout.items()}

    def _pictures(self, part: str, name: str) -> Pictures:
        images, ids = self._pixels[part], self._ids(name, len(self.names))
        if len(ids) != len(images):
            raise DataError(
                f"{self._subject(name)}: must be one label an image, got {len(ids)} for "
                f"{len(images)} images; write it again"
            )
        names = [f"{part}_{number:05}" for number in range(len(ids))]
        return Pictures(ids, names, lambda i: images[i].tobytes())

    def to_row(self, content: bytes, name: str) -> NDArray[np.uint8]:
        """Turn the pixels of an image into a row, resized if they have another size."""
        shape = next(iter(self._pixels.values())).shape[1:]
        pixels = np.frombuffer(content, dtype=np.uint8).reshape(shape)
        pixels = np.broadcast_to(pixels, (*shape[:2], 3))
        if shape[:2] == self.image_shape[1:]:
            return pixels.transpose(2, 0, 1).reshape(-1)
        return fit_image(Image.fromarray(np.ascontiguousarray(pixels)), self.image_shape)

    def _ids(self, name: str, n_classes: int | None) -> NDArray[np.int64]:
        return check_ids(self._arrays[name], self._subject(name), n_classes)

    def _texts(self, name: str) -> tuple[str, ...]:
        values = self._arrays[name]
        if values.ndim != 1 or values.dtype.kind != "U" or not len(values):
            raise DataError(
                f"{self._subject(name)}: must be a list of texts, got {values.dtype} of shape "
                f"{values.shape}; write it again"
            )
        return check_texts(values.tolist(), self._subject(name))

    def _subject(self, name: str) -> str:
        return f"{self.location}, {name}"


def _channels_last(images: NDArray[Any], subject: str) -> NDArray[np.uint8]:
    """Return images as (n_images, height, width, 1 or 3); raise DataError for others."""
    if images.dtype != np.uint8:
        raise DataError(
            f"{subject}: images must be bytes (uint8) from 0 to 255, got {images.dtype}; convert "
            "them"
        )
    if images.ndim == 3:
        images = images[..., None]
    elif images.ndim == 2:
        side = int(np.sqrt(images.shape[1] // 3))
        if side and images.shape[1] == 3 * side * side:
            images = images.reshape(-1, 3, side, side)
    if images.ndim == 4 and images.shape[1] in _CHANNELS and images.shape[3] not in _CHANNELS:
        images = images.transpose(0, 2, 3, 1)
    if images.ndim != 4 or images.shape[3] not in _CHANNELS or 0 in images.shape[1:]:
        raise DataError(
            f"{subject}: must be images of shape (n, height, width), with 1 or 3 channels first or "
            f"last, or rows of square colour images, got {images.shape}; reshape them"
        )
    return images
