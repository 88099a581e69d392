"""Open, check and read the CIFAR-100 data set."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from svmcifar.data.locations import (
    FILE_NAMES,
    SYNTHETIC_SUMS,
    ArchiveSource,
    FolderSource,
    bytes_md5,
    find_source,
)
from svmcifar.data.safe_unpickling import as_text, unpickle_fields
from svmcifar.errors import DataError

OFFICIAL_URL = "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz"
OFFICIAL_ARCHIVE_MD5 = "eb9058c3a382ffc7106e4002c42a8d85"
OFFICIAL_MD5S = {
    "train": "16019d7e3df5f24257cddd939b257f8d",
    "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
    "meta": "7973b15100ade9c7d40fb424638fde48",
}
OFFICIAL_SIZES_BYTES = {"train": 155_249_918, "test": 31_049_707, "meta": 1_473}
FINE_COUNT = 100
COARSE_COUNT = 20

_PIXEL_COUNT = 3 * 32 * 32


@dataclass(frozen=True, eq=False)
class Split:
    """One half of the data set.

    Attributes
    ----------
    name : {"train", "test"}
    images : ndarray of shape (n_images, 3072), uint8, read-only
        Rows as in the pickle: 1024 red, 1024 green and 1024 blue values, each
        plane row by row.  See `to_pictures`.
    fine, coarse : ndarray of shape (n_images,), int64
        Class ids in 0..99 and superclass ids in 0..19.
    filenames : list of str
    """

    name: str
    images: np.ndarray
    fine: np.ndarray
    coarse: np.ndarray
    filenames: list[str] = field(repr=False)


@dataclass(frozen=True)
class Meta:
    """Names of the 100 classes and 20 superclasses; a class id is a place in the tuple."""

    fine_names: tuple[str, ...]
    coarse_names: tuple[str, ...]


def to_pictures(images: np.ndarray) -> np.ndarray:
    """Arrange image rows as pictures.

    Parameters
    ----------
    images : ndarray of shape (n_images, 3072), uint8
        Channel-first rows, as in `Split.images`.

    Returns
    -------
    ndarray of shape (n_images, 32, 32, 3), uint8
        Height, width, colour, in a fresh C-contiguous array.

    Examples
    --------
    >>> red = np.repeat(np.array([[255, 0, 0]], dtype=np.uint8), 1024, axis=1)
    >>> to_pictures(red)[0, 5, 7].tolist()
    [255, 0, 0]
    """
    planes = images.reshape(-1, 3, 32, 32)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1))


class Cifar100:
    """An opened data set; get one from `open_dataset`.

    Nothing is read before it is asked for.  Each file is checked when it is
    read: its md5, unless `check_md5` is False, and its structure always.

    Attributes
    ----------
    location : Path
        The folder or archive that the files come from.
    """

    def __init__(self, source: FolderSource | ArchiveSource, *, check_md5: bool = True) -> None:
        self.location: Path = source.path
        self._source = source
        self._check_md5 = check_md5
        self._md5s: dict[str, str] = {}

    @cached_property
    def md5s(self) -> dict[str, str]:
        """The md5 of `train`, `test` and `meta`, as they lie there."""
        return {name: self._md5s.get(name) or self._source.md5(name) for name in FILE_NAMES}

    @property
    def is_official(self) -> bool:
        """Whether all three files are the official ones."""
        return self.md5s == OFFICIAL_MD5S

    @property
    def is_synthetic(self) -> bool:
        """Whether this is the labelled stand-in, unaltered."""
        return self.md5s == self._synthetic_md5s

    @property
    def label(self) -> str:
        """What reports call this data set."""
        if self.is_official:
            return "CIFAR-100"
        return "SYNTHETIC stand-in" if self.is_synthetic else "modified CIFAR-100"

    def read_split(self, name: str) -> Split:
        """Read one split: about 0.4 s and 155 MB for the official `train`.

        Parameters
        ----------
        name : {"train", "test"}

        Returns
        -------
        Split

        Raises
        ------
        DataError
            If the file is missing, damaged, altered or malformed.
        """
        if name not in ("train", "test"):
            raise ValueError(f"The split must be 'train' or 'test'. Got {name!r} instead.")
        fields = self._read_fields(name)
        subject = self._subject(name)
        images = _images(fields, subject)
        n_images = len(images)
        return Split(
            name,
            images,
            _labels(fields, "fine_labels", n_images, FINE_COUNT, subject),
            _labels(fields, "coarse_labels", n_images, COARSE_COUNT, subject),
            _texts(fields, "filenames", n_images, subject),
        )

    def read_meta(self) -> Meta:
        """Read the class names.

        Returns
        -------
        Meta

        Raises
        ------
        DataError
            If the file is missing, damaged, altered or malformed.
        """
        return self._meta

    @cached_property
    def _meta(self) -> Meta:
        fields, subject = self._read_fields("meta"), self._subject("meta")
        return Meta(
            tuple(_texts(fields, "fine_label_names", FINE_COUNT, subject)),
            tuple(_texts(fields, "coarse_label_names", COARSE_COUNT, subject)),
        )

    @cached_property
    def _synthetic_md5s(self) -> dict[str, str] | None:
        """The sums that a synthetic data set brings along; None where it brings none."""
        content = self._source.synthetic_sums()
        if content is None:
            return None
        lines = [line.split() for line in content.decode("latin-1").splitlines() if line.strip()]
        sums = {line[-1].lstrip("*"): line[0] for line in lines}
        if sorted(sums) != sorted(FILE_NAMES):
            raise DataError(
                f"{self._subject(SYNTHETIC_SUMS)}: must have a line '<md5>  <name>' for each of "
                f"{', '.join(FILE_NAMES)}, got lines for {', '.join(sums) or 'nothing'}; "
                "make the data set again with `svmcifar download --synthetic`"
            )
        return sums

    def _subject(self, name: str) -> str:
        return str(self.location / name)

    def _read_fields(self, name: str) -> dict[str, Any]:
        content = self._source.read(name)
        self._md5s[name] = bytes_md5(content)
        if self._check_md5:
            self._check(name, len(content))
        return unpickle_fields(content, self._subject(name))

    def _check(self, name: str, size_bytes: int) -> None:
        """Raise DataError unless the file just read is the one it should be."""
        found, sums = self._md5s[name], self._synthetic_md5s
        if found == (sums or OFFICIAL_MD5S)[name]:
            return
        if sums is not None:
            rule = f"altered: the md5 must be {sums[name]} as in {SYNTHETIC_SUMS}, got {found}"
        elif size_bytes < OFFICIAL_SIZES_BYTES[name]:
            rule = (
                f"truncated: the official file has {OFFICIAL_SIZES_BYTES[name]} bytes, "
                f"got {size_bytes}"
            )
        else:
            rule = f"altered: the official md5 is {OFFICIAL_MD5S[name]}, got {found}"
        remedy = "svmcifar download" + (" --synthetic" if sums is not None else "")
        raise DataError(
            f"{self._subject(name)}: {rule}; get it again with `{remedy}`, "
            "or pass --skip-md5 for a data set altered on purpose"
        )


def open_dataset(data: str | Path | None = None, *, check_md5: bool = True) -> Cifar100:
    """Open the data set.

    Opening is cheap: each file is read and checked when it is first asked for.

    Parameters
    ----------
    data : str or Path, optional
        A folder that holds `train`, `test` and `meta`; or a folder that holds
        `cifar-100-python/` or `cifar-100-python.tar.gz`; or the archive.  By
        default $SVMCIFAR_DATA, then `data/cifar-100-python`, then the usual
        folders of torchvision's users and of Keras.
    check_md5 : bool, default=True
        Whether to refuse files that are neither the official ones nor those
        of an unaltered synthetic data set.

    Returns
    -------
    Cifar100

    Raises
    ------
    DataError
        If no data set is found, or none where `data` or $SVMCIFAR_DATA says.
    """
    return Cifar100(find_source(data), check_md5=check_md5)


def _images(fields: dict[str, Any], subject: str) -> np.ndarray:
    images = fields.get("data")
    if not isinstance(images, np.ndarray):
        raise _malformed(subject, "data", "an array", _extent(images))
    if images.ndim != 2 or images.shape[1] != _PIXEL_COUNT or not len(images):
        rule = f"at least one row of {_PIXEL_COUNT} pixels"
        raise _malformed(subject, "data", rule, f"shape {images.shape}")
    return images


def _labels(fields: dict[str, Any], key: str, count: int, limit: int, subject: str) -> np.ndarray:
    values = fields.get(key)
    if not isinstance(values, list | np.ndarray) or len(values) != count:
        raise _malformed(subject, key, f"{count} labels, one an image", _extent(values))
    odd = [v for v in values if not (isinstance(v, int | np.integer) and 0 <= v < limit)]
    if odd:
        found = " ".join(repr(odd[0]).split())[:40]
        raise _malformed(subject, key, f"integers in 0..{limit - 1}", found)
    return np.array(values, dtype=np.int64)


def _texts(fields: dict[str, Any], key: str, count: int, subject: str) -> list[str]:
    values = fields.get(key)
    if not isinstance(values, list) or len(values) != count:
        raise _malformed(subject, key, f"a list of {count} texts", _extent(values))
    try:
        return [as_text(value) for value in values]
    except TypeError as error:
        raise _malformed(subject, key, f"a list of {count} texts", str(error)) from error


def _extent(values: object) -> str:
    if isinstance(values, list | np.ndarray):
        return str(len(values))
    return "nothing" if values is None else type(values).__name__


def _malformed(subject: str, key: str, rule: str, found: str) -> DataError:
    return DataError(
        f"{subject}: '{key}' must be {rule}, got {found}; "
        "get the official files with `svmcifar download`"
    )
