"""What data sets of the user's own pictures have in common: any size, any classes."""

import hashlib
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import joblib
import numpy as np
from numpy.typing import NDArray

from svmcifar.compute.image_shape import ImageShape
from svmcifar.compute.progress import stage
from svmcifar.data.dataset import (
    CLASSES,
    SUPERCLASSES,
    Dataset,
    DatasetDescription,
    ReadingOptions,
    Split,
)
from svmcifar.data.image_files import read_image
from svmcifar.data.sampling import hold_out
from svmcifar.errors import DataError, LabelError

DEFAULT_SIZE = 32
"""Height and width, in pixels, that pictures are resized to."""

TEST_SHARE = 0.2
"""Share of the pictures of each class that is held out where there are no test pictures."""

ALL = "all"  # the part of a place that does not tell training from test pictures
_TASK_PICTURES = 16


@dataclass(frozen=True)
class Pictures:
    """Pictures of a part of a data set, as they are stored."""

    labels: NDArray[np.int64]  # class ids, (n_images,)
    filenames: Sequence[str]
    content: Callable[[int], bytes]  # of the picture with this number; may raise OSError

    def take(self, rows: NDArray[np.intp]) -> "Pictures":
        """Return the pictures in some rows."""
        names = [self.filenames[i] for i in rows]
        return Pictures(self.labels[rows], names, lambda i: self.content(int(rows[i])))


@dataclass(frozen=True)
class Superclasses:
    """The superclass of each class."""

    names: tuple[str, ...]
    ids: NDArray[np.int64]  # (n_classes,)


class LabelledPictures(Dataset):
    """An opened data set of pictures that are resized to one size when they are read.

    Its identity are the content and the labels of the pictures as they are stored: not their
    names, and not the size that they are resized to.
    """

    def __init__(self, location: Path, reading: ReadingOptions) -> None:
        self.location = location
        self._reading = reading
        self._splits: dict[str, Split] = {}
        self._digests: dict[str, str] = {}

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """Names of the classes."""

    @property
    @abstractmethod
    def stored_parts(self) -> Mapping[str, Pictures]:
        """The training and test pictures, "train" and "test", or "all" where they are not told."""

    @property
    def superclasses(self) -> Superclasses | None:
        """The superclasses, if there are any."""
        return None

    @property
    def own_size(self) -> int:
        """Height and width that pictures are resized to, unless another is asked for."""
        return DEFAULT_SIZE

    def to_row(self, content: bytes, name: str) -> NDArray[np.uint8]:
        """Resize the content of a picture to a row of the data set; raise DataError."""
        return read_image(name, self.image_shape, content)

    @cached_property
    def description(self) -> DatasetDescription:
        """Name, image shape and numbers of classes."""
        side = self._reading.image_size or self.own_size
        n_classes = {CLASSES: len(self.names)}
        if self.superclasses is not None:
            n_classes = {SUPERCLASSES: len(self.superclasses.names), **n_classes}
        return DatasetDescription(self.label, ImageShape(3, side, side), n_classes)

    @property
    def label(self) -> str:
        """Name of the folder or file."""
        return self.location.resolve().name

    def class_names(self, kind: str) -> tuple[str, ...]:
        """Return the names of the classes of one kind in the order of their ids."""
        if kind == CLASSES:
            return self.names
        self.require_kind(kind)
        assert self.superclasses is not None
        return self.superclasses.names

    @property
    def superclass_of(self) -> NDArray[np.int64]:
        """The superclass of each class, shape (n_classes,), int64; itself if there are none."""
        above = self.superclasses
        return np.arange(len(self.names)) if above is None else above.ids

    @cached_property
    def parts(self) -> Mapping[str, Pictures]:
        """Training and test pictures, with classes that make sense; raise DataError if not."""
        stored = dict(self.stored_parts)
        if ALL in stored:
            everything = stored.pop(ALL)
            held_out = hold_out(everything.labels, TEST_SHARE, self.split_seed or 0)
            stored["train"] = everything.take(np.flatnonzero(~held_out))
            stored["test"] = everything.take(np.flatnonzero(held_out))
        elif self._reading.split_seed is not None:
            raise DataError(
                f"{self.location}: it has test pictures of its own; leave out --split-seed"
            )
        n_classes = len(self.names)
        if n_classes < 2:
            got = f"one alone, {self.names[0]!r}" if self.names else "none"
            raise DataError(f"{self.location}: there must be two or more classes, got {got}")
        counts = np.bincount(stored["train"].labels, minlength=n_classes)
        if missing := np.flatnonzero(counts == 0).tolist():
            raise DataError(
                f"{self.location}: every class must have training pictures, got none of "
                f"{self.names[missing[0]]!r}; add some, or remove the class from the test pictures"
            )
        if not len(stored["test"].labels):
            raise DataError(
                f"{self.location}: there must be test pictures, got none; add some, or two "
                "pictures of a class to hold one out"
            )
        return stored

    @property
    def split_seed(self) -> int | None:
        """Seed of the test images where they are a part held out; None where there are some."""
        return (self._reading.split_seed or 0) if ALL in self.stored_parts else None

    @cached_property
    def md5s(self) -> dict[str, str]:
        """The md5s of the content and the labels of training and test pictures."""
        return {name: self._digest(name) for name in ("train", "test")}

    def like(self, record: Mapping[str, Any]) -> Self:
        """Return the data set as a model read it: by `to_record`, where nothing else was asked."""
        asked, (_, side, _) = self._reading, record.get("image_shape") or (3, None, None)
        seed = record.get("split_seed") if ALL in self.stored_parts else None
        reading = replace(
            asked,
            image_size=side if asked.image_size is None else asked.image_size,
            split_seed=seed if asked.split_seed is None else asked.split_seed,
        )
        return self if reading == asked else type(self)(self.location, reading)

    def count_images(self, name: str) -> int:
        """Return the number of images of a split."""
        return len(self.parts[name].labels)

    def read_split(self, name: str) -> Split:
        """Read one split, as `Dataset.read_split`; it is kept for the next time.

        Raise DataError, with a note for each, if pictures cannot be read.
        """
        if name not in ("train", "test"):
            raise ValueError(f"The split must be 'train' or 'test'. Got {name!r} instead.")
        if name not in self._splits:
            part = self.parts[name]
            above = self.superclasses
            upper = {} if above is None else {SUPERCLASSES: above.ids[part.labels]}
            labels = {**upper, CLASSES: part.labels}
            images = self._read_rows(name, part)
            self._splits[name] = Split(name, images, labels, list(part.filenames))
        return self._splits[name]

    def _read_rows(self, name: str, part: Pictures) -> NDArray[np.uint8]:
        """Read and resize all pictures of a part."""
        n = len(part.labels)
        rows = np.empty((n, self.image_shape.n_values), dtype=np.uint8)
        digests: list[bytes] = [b""] * n

        def read(start: int) -> list[DataError]:
            errors = []
            for i in range(start, min(start + _TASK_PICTURES, n)):
                try:
                    content = _content(part, i)
                    digests[i] = _md5(content).digest()
                    rows[i] = self.to_row(content, part.filenames[i])
                except DataError as error:
                    errors.append(error)
                reading.advance()
            return errors

        with (
            stage(f"reading {name} images", n, "images") as reading,
            ThreadPoolExecutor(joblib.cpu_count()) as pool,
        ):
            tasks = pool.map(read, range(0, n, _TASK_PICTURES))
            errors = [error for of_task in tasks for error in of_task]
        if errors:
            raise self._unreadable(errors, n)
        self._digests[name] = self._combine(digests, part)
        rows.flags.writeable = False
        return rows

    def _unreadable(self, errors: Sequence[DataError], n: int) -> DataError:
        """Return the error of pictures that cannot be read, which has theirs as notes."""
        error = DataError(
            f"{self.location}: every picture must be readable, got {len(errors)} of {n} that are "
            "not, see above; repair or remove them"
        )
        for of_one in sorted(map(str, errors)):
            error.add_note(of_one)
        return error

    def _digest(self, name: str) -> str:
        """Return the md5 of a part, from what `read_split` has read if it has."""
        if name not in self._digests:
            part = self.parts[name]
            with stage(f"reading {name} images", len(part.labels), "images") as reading:
                digests = []
                for i in range(len(part.labels)):
                    digests.append(_md5(_content(part, i)).digest())
                    reading.advance()
            self._digests[name] = self._combine(digests, part)
        return self._digests[name]

    def _combine(self, digests: Sequence[bytes], part: Pictures) -> str:
        md5 = _md5("\n".join(self.names).encode())
        md5.update(part.labels.astype("<i8").tobytes())
        md5.update(b"".join(digests))
        return md5.hexdigest()


def check_ids(values: Any, subject: str, n_classes: int | None) -> NDArray[np.int64]:
    """Return class ids as an array (n_images,), int64.

    Raise DataError, for `subject`, unless they are integers from 0 to `n_classes` - 1, or of any
    number of classes.
    """
    ids = np.asarray(values)
    if ids.ndim == 2 and ids.shape[1] == 1:
        ids = ids[:, 0]
    if ids.ndim != 1 or ids.dtype.kind not in "iu":
        raise DataError(
            f"{subject}: must be one integer an image, got {ids.dtype} of shape {ids.shape}; "
            "number the classes from 0"
        )
    most = None if n_classes is None else n_classes - 1
    if len(ids) and (ids.min() < 0 or (most is not None and ids.max() > most)):
        odd = ids.min() if ids.min() < 0 else ids.max()
        rule = "numbers from 0" if most is None else f"numbers from 0 to {most}"
        raise DataError(f"{subject}: must be {rule}, got {odd}; number the classes from 0")
    return ids.astype(np.int64)


def numbers_as_names(parts: Iterable[NDArray[np.int64]], subject: str) -> tuple[str, ...]:
    """Return the numbers of the classes as their names, from the class ids of all parts.

    Raise DataError, for `subject`, if there are more classes than pictures: one label could name
    billions of them.
    """
    ids = np.concatenate(list(parts))
    n_classes = int(ids.max(initial=-1)) + 1
    if n_classes > len(ids):
        raise DataError(
            f"{subject}: every class must have pictures, got the class {n_classes - 1} in "
            f"{len(ids)} pictures; number the classes from 0"
        )
    return tuple(map(str, range(n_classes)))


def check_superclasses(found: Superclasses, subject: str, remedy: str) -> Superclasses:
    """Return the superclasses; raise LabelError if one is alone."""
    if len(found.names) < 2:
        got = f"{found.names[0]!r} alone" if found.names else "none"
        raise LabelError(
            f"{subject}: there must be two or more superclasses, got {got}; {remedy} to do without"
        )
    return found


def check_texts(values: Sequence[str], subject: str) -> tuple[str, ...]:
    """Return names of classes; raise DataError, for `subject`, unless they are printable."""
    if odd := [value for value in values if not value.isprintable() or not value]:
        raise DataError(f"{subject}: must be printable names, got {odd[0]!r}; rename it")
    if len(set(values)) < len(values):
        double = Counter(values).most_common(1)[0][0]
        raise DataError(f"{subject}: must be different names, got {double!r} twice; rename one")
    return tuple(values)


def _content(part: Pictures, i: int) -> bytes:
    try:
        return part.content(i)
    except OSError as error:
        raise DataError(
            f"{part.filenames[i]}: the image must be readable, got '{error.strerror or error}'"
        ) from error


def _md5(content: bytes) -> Any:
    return hashlib.md5(content, usedforsecurity=False)
