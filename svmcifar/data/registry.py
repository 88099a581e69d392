"""The known data sets, and how to find and open one of them."""

import os
from pathlib import Path

from svmcifar.data.cifar10 import Cifar10
from svmcifar.data.cifar100 import CIFAR_100, Cifar100
from svmcifar.data.dataset import Dataset, ReadingOptions
from svmcifar.data.image_folder import ImageFolder
from svmcifar.data.npz_file import NpzFile
from svmcifar.data.parquet_files import ParquetFiles
from svmcifar.errors import DataError

DATASETS: dict[str, type[Dataset]] = {
    "cifar100": Cifar100,
    "cifar10": Cifar10,
    "npz": NpzFile,
    "parquet": ParquetFiles,
    "folder": ImageFolder,
}
"""By the words of --dataset, in the order in which a place is searched for them."""

DEFAULT_SHAPE = CIFAR_100.image_shape
"""The images of models that do not record their shape."""

ENVIRONMENT_VARIABLE = "SVMCIFAR_DATA"


def open_dataset(
    data: str | Path | None = None,
    *,
    kind: str | None = None,
    check_md5: bool = True,
    image_size: int | None = None,
    split_seed: int | None = None,
) -> Dataset:
    """Open a data set; its files are read, and checked, when they are first needed.

    Parameters
    ----------
    data : str or Path, optional
        The folder of CIFAR's files (`cifar-100-python`, `cifar-10-batches-py`), their archive, or
        a folder that holds either; a folder of labelled images, an ``.npz`` file, or a folder of
        parquet files.  By default $SVMCIFAR_DATA, then `data/cifar-100-python`, then the usual
        folders of torchvision's users and of Keras.
    kind : str, optional
        One of `DATASETS`; by default whatever is found.
    check_md5 : bool, default=True
        Refuse files that are neither official nor those of an unaltered synthetic data set.
    image_size : int, optional
        Height and width, in pixels, that images are resized to; 32 by default, and for arrays
        their own.  Images of CIFAR are never resized.
    split_seed : int, optional
        Random seed of the fifth of the images that is held out where there are no test images; 0
        by default.

    Returns
    -------
    Dataset

    Raises
    ------
    DataError
        If no data set is found, or none at `data` or $SVMCIFAR_DATA, or it cannot be opened so.
    """
    kinds = DATASETS if kind is None else {kind: DATASETS[kind]}
    reading = ReadingOptions(check_md5, image_size, split_seed)
    origin = ""
    if data is None:
        data, origin = os.environ.get(ENVIRONMENT_VARIABLE), f" (from ${ENVIRONMENT_VARIABLE})"
        if not data:
            return _open_usual(kinds, reading)
    place = Path(data)
    for of_kind in kinds.values():
        if dataset := of_kind.find(place, reading):
            return dataset
    path = os.path.expanduser(place)
    got = "nothing there"
    if os.path.isdir(path):
        got = "a folder without them"
    elif os.path.exists(path):
        got = "another file"
    raise DataError(
        f"{place}{origin}: must be {'; or '.join(of.form() for of in kinds.values())}; got {got}; "
        "name another place or run `svmcifar download`"
    )


def _open_usual(kinds: dict[str, type[Dataset]], reading: ReadingOptions) -> Dataset:
    places = {word: of_kind.usual_places() for word, of_kind in kinds.items()}
    for word, usual in places.items():
        for place in usual:
            if dataset := kinds[word].find(place, reading):
                return dataset
    searched = dict.fromkeys(str(place) for usual in places.values() for place in usual)
    if not searched:
        raise DataError(
            f"the data set must be named, got no place of a {' or '.join(kinds)}; "
            "name it with --data"
        )
    named = " or ".join(word for word in kinds if places[word])
    raise DataError(
        f"{named}: the data set must be named or lie in a usual place, got none in "
        f"${ENVIRONMENT_VARIABLE} (not set), {', '.join(searched)}; get it with "
        "`svmcifar download`, name a copy with --data, or make a stand-in with "
        "`svmcifar download --synthetic`"
    )
