"""The label CSV: one row a class, with the superclass that it lies in."""

import csv
from itertools import zip_longest
from pathlib import Path

from svmcifar.data.dataset import CLASSES, SUPERCLASSES, Dataset
from svmcifar.errors import LabelError
from svmcifar.io.csv_files import open_csv, write_rows
from svmcifar.io.files import atomic_path, check_output
from svmcifar.text import csv_cell

_REMEDY = "write it again with `svmcifar build-labels --overwrite`"


def label_rows(dataset: Dataset) -> list[list[str]]:
    """Return the rows of the label CSV.

    The header is ``fine_label_id, fine_label_name, coarse_label_id, coarse_label_name``; a row a
    class follows, in the order of their ids; without superclasses, two columns.  Raise DataError
    if the data set cannot be read or contradicts itself (see `Dataset.superclass_of`).
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

    Raise DataError as `label_rows`, and OutputError if `path` exists and `overwrite` is False, or
    if it cannot be written.
    """
    check_output(path, overwrite)
    rows = label_rows(dataset)
    with atomic_path(path) as temporary:
        write_rows(rows, temporary)


def check_label_csv(dataset: Dataset, path: str | Path) -> None:
    """Raise LabelError if a label CSV cannot be read as UTF-8 or differs from `label_rows`."""
    wanted = label_rows(dataset)
    try:
        rows = list(csv.reader(open_csv(path)))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise LabelError(f"{path}: must be a readable CSV, got '{reason}'; {_REMEDY}") from error
    for line, (right, row) in enumerate(zip_longest(wanted, rows), start=1):
        if row != right and (right is None or row != list(map(csv_cell, right))):
            rule = "there must be no such line" if right is None else f"must be {_shown(right)}"
            got = "nothing" if row is None else _shown(row)
            raise LabelError(
                f"{path}, line {line}: {rule}, as in the data set, got {got}; {_REMEDY}"
            )


def _shown(row: list[str]) -> str:
    return f"'{' '.join(','.join(row).split())[:100]}'"


def check_or_write_label_csv(dataset: Dataset, path: str | Path) -> None:
    """Check the label CSV (see `check_label_csv`), or write it if there is none."""
    if Path(path).exists():
        check_label_csv(dataset, path)
    else:
        write_label_csv(dataset, path)
