"""A search's result as text, as CSV, and as a config for `svmcifar train`."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from svmcifar.io.files import atomic_path
from svmcifar.tuning.result import SearchResult


def result_lines(result: SearchResult, n_rows: int = 10) -> list[str]:
    """Describe the best settings, one a line.

    Parameters
    ----------
    result : SearchResult
    n_rows : int, default=10
        Largest number of settings.

    Returns
    -------
    list of str
        A heading, the settings, and a footnote on the marks.
    """
    table = result.table
    with_components = table["n_components"].notna().all()
    heading = f"   {'accuracy':>9}  {_error_heading(result):<17}{'C':>9}  {'gamma':<20}"
    lines = [(heading + ("components" if with_components else "")).rstrip()]
    for row in table[:n_rows].itertuples():
        mark = "*" if row.within else " "
        components = f"{row.n_components}" if with_components else ""
        lines.append(
            f" {mark} {100 * row.score:7.2f} %  {_error(row):<17}{row.C:9g}  "
            f"{_gamma(row):<20}{components}".rstrip()
        )
    n_within = int(table["within"].sum())
    lines.append(
        f" * {n_within} of {len(table)} settings are within a standard error "
        f"({100 * result.best.std_error:.2f} points) of the best"
    )
    return lines


def _error_heading(result: SearchResult) -> str:
    return "95 % interval" if result.n_splits == 1 else f"over {result.n_splits} folds"


def _error(row: Any) -> str:
    if hasattr(row, "low"):
        return f"({100 * row.low:.2f}-{100 * row.high:.2f})"
    return f"+- {100 * row.std_error:.2f}"


def _gamma(row: Any) -> str:
    number = f"{row.gamma:.6g}"
    return f"{number} ({row.setting})" if row.setting.endswith("x") else number


def write_table(result: SearchResult, path: str | Path) -> None:
    """Write every setting as a CSV, the best first.

    Parameters
    ----------
    result : SearchResult
    path : str or Path

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    with atomic_path(path) as temporary:
        result.table.to_csv(temporary, index=False)


def write_config(
    path: str | Path, options: Mapping[str, Any], comments: Sequence[str] = ()
) -> None:
    """Write options of `svmcifar train` as flat TOML for its ``--config``.

    Parameters
    ----------
    path : str or Path
    options : mapping of str to str, int, float or list of these
        Options by their long name without dashes; those that are None are left out.
    comments : sequence of str
        Lines of comment before them.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    lines = [f"# {' '.join(comment.split())}" for comment in comments]
    lines += [f"{name} = {_toml(value)}" for name, value in options.items() if value is not None]
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _toml(value: Any) -> str:
    """Return a value as TOML; JSON's strings, numbers and lists of them are valid TOML."""
    return json.dumps(value, allow_nan=False)
