"""What a data set is to the rest of the package: images of one shape, classes, superclasses."""

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

# The kinds of labels, as options, model files and reports spell them.
CLASSES, SUPERCLASSES = "fine", "coarse"
LABEL_KINDS = (SUPERCLASSES, CLASSES)

SUPERCLASS_OF = f"{SUPERCLASSES}_of_{CLASSES}"
"""What model files and reports call the superclass of each class."""


def kind_words(kind: str, kinds: Collection[str]) -> tuple[str, str]:
    """Return what a class of some kind, one of `kinds`, is called: singular and plural."""
    if kind == SUPERCLASSES:
        return "superclass", "superclasses"
    return ("fine class", "fine classes") if SUPERCLASSES in kinds else ("class", "classes")


class DataFile(NamedTuple):
    """What a file of a data set must be."""

    md5: str
    size_bytes: int


@dataclass(frozen=True)
class DatasetDescription:
    """What is known of a data set before it is opened.

    Attributes
    ----------
    name : str
        Such as "CIFAR-100".
    image_shape : ImageShape
    n_classes : dict of str to int
        Number of classes by kind of label; superclasses may be missing.
    folder_name : str
        Of the folder that holds the files, and of the archive without its suffix.
    files : dict of str to DataFile
    archive_url, archive_md5 : str
    """

    name: str
    image_shape: ImageShape
    n_classes: Mapping[str, int]
    folder_name: str
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

    Attributes
    ----------
    name : {"train", "test"}
    images : ndarray of shape (n_images, n_values), uint8, read-only
        A row holds one colour plane after the other, each row by row (see `ImageShape`).
    labels : dict of str to ndarray of shape (n_images,), int64
        Ids by kind of label, counted from 0.
    filenames : list of str
    """

    name: str
    images: NDArray[np.uint8]
    labels: Mapping[str, NDArray[np.int64]]
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
    """An opened data set; get one from `svmcifar.data.registry.open_dataset`.

    Attributes
    ----------
    description : DatasetDescription
    location : Path
        The folder or archive that the files come from.
    """

    description: ClassVar[DatasetDescription]
    location: Path

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
        """What reports call this data set."""

    @property
    @abstractmethod
    def is_synthetic(self) -> bool:
        """Whether this is a stand-in whose scores say nothing about the real data."""

    @property
    @abstractmethod
    def md5s(self) -> dict[str, str]:
        """The md5 of each file, as it lies there; slim models ask for that of `train`."""

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
        """Return the names of the classes of one kind; an id is a place in the tuple."""

    @property
    @abstractmethod
    def superclass_of(self) -> NDArray[np.int64]:
        """The superclass of each class, shape (n_classes,), int64; itself if there are none.

        Raises
        ------
        DataError
            If the splits disagree, or a class lies in no superclass or in several.
        """

    @abstractmethod
    def read_split(self, name: str) -> Split:
        """Read one split.

        Parameters
        ----------
        name : {"train", "test"}

        Returns
        -------
        Split

        Raises
        ------
        DataError
            If a file is missing, damaged, altered or malformed.
        """
