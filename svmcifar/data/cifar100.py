"""CIFAR-100: 100 fine classes in 20 superclasses (coarse classes) of five."""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from svmcifar.compute.image_shape import ImageShape
from svmcifar.data.cifar import CifarDataset
from svmcifar.data.dataset import CLASSES, SUPERCLASSES, DataFile, DatasetDescription, Split
from svmcifar.errors import DataError

CIFAR_100 = DatasetDescription(
    name="CIFAR-100",
    image_shape=ImageShape(channels=3, height=32, width=32),
    n_classes={SUPERCLASSES: 20, CLASSES: 100},
    folder_name="cifar-100-python",
    files={
        "train": DataFile("16019d7e3df5f24257cddd939b257f8d", 155_249_918),
        "test": DataFile("f0ef6b0ae62326f3e7ffdfab6717acfc", 31_049_707),
        "meta": DataFile("7973b15100ade9c7d40fb424638fde48", 1_473),
    },
    archive_url="https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
    archive_md5="eb9058c3a382ffc7106e4002c42a8d85",
)


class Cifar100(CifarDataset):
    """CIFAR-100, or its synthetic stand-in, which has the same format."""

    description = CIFAR_100

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
        fields = self._read_fields(name)
        images = fields.images("data", self.image_shape.n_values)
        labels = {
            kind: fields.labels(f"{kind}_labels", len(images), count)
            for kind, count in self.description.n_classes.items()
        }
        n_superclasses = self.description.n_classes[SUPERCLASSES]
        self._pairs[name] = np.unique(labels[CLASSES] * n_superclasses + labels[SUPERCLASSES])
        return Split(name, images, labels, fields.texts("filenames", len(images)))

    @cached_property
    def _pairs(self) -> dict[str, NDArray[np.int64]]:
        """Distinct pairs of class and superclass, each as one number, of the splits read so far."""
        return {}

    @cached_property
    def superclass_of(self) -> NDArray[np.int64]:
        """The superclass of each class, shape (100,), int64.

        Derived from the labels of both splits, which are read unless they were before.  Raise
        DataError if a split lacks a class, has a class in two superclasses or a superclass
        without exactly five classes, or if the splits disagree or cannot be read.
        """
        in_train, in_test = (self._superclass_in(name) for name in ("train", "test"))
        if differing := np.flatnonzero(in_train != in_test).tolist():
            label = differing[0]
            raise DataError(
                f"{self.location}: train and test must agree, got fine class {label} in "
                f"superclass {in_train[label]} in train and {in_test[label]} in test; "
                "get the official files with `svmcifar download`"
            )
        return in_train

    def _superclass_in(self, name: str) -> NDArray[np.int64]:
        """Return the superclass of each class in one split; raise DataError unless there is one."""
        if name not in self._pairs:
            self.read_split(name)
        n_classes, n_superclasses = (self.description.n_classes[k] for k in (CLASSES, SUPERCLASSES))
        labels, superclasses = np.divmod(self._pairs[name], n_superclasses)
        counts = np.bincount(labels, minlength=n_classes)
        sizes = np.bincount(superclasses, minlength=n_superclasses)
        if odd := np.flatnonzero(counts != 1).tolist():
            rule = f"each of the {n_classes} fine classes must lie in one superclass"
            got = f"fine class {odd[0]} in {counts[odd[0]]}"
        elif sizes.max() != (size := n_classes // n_superclasses):
            rule = f"each of the {n_superclasses} superclasses must have {size} fine classes"
            got = f"{sizes.max()} in superclass {sizes.argmax()}"
        else:
            return superclasses
        raise DataError(
            f"{self.location / name}: {rule}, got {got}; "
            "get the official files with `svmcifar download`"
        )
