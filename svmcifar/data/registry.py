"""The data sets that this package knows, and how one of them is found and opened."""

import os
from pathlib import Path

from svmcifar.data.cifar100 import Cifar100
from svmcifar.data.dataset import Dataset
from svmcifar.errors import DataError

DATASETS: tuple[type[Dataset], ...] = (Cifar100,)
"""Asked in this order whether a place holds one of them."""

ENVIRONMENT_VARIABLE = "SVMCIFAR_DATA"


def open_dataset(data: str | Path | None = None, *, check_md5: bool = True) -> Dataset:
    """Open the data set.

    Opening is cheap: each file is read and checked when it is first asked for.

    Parameters
    ----------
    data : str or Path, optional
        A folder that holds the data set's files; or a folder that holds its own folder
        (`cifar-100-python`) or its archive (`cifar-100-python.tar.gz`); or the archive.  By
        default $SVMCIFAR_DATA, then `data/cifar-100-python`, then the usual
        folders of torchvision's users and of Keras.
    check_md5 : bool, default=True
        Whether to refuse files that are neither the official ones nor those
        of an unaltered synthetic data set.

    Returns
    -------
    Dataset

    Raises
    ------
    DataError
        If no data set is found, or none where `data` or $SVMCIFAR_DATA says.
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
