"""The label CSV: one row a class, with the superclass that it lies in."""

import csv
from itertools import zip_longest
from pathlib import Path

from svmcifar.data.dataset import CLASSES, SUPERCLASSES, Dataset
from svmcifar.errors import LabelError
from svmcifar.io.files import atomic_path, check_output

_REMEDY = "write it again with `svmcifar build-labels --overwrite`"


def label_rows(dataset: Dataset) -> list[list[str]]:
    """Return the rows of the label CSV.

    Parameters
    ----------
    dataset : Dataset

    Returns
    -------
    list of list of str
        The header ``fine_label_id, fine_label_name, coarse_label_id, coarse_label_name`` and a
        row a class, in the order of their ids; without superclasses, two columns.

    Raises
    ------
    DataError
        If the data set cannot be read or contradicts itself (see `Dataset.superclass_of`).
    """
    names = dataset.class_names(CLASSES)
    columns = [[str(label) for label in range(len(names))], list(names)]
    kinds = [CLASSES]
    if SUPERCLASSES in dataset.label_kinds:
        superclass_of, names = dataset.superclass_of.tolist(), dataset.class_names(SUPERCLASSES)
        columns += [[str(label) for label in superclass_of], [names[c] for c in superclass_of]]
        kinds += [SUPERCLASSES]
    header = [f"{kind}_label_{what}" for kind in kinds for what in ("id", "name")]
    return [header, *map(list, zip(*columns, strict=True))]


def write_label_csv(dataset: Dataset, path: str | Path, *, overwrite: bool = False) -> None:
    """Write the label CSV, whole or not at all.

    Parameters
    ----------
    dataset : Dataset
    path : str or Path
    overwrite : bool, default=False

    Raises
    ------
    DataError
        If the data set cannot be read or contradicts itself.
    OutputError
        If `path` exists and `overwrite` is False, or cannot be written.
    """
    check_output(path, overwrite)
    rows = label_rows(dataset)
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def check_label_csv(dataset: Dataset, path: str | Path) -> None:
    """Raise if a label CSV is not that of the data set.

    Parameters
    ----------
    dataset : Dataset
    path : str or Path

    Raises
    ------
    DataError
        If the data set cannot be read or contradicts itself.
    LabelError
        If the file is missing or no UTF-8 text, or a row is not as the data set has it.
    """
    wanted = label_rows(dataset)
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise LabelError(f"{path}: must be a readable CSV, got '{reason}'; {_REMEDY}") from error
    for line, (right, found) in enumerate(zip_longest(wanted, rows), start=1):
        if found != right:
            rule = "there must be no such line" if right is None else f"must be '{','.join(right)}'"
            got = "nothing" if found is None else f"'{' '.join(','.join(found).split())[:100]}'"
            raise LabelError(
                f"{path}, line {line}: {rule}, as in the data set, got {got}; {_REMEDY}"
            )


def check_or_write_label_csv(dataset: Dataset, path: str | Path) -> None:
    """Check the label CSV against the data set, or write it where there is none.

    Parameters
    ----------
    dataset : Dataset
    path : str or Path

    Raises
    ------
    DataError
        If the data set cannot be read or contradicts itself.
    LabelError
        If the CSV is malformed or contradicts the data set.
    OutputError
        If there is no CSV and none can be written.
    """
    if Path(path).exists():
        check_label_csv(dataset, path)
    else:
        write_label_csv(dataset, path)
