"""The known data sets, and how to find and open one of them."""

import os
from pathlib import Path

from svmcifar.data.cifar100 import Cifar100
from svmcifar.data.dataset import Dataset
from svmcifar.errors import DataError

DATASETS: tuple[type[Dataset], ...] = (Cifar100,)
"""In the order in which a place is searched for them."""

ENVIRONMENT_VARIABLE = "SVMCIFAR_DATA"


def open_dataset(data: str | Path | None = None, *, check_md5: bool = True) -> Dataset:
    """Open the data set; its files are read, and checked, when they are first needed.

    Parameters
    ----------
    data : str or Path, optional
        The folder of the data set's files (`cifar-100-python`), their archive
        (`cifar-100-python.tar.gz`), or a folder that holds either.  By default $SVMCIFAR_DATA,
        then `data/cifar-100-python`, then the usual folders of torchvision's users and of Keras.
    check_md5 : bool, default=True
        Refuse files that are neither official nor those of an unaltered synthetic data set.

    Returns
    -------
    Dataset

    Raises
    ------
    DataError
        If no data set is found, or none at `data` or $SVMCIFAR_DATA.
    """
    origin = ""
    if data is None:
        data, origin = os.environ.get(ENVIRONMENT_VARIABLE), f" (from ${ENVIRONMENT_VARIABLE})"
        if not data:
            return _open_usual(check_md5)
    place = Path(data)
    for kind in DATASETS:
        if dataset := kind.find(place, check_md5=check_md5):
            return dataset
    is_folder = os.path.isdir(os.path.expanduser(place))
    raise DataError(
        f"{place}{origin}: must be {', or '.join(kind.form() for kind in DATASETS)}, "
        f"got {'a folder without them' if is_folder else 'nothing there'}; "
        "name another place or run `svmcifar download`"
    )


def _open_usual(check_md5: bool) -> Dataset:
    places = {kind: kind.usual_places() for kind in DATASETS}
    for kind, usual in places.items():
        for place in usual:
            if dataset := kind.find(place, check_md5=check_md5):
                return dataset
    names = " or ".join(kind.description.name for kind in DATASETS)
    searched = dict.fromkeys(str(place) for usual in places.values() for place in usual)
    raise DataError(
        f"{names}: the data set must be named or lie in a usual place, got none in "
        f"${ENVIRONMENT_VARIABLE} (not set), {', '.join(searched)}; get it with "
        "`svmcifar download`, name a copy with --data, or make a stand-in with "
        "`svmcifar download --synthetic`"
    )
