"""The interface of data sets: images of one shape, classes, superclasses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from svmcifar.compute.image_shape import ImageShape
from svmcifar.errors import DataError

if TYPE_CHECKING:  # the command line needs the kinds of labels, and starts faster without NumPy
    import numpy as np
    from numpy.typing import NDArray

# Data sets by the words of --dataset, in the order in which a place is searched for them; a test
# compares them with the registry, which help must not import.
DATASET_WORDS = ("cifar100", "cifar10", "npz", "parquet", "folder")

# Kinds of labels, as spelled in options, model files and reports.
CLASSES, SUPERCLASSES = "fine", "coarse"
LABEL_KINDS = (SUPERCLASSES, CLASSES)

SUPERCLASS_OF = f"{SUPERCLASSES}_of_{CLASSES}"
"""Key of the superclasses of the classes in model files and reports."""


def kind_words(kind: str, kinds: Collection[str]) -> tuple[str, str]:
    """Return the name of a class of `kind`, one of `kinds`: singular and plural."""
    if kind == SUPERCLASSES:
        return "superclass", "superclasses"
    return ("fine class", "fine classes") if SUPERCLASSES in kinds else ("class", "classes")


class DataFile(NamedTuple):
    """The md5 and the size of a file of a data set."""

    md5: str
    size_bytes: int


@dataclass(frozen=True)
class DatasetDescription:
    """What a data set is."""

    name: str
    image_shape: ImageShape
    n_classes: Mapping[str, int]  # by kind of label; superclasses may be missing


@dataclass(frozen=True, kw_only=True)
class ArchiveDescription(DatasetDescription):
    """A data set that is known before it is opened, by the md5s of its files and its archive."""

    folder_name: str  # of the files
    files: Mapping[str, DataFile]
    archive_name: str
    archive_url: str
    archive_md5: str
    archive_bytes: int
    word: str  # for --dataset

    @property
    def md5s(self) -> dict[str, str]:
        """The md5 of each file."""
        return {name: file.md5 for name, file in self.files.items()}

    @property
    def download_command(self) -> str:
        """The command that gets the data set."""
        other = "" if self.word == DATASET_WORDS[0] else f" --dataset {self.word}"
        return f"svmcifar download{other}"


@dataclass(frozen=True)
class ReadingOptions:
    """How to open a data set."""

    check_md5: bool = True  # refuse files that are neither official nor of an unaltered stand-in
    image_size: int | None = None  # side in pixels that images are resized to
    split_seed: int | None = None  # of the held-out part, where there are no test images


@dataclass(frozen=True, eq=False)
class Split:
    """The training or the test images of a data set.

    A row of `images` holds one colour plane after the other, each row by row (see `ImageShape`).
    """

    name: str  # "train" or "test"
    images: NDArray[np.uint8]  # (n_images, n_values), read-only
    labels: Mapping[str, NDArray[np.int64]]  # (n_images,), ids from 0, by kind of label
    filenames: list[str] = field(repr=False)

    def take(self, rows: NDArray[np.intp]) -> Split:
        """Return the images in some rows, with their labels."""
        labels = {kind: ids[rows] for kind, ids in self.labels.items()}
        return Split(self.name, self.images[rows], labels, [self.filenames[i] for i in rows])

    @property
    def classes(self) -> NDArray[np.int64]:
        """Class ids, shape (n_images,), int64."""
        return self.labels[CLASSES]


class Dataset(ABC):
    """An opened data set; `svmcifar.data.registry.open_dataset` opens one."""

    location: Path  # the folder, file or archive that it was found in

    @property
    @abstractmethod
    def description(self) -> DatasetDescription:
        """Name, image shape and numbers of classes."""

    @classmethod
    @abstractmethod
    def find(cls, place: Path, reading: ReadingOptions) -> Self | None:
        """Open the data set in a folder, file or archive; None if there is none of this kind.

        Raise DataError if there is one that cannot be read by these options.
        """

    @classmethod
    def usual_places(cls) -> list[Path]:
        """Return where to look, relative to the current folder or from "~"."""
        return []

    @classmethod
    @abstractmethod
    def form(cls) -> str:
        """Describe what `find` takes, to end a sentence with "must be"."""

    @property
    @abstractmethod
    def label(self) -> str:
        """Name of this data set in reports."""

    @property
    def is_synthetic(self) -> bool:
        """Whether this is a stand-in whose scores say nothing about the real data."""
        return False

    @property
    def original(self) -> str | None:
        """The data set that this stands in for, or is an altered copy of; None if neither."""
        return None

    @property
    def label_csv(self) -> str | None:
        """Usual name of the CSV of its superclasses; None if it needs none."""
        return None

    @property
    def split_seed(self) -> int | None:
        """Seed of the test images where they are a part held out; None where there are some."""
        return None

    @property
    @abstractmethod
    def md5s(self) -> dict[str, str]:
        """The md5s of what it holds, as it is on disk; slim models check that of `train`."""

    def to_record(self) -> dict[str, Any]:
        """Return what manifests and model cards tell of the data set."""
        return {
            "label": self.label,
            "synthetic": self.is_synthetic,
            "md5s": self.md5s,
            "image_shape": list(self.image_shape),
            **({} if self.split_seed is None else {"split_seed": self.split_seed}),
        }

    def like(self, record: Mapping[str, Any]) -> Dataset:
        """Return the data set as a model read it: by `to_record`, where nothing else was asked."""
        return self

    @property
    def image_shape(self) -> ImageShape:
        """Shape of every image."""
        return self.description.image_shape

    @property
    def label_kinds(self) -> tuple[str, ...]:
        """The kinds of labels, superclasses (if there are any) before classes."""
        return tuple(kind for kind in LABEL_KINDS if kind in self.description.n_classes)

    def require_kind(self, kind: str) -> None:
        """Raise DataError unless the data set has labels of this kind."""
        if kind not in self.label_kinds:
            raise DataError(
                f"{self.location}: the data set must have {kind_words(kind, LABEL_KINDS)[1]}, and "
                f"{self.description.name} has none; pass --labels {self.label_kinds[0]}"
            )

    @abstractmethod
    def class_names(self, kind: str) -> tuple[str, ...]:
        """Return the names of the classes of one kind in the order of their ids."""

    @property
    @abstractmethod
    def superclass_of(self) -> NDArray[np.int64]:
        """The superclass of each class, shape (n_classes,), int64; itself if there are none.

        Raise DataError if the splits disagree, or a class lies in no superclass or in several.
        """

    def count_images(self, name: str) -> int:
        """Return the number of images of a split."""
        return len(self.read_split(name).filenames)

    @abstractmethod
    def read_split(self, name: str) -> Split:
        """Read the split "train" or "test".

        Raise DataError if a file is missing, damaged, altered or malformed.
        """
