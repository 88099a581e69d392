"""CIFAR-100: 100 fine classes in 20 superclasses (coarse classes) of five."""

import warnings
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from svmcifar.compute.image_shape import ImageShape
from svmcifar.data.cifar import CifarDataset
from svmcifar.data.dataset import CLASSES, SUPERCLASSES, ArchiveDescription, DataFile, Split
from svmcifar.errors import DataError

CIFAR_100 = ArchiveDescription(
    name="CIFAR-100",
    image_shape=ImageShape(channels=3, height=32, width=32),
    n_classes={SUPERCLASSES: 20, CLASSES: 100},
    folder_name="cifar-100-python",
    files={
        "train": DataFile("16019d7e3df5f24257cddd939b257f8d", 155_249_918),
        "test": DataFile("f0ef6b0ae62326f3e7ffdfab6717acfc", 31_049_707),
        "meta": DataFile("7973b15100ade9c7d40fb424638fde48", 1_473),
    },
    archive_name="cifar-100-python.tar.gz",
    archive_url="https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
    archive_md5="eb9058c3a382ffc7106e4002c42a8d85",
    archive_bytes=169_001_437,
    word="cifar100",
)


class Cifar100(CifarDataset):
    """CIFAR-100, or its synthetic stand-in, which has the same format."""

    description = CIFAR_100

    @property
    def label_csv(self) -> str:
        """Usual name of the CSV of its superclasses."""
        return f"labels{'-SYNTHETIC' * self.is_synthetic}.csv"

    def class_names(self, kind: str) -> tuple[str, ...]:
        """Return the names of the classes of one kind in the order of their ids."""
        return self._class_names[kind]

    @cached_property
    def _class_names(self) -> dict[str, tuple[str, ...]]:
        fields = self._read_fields("meta")
        return {
            kind: tuple(fields.texts(f"{kind}_label_names", count))
            for kind, count in self.description.n_classes.items()
        }

    def read_split(self, name: str) -> Split:
        """Read one split, as `Dataset.read_split`: about 0.4 s and 155 MB for `train`."""
        if name not in ("train", "test"):
            raise ValueError(f"The split must be 'train' or 'test'. Got {name!r} instead.")
        keys = {kind: f"{kind}_labels" for kind in self.description.n_classes}
        images, labels, filenames = self._read_images(name, keys)
        n_classes, n_superclasses = (self.description.n_classes[k] for k in (CLASSES, SUPERCLASSES))
        pairs = labels[CLASSES] * n_superclasses + labels[SUPERCLASSES]
        counts = np.bincount(pairs, minlength=n_classes * n_superclasses)
        self._counts[name] = counts.reshape(n_classes, n_superclasses)
        return Split(name, images, labels, filenames)

    @cached_property
    def _counts(self) -> dict[str, NDArray[np.int64]]:
        """Images by class and superclass, (100, 20), in the splits read so far."""
        return {}

    @cached_property
    def label_kinds(self) -> tuple[str, ...]:
        """The kinds of labels; of a data set altered on purpose, those that make sense."""
        is_altered = not self._check_md5
        return (CLASSES,) if is_altered and self._contradiction else super().label_kinds

    def require_kind(self, kind: str) -> None:
        """Raise DataError unless the data set has labels of this kind that make sense."""
        if kind not in self.label_kinds and self._contradiction:
            raise DataError(f"{self._contradiction}, or pass --labels {CLASSES}")
        super().require_kind(kind)

    @property
    def superclass_of(self) -> NDArray[np.int64]:
        """The superclass of each class, shape (100,), int64.

        That of most of the class's images in both splits, which are read unless they were before.
        Warn if images of a class lie in others, as after an experiment with noisy labels.  Raise
        DataError if a split lacks a class or cannot be read; if a class has no superclass of most
        images, a superclass other than five classes, or the splits disagree, raise DataError too
        or, for a data set altered on purpose, return each class as its own.
        """
        if SUPERCLASSES not in self.label_kinds:
            return np.arange(self.description.n_classes[CLASSES])
        if isinstance(self._superclasses, str):
            raise DataError(self._superclasses)
        return self._superclasses

    @property
    def _contradiction(self) -> str | None:
        """What is wrong with the superclasses, if anything is."""
        return self._superclasses if isinstance(self._superclasses, str) else None

    @cached_property
    def _superclasses(self) -> NDArray[np.int64] | str:
        """The superclass of each class, or what is wrong with them."""
        in_train, in_test = (self._superclass_in(name) for name in ("train", "test"))
        remedy = "get the official files with `svmcifar download`"
        for found in (in_train, in_test):
            if isinstance(found, str):
                return f"{found}; {remedy}"
        if differing := np.flatnonzero(in_train != in_test).tolist():
            label = differing[0]
            return (
                f"{self.location}: train and test must agree, got fine class {label} in "
                f"superclass {in_train[label]} in train and {in_test[label]} in test; {remedy}"
            )
        return in_train

    def _superclass_in(self, name: str) -> NDArray[np.int64] | str:
        """Return the superclass of each class in one split, or what is wrong with them.

        Raise DataError if the split lacks a class.
        """
        if name not in self._counts:
            self.read_split(name)
        counts = self._counts[name]
        n_classes, n_superclasses = counts.shape
        n_images, most = counts.sum(axis=1), counts.max(axis=1)
        rule = f"{self.location / name}: each of the {n_classes} fine classes must"
        if missing := np.flatnonzero(n_images == 0).tolist():
            raise DataError(
                f"{rule} have images, got none of fine class {missing[0]}; "
                "get the official files with `svmcifar download`"
            )
        if divided := np.flatnonzero(2 * most <= n_images).tolist():
            n_found = np.count_nonzero(counts[divided[0]])
            return f"{rule} lie in one superclass, got fine class {divided[0]} in {n_found}"
        superclasses = counts.argmax(axis=1)
        sizes = np.bincount(superclasses, minlength=n_superclasses)
        if sizes.max() != (size := n_classes // n_superclasses):
            return (
                f"{self.location / name}: each of the {n_superclasses} superclasses must have "
                f"{size} fine classes, got {sizes.max()} in superclass {sizes.argmax()}"
            )
        if n_others := int((n_images - most).sum()):
            warnings.warn(
                f"{self.location / name}: {n_others} images lie in another superclass than most "
                f"of their fine class; a class is taken to be in that of most of its images",
                stacklevel=2,
            )
        return superclasses
