"""The interface of data sets: images of one shape, classes, superclasses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Self

from svmcifar.compute.image_shape import ImageShape
from svmcifar.errors import DataError

if TYPE_CHECKING:  # the command line needs the kinds of labels, and starts faster without NumPy
    import numpy as np
    from numpy.typing import NDArray

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
    """What is known of a data set before it is opened."""

    name: str
    image_shape: ImageShape
    n_classes: Mapping[str, int]  # by kind of label; superclasses may be missing
    folder_name: str  # of the files, and of the archive without its suffix
    files: Mapping[str, DataFile]
    archive_url: str
    archive_md5: str

    @property
    def archive_name(self) -> str:
        """File name of the archive."""
        return f"{self.folder_name}.tar.gz"

    @property
    def md5s(self) -> dict[str, str]:
        """The md5 of each file."""
        return {name: file.md5 for name, file in self.files.items()}


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

    description: ClassVar[DatasetDescription]
    location: Path  # the folder or archive of the files

    @classmethod
    @abstractmethod
    def find(cls, place: Path, *, check_md5: bool = True) -> Self | None:
        """Open the data set in a folder or archive; None if there is none of this kind."""

    @classmethod
    @abstractmethod
    def usual_places(cls) -> list[Path]:
        """Return where to look, relative to the current folder or from "~"."""

    @classmethod
    @abstractmethod
    def form(cls) -> str:
        """Describe what `find` takes, to end a sentence with "must be"."""

    @property
    @abstractmethod
    def label(self) -> str:
        """Name of this data set in reports."""

    @property
    @abstractmethod
    def is_synthetic(self) -> bool:
        """Whether this is a stand-in whose scores say nothing about the real data."""

    @property
    @abstractmethod
    def md5s(self) -> dict[str, str]:
        """The md5 of each file, as it is on disk; slim models check that of `train`."""

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

    @abstractmethod
    def read_split(self, name: str) -> Split:
        """Read the split "train" or "test".

        Raise DataError if a file is missing, damaged, altered or malformed.
        """
