"""CIFAR-10: ten classes without superclasses, in five training batches and a test batch."""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from svmcifar.compute.image_shape import ImageShape
from svmcifar.data.cifar import CifarDataset
from svmcifar.data.dataset import CLASSES, ArchiveDescription, DataFile, Split
from svmcifar.data.locations import bytes_md5

_META, _TEST = "batches.meta", "test_batch"
_TRAIN = tuple(f"data_batch_{number}" for number in range(1, 6))

CIFAR_10 = ArchiveDescription(
    name="CIFAR-10",
    image_shape=ImageShape(channels=3, height=32, width=32),
    n_classes={CLASSES: 10},
    folder_name="cifar-10-batches-py",
    files={
        "data_batch_1": DataFile("c99cafc152244af753f735de768cd75f", 31_035_704),
        "data_batch_2": DataFile("d4bba439e000b95fd0a9bffe97cbabec", 31_035_320),
        "data_batch_3": DataFile("54ebc095f3ab1f0389bbae665268c751", 31_035_999),
        "data_batch_4": DataFile("634d18415352ddfa80567beed471001a", 31_035_696),
        "data_batch_5": DataFile("482c414d41f54cd18b22e5b47cb7c3cb", 31_035_623),
        "test_batch": DataFile("40351d587109b95175f43aff81a1287e", 31_035_526),
        "batches.meta": DataFile("5ff9c542aee3614f3951f8cda6e48888", 158),
    },
    archive_name="cifar-10-python.tar.gz",
    archive_url="https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
    archive_md5="c58f30108f718f92721af3b95e74349a",
    archive_bytes=170_498_071,
    word="cifar10",
)


class Cifar10(CifarDataset):
    """CIFAR-10, or another data set in its format."""

    description = CIFAR_10

    def class_names(self, kind: str) -> tuple[str, ...]:
        """Return the names of the classes in the order of their ids."""
        self.require_kind(kind)
        return self._class_names

    @cached_property
    def _class_names(self) -> tuple[str, ...]:
        fields = self._read_fields(_META)
        return tuple(fields.texts("label_names", self.description.n_classes[CLASSES]))

    @property
    def md5s(self) -> dict[str, str]:
        """The md5 of each file, and of those of the training batches, one after the other."""
        md5s = self.file_md5s
        return md5s | {"train": bytes_md5("".join(md5s[name] for name in _TRAIN).encode())}

    @property
    def superclass_of(self) -> NDArray[np.int64]:
        """Each class itself: there are no superclasses."""
        return np.arange(self.description.n_classes[CLASSES])

    def read_split(self, name: str) -> Split:
        """Read one split, as `Dataset.read_split`."""
        if name not in ("train", "test"):
            raise ValueError(f"The split must be 'train' or 'test'. Got {name!r} instead.")
        batches = [
            self._read_images(file, {CLASSES: "labels"})
            for file in (_TRAIN if name == "train" else (_TEST,))
        ]
        images = np.concatenate([images for images, _, _ in batches])
        images.flags.writeable = False
        labels = np.concatenate([labels[CLASSES] for _, labels, _ in batches])
        return Split(name, images, {CLASSES: labels}, [f for batch in batches for f in batch[2]])
