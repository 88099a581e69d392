"""What the CIFAR data sets have in common: pickled files, known by their md5s."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from svmcifar.compute.progress import stage
from svmcifar.data.dataset import ArchiveDescription, Dataset, ReadingOptions
from svmcifar.data.locations import (
    SYNTHETIC_SUMS,
    Source,
    bytes_md5,
    source_at,
    usual_places,
)
from svmcifar.data.safe_unpickling import as_text, unpickle_fields
from svmcifar.errors import DataError

_SYNTHETIC_COMMAND = "svmcifar download --synthetic"


class CifarDataset(Dataset):
    """An opened data set of the CIFAR family.

    A file is read when it is first needed, and checked then: its structure always, its md5
    unless `check_md5` is False.
    """

    description: ClassVar[ArchiveDescription]

    def __init__(self, source: Source, *, check_md5: bool = True) -> None:
        self.location = source.path
        self._source = source
        self._check_md5 = check_md5
        self._md5s: dict[str, str] = {}

    @classmethod
    def find(cls, place: Path, reading: ReadingOptions) -> Self | None:
        """Open the data set in a folder or archive; None if there is none of this kind.

        Raise DataError if it is to be resized or split anew.
        """
        about, source = cls.description, source_at(place, cls.description)
        if source is None:
            return None
        side = about.image_shape.height
        if reading.image_size not in (None, side) or reading.split_seed is not None:
            raise DataError(
                f"{source.path}: the images of {about.name} have {side} x {side} pixels and a test "
                "set of their own; leave out --resize and --split-seed"
            )
        return cls(source, check_md5=reading.check_md5)

    @classmethod
    def usual_places(cls) -> list[Path]:
        """Return where this package, torchvision's users and Keras put the data set."""
        return usual_places(cls.description)

    @classmethod
    def form(cls) -> str:
        """Describe what `find` takes, to end a sentence with "must be"."""
        about = cls.description
        return (
            f"a folder that holds {', '.join(about.files)}, or {about.folder_name}/, "
            f"or {about.archive_name} or a zip archive of it, or such an archive"
        )

    @cached_property
    def md5s(self) -> dict[str, str]:
        """The md5 of each file, as it is on disk."""
        return self.file_md5s

    @cached_property
    def file_md5s(self) -> dict[str, str]:
        """The md5 of each file, as it is on disk."""
        names = self.description.files
        return {name: self._md5s.get(name) or self._source.md5(name) for name in names}

    @property
    def is_official(self) -> bool:
        """Whether all files are the official ones."""
        return self.file_md5s == self.description.md5s

    @property
    def is_synthetic(self) -> bool:
        """Whether this is the labelled stand-in, unaltered."""
        return self.file_md5s == self._synthetic_md5s

    @property
    def original(self) -> str | None:
        """The data set that this stands in for, or is an altered copy of; None if neither."""
        return None if self.is_official else self.description.name

    @property
    def label(self) -> str:
        """Name of this data set in reports."""
        if self.is_official:
            return self.description.name
        return "SYNTHETIC stand-in" if self.is_synthetic else f"modified {self.description.name}"

    @cached_property
    def _synthetic_md5s(self) -> dict[str, str] | None:
        """The md5s by file name that a synthetic data set has beside it; None for any other."""
        content = self._source.synthetic_sums()
        if content is None:
            return None
        names = self.description.files
        lines = [line.split() for line in content.decode("latin-1").splitlines() if line.strip()]
        sums = {line[-1].lstrip("*"): line[0] for line in lines}
        if sorted(sums) != sorted(names):
            raise DataError(
                f"{self._subject(SYNTHETIC_SUMS)}: must have a line '<md5>  <name>' for each of "
                f"{', '.join(names)}, got lines for {', '.join(sums) or 'nothing'}; "
                f"make the data set again with `{_SYNTHETIC_COMMAND}`"
            )
        return sums

    def _subject(self, name: str) -> str:
        return str(self.location / name)

    def _read_fields(self, name: str) -> "Fields":
        """Read one file and check its md5."""
        with stage(f"reading {name}"):
            content = self._source.read(name)
            self._md5s[name] = bytes_md5(content)
            if self._check_md5:
                self._check_file(name, content)
            subject, download = self._subject(name), self.description.download_command
            return Fields(unpickle_fields(content, subject, download), subject, download)

    def _read_images(
        self, name: str, label_keys: Mapping[str, str]
    ) -> tuple[NDArray[np.uint8], dict[str, NDArray[np.int64]], list[str]]:
        """Read images, labels by kind and file names from one file; keys of labels by kind."""
        fields = self._read_fields(name)
        images = fields.images("data", self.image_shape.n_values)
        labels = {
            kind: fields.labels(key, len(images), self.description.n_classes[kind])
            for kind, key in label_keys.items()
        }
        if "filenames" in fields:
            filenames = fields.texts("filenames", len(images))
        else:  # in a data set that was written again; they only name images
            filenames = [f"{name}_{number:05}" for number in range(len(images))]
        return images, labels, filenames

    def _check_file(self, name: str, content: bytes) -> None:
        """Raise DataError unless the file just read is the official or the synthetic one."""
        md5, sums = self._md5s[name], self._synthetic_md5s
        official = self.description.files[name]
        if md5 == (sums[name] if sums else official.md5):
            return
        if sums is not None:
            rule = f"altered: the md5 must be {sums[name]} as in {SYNTHETIC_SUMS}, got {md5}"
        elif self._is_truncated(name, content):
            rule = (
                f"truncated: the official file has {official.size_bytes} bytes, got {len(content)}"
            )
        else:
            rule = f"altered: the official md5 is {official.md5}, got {md5}"
        remedy = self.description.download_command if sums is None else _SYNTHETIC_COMMAND
        raise DataError(
            f"{self._subject(name)}: {rule}; get it again with `{remedy}`, "
            "or pass --skip-md5 for a data set altered on purpose"
        )

    def _is_truncated(self, name: str, content: bytes) -> bool:
        """Return whether content is less than a file, and not one that was written again."""
        try:
            unpickle_fields(content, self._subject(name))
        except DataError:
            return len(content) < self.description.files[name].size_bytes
        return False


class Fields:
    """The dictionary in a file; methods check a value and raise DataError if it is invalid."""

    def __init__(self, values: dict[str, Any], subject: str, download: str) -> None:
        self._values = values
        self._subject = subject
        self._download = download  # the command that gets the file again

    def images(self, key: str, n_values: int) -> NDArray[np.uint8]:
        """Return pixels, shape (at least 1, n_values)."""
        images = self._values.get(key)
        if not isinstance(images, np.ndarray):
            raise self._malformed(key, "an array", _extent(images))
        if images.dtype != np.uint8:
            raise self._malformed(key, "an array of uint8", f"one of {images.dtype}")
        if images.ndim != 2 or images.shape[1] != n_values or not len(images):
            rule = f"at least one row of {n_values} pixels"
            raise self._malformed(key, rule, f"shape {images.shape}")
        return images

    def labels(self, key: str, n_images: int, n_classes: int) -> NDArray[np.int64]:
        """Return a label in 0, ..., n_classes - 1 for each image."""
        values = self._values.get(key)
        if not isinstance(values, list | np.ndarray) or len(values) != n_images:
            raise self._malformed(key, f"{n_images} labels, one an image", _extent(values))
        if odd := [v for v in values if not _is_label(v, n_classes)]:
            got = " ".join(repr(odd[0]).split())[:40]
            raise self._malformed(key, f"integers in 0..{n_classes - 1}", got)
        return np.array(values, dtype=np.int64)

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def texts(self, key: str, count: int) -> list[str]:
        """Return `count` texts of one line, which CSV files and terminals can show."""
        values, rule = self._values.get(key), f"a list of {count} texts"
        if not isinstance(values, list) or len(values) != count:
            raise self._malformed(key, rule, _extent(values))
        try:
            texts = [as_text(value) for value in values]
            "".join(texts).encode()
        except (TypeError, UnicodeEncodeError) as error:
            raise self._malformed(key, rule, str(error)) from error
        if odd := [text for text in texts if "\n" in text or "\r" in text]:
            raise self._malformed(key, "texts of one line", repr(odd[0])[:40])
        return texts

    def _malformed(self, key: str, rule: str, got: str) -> DataError:
        return DataError(
            f"{self._subject}: '{key}' must be {rule}, got {got}; "
            f"get the official files with `{self._download}`"
        )


def _is_label(value: object, n_classes: int) -> bool:
    return isinstance(value, int | np.integer) and bool(0 <= value < n_classes)


def _extent(values: object) -> str:
    if isinstance(values, list | np.ndarray):
        return str(len(values))
    return "nothing" if values is None else type(values).__name__
