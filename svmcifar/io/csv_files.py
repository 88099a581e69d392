"""CSV files that are safe to open in a terminal and in a spreadsheet."""

import csv
from collections.abc import Iterable
from io import StringIO
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from svmcifar.io.reading import read_file
from svmcifar.text import csv_cell

if TYPE_CHECKING:
    import pandas as pd

_MOST_BYTES = 64 * 2**20


def open_csv(path: str | Path) -> StringIO:
    """Open a CSV in UTF-8, read whole: raise OSError or UnicodeDecodeError if it cannot be."""
    return StringIO(read_file(path, _MOST_BYTES).decode("utf-8-sig"), newline="")


def write_rows(rows: Iterable[Iterable[Any]], path: Path) -> None:
    """Write rows as a CSV in UTF-8, each cell by `csv_cell`."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(map(csv_cell, row) for row in rows)


def file_column(names: Iterable[Any], index: Any = None) -> "pd.Series[Any]":
    """Return names of files as a column of a table; Arrow's strings have to be UTF-8."""
    import pandas as pd

    return pd.Series(list(names), index=index, dtype=object)


def write_table(table: "pd.DataFrame", target: Path | IO[str]) -> None:
    """Write a table without its index as a CSV in UTF-8, each cell by `csv_cell`.

    Bytes of file names that are not UTF-8 are written as they are.
    """
    texts = table.select_dtypes(exclude=["number", "bool"])
    safe = table.assign(
        **{
            str(name): file_column(map(csv_cell, column), table.index)
            for name, column in texts.items()
        }
    )
    safe.to_csv(target, index=False, lineterminator="\n", errors="surrogateescape")
