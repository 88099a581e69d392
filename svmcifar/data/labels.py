"""The map from the 100 fine classes to the 20 superclasses, as a CSV file."""

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

from svmcifar.data.cifar import COARSE_COUNT, FINE_COUNT, Cifar100, Split
from svmcifar.errors import DataError, LabelError
from svmcifar.io.files import atomic_path, check_output

COLUMNS = ("fine_label_id", "fine_label_name", "coarse_label_id", "coarse_label_name")
FINE_PER_COARSE = FINE_COUNT // COARSE_COUNT

_REMEDY = "write it again with `svmcifar build-labels --overwrite`"


def build_label_map(
    dataset: Cifar100, *, train: Split | None = None, test: Split | None = None
) -> pd.DataFrame:
    """Derive the label map from the (fine, coarse) pairs of both splits.

    Parameters
    ----------
    dataset : Cifar100
    train, test : Split, optional
        Splits of `dataset` already read; those not given are read here, one
        after the other.

    Returns
    -------
    DataFrame
        100 rows in the order of the fine id, with the columns `fine_label_id`
        (int64), `fine_label_name` (str), `coarse_label_id` (int64) and
        `coarse_label_name` (str).

    Raises
    ------
    DataError
        If a split lacks a class, has a fine class in two superclasses or a
        superclass without exactly 5 classes, if the two splits disagree, or
        if the data set cannot be read.
    """
    coarse = _coarse_of_fine(dataset, "train", train)
    in_test = _coarse_of_fine(dataset, "test", test)
    if differing := np.flatnonzero(coarse != in_test).tolist():
        fine = differing[0]
        raise DataError(
            f"{dataset.location}: train and test must agree, got fine class {fine} in superclass "
            f"{coarse[fine]} in train and {in_test[fine]} in test; "
            "get the official files with `svmcifar download`"
        )
    meta = dataset.read_meta()
    return _frame(meta.fine_names, coarse, [meta.coarse_names[c] for c in coarse])


def write_label_csv(frame: pd.DataFrame, path: str | Path, *, overwrite: bool = False) -> None:
    """Write the label map, whole or not at all.

    Parameters
    ----------
    frame : DataFrame
        As `build_label_map` gives it.
    path : str or Path
    overwrite : bool, default=False

    Raises
    ------
    OutputError
        If `path` exists and `overwrite` is False, or cannot be written.
    """
    check_output(path, overwrite)
    with atomic_path(path) as temporary:
        frame.to_csv(temporary, columns=list(COLUMNS), index=False, lineterminator="\n")


def read_label_csv(path: str | Path) -> pd.DataFrame:
    """Read a label map and check that it is one, whatever data set it belongs to.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    DataFrame
        As `build_label_map` gives it.

    Raises
    ------
    LabelError
        If the file is missing or no UTF-8 text, if its header or a row is not
        as it must be, or if the superclasses do not have 5 classes each.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise LabelError(f"{path}: must be a readable CSV, got '{reason}'; {_REMEDY}") from error
    header, body = (rows[0], rows[1:]) if rows else ([], [])
    if header != list(COLUMNS):
        raise _row_error(path, 1, f"the header must be {','.join(COLUMNS)}", ",".join(header))
    fine_names: list[str] = []
    coarse_names: dict[int, str] = {}
    coarse: list[int] = []
    for fine, row in enumerate(body[:FINE_COUNT]):
        coarse_id, fine_name, coarse_name = _parse_row(path, fine, row)
        line = _line(fine)
        if fine_name in fine_names:
            raise _row_error(path, line, "each fine_label_name must be given once", fine_name)
        known = coarse_names.setdefault(coarse_id, coarse_name)
        if known != coarse_name:
            rule = f"coarse_label_name must be {known!r} as above for id {coarse_id}"
            raise _row_error(path, line, rule, coarse_name)
        if list(coarse_names.values()).count(coarse_name) > 1:
            rule = f"coarse_label_name {coarse_name!r} must keep the one id it has above"
            raise _row_error(path, line, rule, str(coarse_id))
        fine_names.append(fine_name)
        coarse.append(coarse_id)
    if len(body) != FINE_COUNT:
        rule = f"there must be {FINE_COUNT} rows, one a fine class"
        raise _row_error(path, min(len(rows), _line(FINE_COUNT)), rule, f"{len(body)} rows")
    if fault := _size_fault(coarse):
        last = max(fine for fine in range(FINE_COUNT) if coarse[fine] == fault[0])
        raise _row_error(path, _line(last), *_size_rule(*fault))
    return _frame(fine_names, np.array(coarse), [coarse_names[c] for c in coarse])


def check_label_map(frame: pd.DataFrame, expected: pd.DataFrame, *, path: str | Path) -> None:
    """Refuse a label map that contradicts the data set.

    Parameters
    ----------
    frame : DataFrame
        As `read_label_csv` gives it.
    expected : DataFrame
        What the data set says: as `build_label_map` gives it.
    path : str or Path
        Where `frame` was read, for the error message.

    Raises
    ------
    LabelError
        If an id or a name differs.
    """
    for column in COLUMNS:
        found, right = frame[column].tolist(), expected[column].tolist()
        for fine, (value, wanted) in enumerate(zip(found, right, strict=True)):
            if value != wanted:
                rule = f"{column} must be {wanted!r} as in the data set"
                raise _row_error(path, _line(fine), rule, str(value))


def load_or_build_labels(
    path: str | Path,
    dataset: Cifar100,
    *,
    train: Split | None = None,
    test: Split | None = None,
) -> pd.DataFrame:
    """Read the label CSV and check it against the data set, or write it where there is none.

    Parameters
    ----------
    path : str or Path
    dataset : Cifar100
    train, test : Split, optional
        Splits of `dataset` already read.

    Returns
    -------
    DataFrame
        As `build_label_map` gives it.

    Raises
    ------
    LabelError
        If the CSV is malformed or contradicts the data set.
    DataError
        If the data set cannot be read or contradicts itself.
    OutputError
        If there is no CSV and none can be written.
    """
    expected = build_label_map(dataset, train=train, test=test)
    if Path(path).exists():
        check_label_map(read_label_csv(path), expected, path=path)
    else:
        write_label_csv(expected, path)
    return expected


def _coarse_of_fine(dataset: Cifar100, name: str, split: Split | None) -> np.ndarray:
    """Give the superclass of each fine class, (100,) int64, after checking that there is one."""
    if split is None:
        split = dataset.read_split(name)
    pairs = np.unique(split.fine * COARSE_COUNT + split.coarse)
    fine, coarse = pairs // COARSE_COUNT, pairs % COARSE_COUNT
    n_coarse = np.bincount(fine, minlength=FINE_COUNT)
    rule, found = "", ""
    if odd := np.flatnonzero(n_coarse != 1).tolist():
        rule = f"each of the {FINE_COUNT} fine classes must lie in one superclass"
        found = f"fine class {odd[0]} in {n_coarse[odd[0]]}"
    elif fault := _size_fault(coarse.tolist()):
        rule, found = _size_rule(*fault)
    if rule:
        raise DataError(
            f"{dataset.location / name}: {rule}, got {found}; "
            "get the official files with `svmcifar download`"
        )
    return coarse


def _size_fault(coarse: list[int]) -> tuple[int, int] | None:
    """Find a superclass with more than its 5 of the 100 classes, and its size, if there is one."""
    most = Counter(coarse).most_common(1)[0]
    return most if most[1] != FINE_PER_COARSE else None


def _size_rule(coarse_id: int, size: int) -> tuple[str, str]:
    rule = f"each of the {COARSE_COUNT} superclasses must have {FINE_PER_COARSE} fine classes"
    return rule, f"{size} in superclass {coarse_id}"


def _parse_row(path: str | Path, fine: int, row: list[str]) -> tuple[int, str, str]:
    """Check one row by itself; give its coarse id, fine name and coarse name."""
    line = _line(fine)
    if len(row) != len(COLUMNS):
        raise _row_error(path, line, f"a row must have {len(COLUMNS)} fields", str(len(row)))
    fine_text, fine_name, coarse_text, coarse_name = row
    if fine_text != str(fine):
        rule = f"fine_label_id must be {fine}, since rows go from 0 to {FINE_COUNT - 1} in order"
        raise _row_error(path, line, rule, fine_text)
    if coarse_text not in map(str, range(COARSE_COUNT)):
        rule = f"coarse_label_id must be an integer in 0..{COARSE_COUNT - 1}"
        raise _row_error(path, line, rule, coarse_text)
    for column, name in (("fine_label_name", fine_name), ("coarse_label_name", coarse_name)):
        if not name.strip():
            raise _row_error(path, line, f"{column} must not be empty", name)
    return int(coarse_text), fine_name, coarse_name


def _line(fine: int) -> int:
    """Give the line of a fine class: the first is the header."""
    return fine + 2


def _row_error(path: str | Path, line: int, rule: str, found: str) -> LabelError:
    return LabelError(f"{path}, line {line}: {rule}, got {found!r}; {_REMEDY}")


def _frame(
    fine_names: tuple[str, ...] | list[str], coarse: np.ndarray, coarse_names: list[str]
) -> pd.DataFrame:
    columns = (np.arange(FINE_COUNT), list(fine_names), coarse.astype(np.int64), coarse_names)
    return pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)))
