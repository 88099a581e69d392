"""A folder of labelled pictures: one folder for each class."""

import csv
import os
import unicodedata
import warnings
from collections.abc import Mapping
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from typing import Self

import numpy as np

from svmcifar.data.dataset import ReadingOptions
from svmcifar.data.image_files import images_within
from svmcifar.data.labelled_pictures import (
    ALL,
    LabelledPictures,
    Pictures,
    Superclasses,
    check_superclasses,
)
from svmcifar.errors import DataError, LabelError
from svmcifar.io.csv_files import open_csv
from svmcifar.io.reading import read_file

SUPERCLASS_FILE = "superclasses.csv"
"""Beside the folders, it has a row a class, with the columns `COLUMNS`."""

COLUMNS = ("class", "superclass")

_TRAIN, _TEST = "train", "test"

# Image files by class name.
_Files = dict[str, list[Path]]


class ImageFolder(LabelledPictures):
    """Pictures in ``train/CLASS/`` and ``test/CLASS/``, or in ``CLASS/`` to hold out a part of.

    Class ids are in the order of the names, and pictures in an order that is shuffled once for
    all.  Folders within a class folder belong to it; hidden files and folders, and files that are
    no images by their suffix, are left out.
    """

    @classmethod
    def find(cls, place: Path, reading: ReadingOptions) -> Self | None:
        """Open a folder that has image files in folders within; None for any other."""
        path = Path(os.path.expanduser(place))
        if not path.is_dir() or not any(map(_has_images, _inside(path))):
            return None
        return cls(path, reading)

    @classmethod
    def form(cls) -> str:
        """Describe what `find` takes, to end a sentence with "must be"."""
        return "a folder of images in train/CLASS/ and test/CLASS/, or in CLASS/"

    @cached_property
    def _files(self) -> Mapping[str, _Files]:
        """The image files by part and class."""
        train, test = self.location / _TRAIN, self.location / _TEST
        if not train.is_dir() or not any(map(_has_images, _inside(train))):
            return {ALL: _by_class(self.location)}
        if not test.is_dir():
            raise DataError(
                f"{self.location}: a folder with train/ must have test/ too, got none; name the "
                f"folder of test images so, or pass {train} to hold out a fifth of its images"
            )
        parts = {_TRAIN: _by_class(train), _TEST: _by_class(test)}
        if foreign := sorted(parts[_TEST].keys() - parts[_TRAIN].keys()):
            raise DataError(
                f"{test}: classes must be those of train/, got {foreign[0]!r}; rename or remove it"
            )
        return parts

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the classes: of their folders, composed (NFC), sorted."""
        return tuple(sorted(next(iter(self._files.values()))))

    @cached_property
    def stored_parts(self) -> Mapping[str, Pictures]:
        """The training and test pictures, or all."""
        return {part: self._pictures(files) for part, files in self._files.items()}

    def _pictures(self, files: _Files) -> Pictures:
        ids = {name: class_id for class_id, name in enumerate(self.names)}
        labelled = [(path, ids[name]) for name in sorted(files) for path in files[name]]
        order = np.random.default_rng(0).permutation(len(labelled))
        paths = [labelled[i][0] for i in order]
        labels = np.array([labelled[i][1] for i in order], dtype=np.int64)
        return Pictures(labels, list(map(str, paths)), lambda i: read_file(paths[i]))

    @cached_property
    def superclasses(self) -> Superclasses | None:
        """The superclasses in the folder's CSV; raise LabelError if it is not of the classes."""
        path = self.location / SUPERCLASS_FILE
        if not path.exists():
            return None
        superclass_of: dict[str, str] = {}
        for line, row in enumerate(_read_rows(path), start=2):
            name, above = (_composed((row.get(column) or "").strip()) for column in COLUMNS)
            if name not in self.names:
                got = f"{name!r}, which has no folder"
            elif name in superclass_of:
                got = f"{name!r} again"
            elif not above:
                got = f"no superclass of {name!r}"
            else:
                superclass_of[name] = above
                continue
            raise LabelError(
                f"{path}, line {line}: each class must have one row with its superclass, got "
                f"{got}; fix the row"
            )
        if missing := [name for name in self.names if name not in superclass_of]:
            raise LabelError(
                f"{path}: each class must have one row with its superclass, got none of "
                f"{missing[0]!r}; add it"
            )
        names = sorted(set(superclass_of.values()))
        ids = np.array([names.index(superclass_of[name]) for name in self.names])
        return check_superclasses(Superclasses(tuple(names), ids), str(path), "move the file away")


def _by_class(folder: Path) -> _Files:
    """List the image files in the folders within a folder, by class name.

    Raise DataError if one is empty, or its name is no text of one line; warn of images outside.
    """
    files: _Files = {}
    for inside in _inside(folder):
        name = _composed(inside.name)
        if not name.isprintable():
            raise DataError(
                f"{folder}: a class folder must have a printable name, got {name!r}; rename it"
            )
        files[name] = files.get(name, []) + list(images_within(inside))
        if not files[name]:
            raise DataError(
                f"{inside}: a class folder must hold images, got none; fill it or remove it"
            )
    first = takewhile(lambda path: path.parent == folder, images_within(folder))
    if n_outside := sum(1 for _ in first):
        warnings.warn(
            f"{folder}: {n_outside} images lie in no class folder and are left out", stacklevel=2
        )
    return files


def _inside(folder: Path) -> list[Path]:
    """List the folders in a folder but hidden ones, sorted."""
    try:
        inside = sorted(path for path in folder.iterdir() if path.is_dir())
    except OSError as error:
        raise DataError(
            f"{folder}: the folder must be readable, got '{error.strerror}'; allow it"
        ) from error
    return [path for path in inside if not path.name.startswith(".")]


def _has_images(folder: Path) -> bool:
    return next(images_within(folder), None) is not None


def _composed(name: str) -> str:
    """Compose letters and accents, which macOS keeps apart in names of files."""
    return unicodedata.normalize("NFC", name)


def _read_rows(path: Path) -> list[dict[str, str]]:
    try:
        reader = csv.DictReader(open_csv(path))
        rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise LabelError(f"{path}: must be a readable CSV, got '{reason}'; fix it") from error
    if missing := [column for column in COLUMNS if column not in (reader.fieldnames or ())]:
        raise LabelError(
            f"{path}: must have the columns {', '.join(COLUMNS)} in its first line, got no "
            f"{missing[0]!r}; add it"
        )
    return rows
