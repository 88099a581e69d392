"""Write a search's result as text, and as a config for `svmcifar train`."""

import json
from collections.abc import Mapping, Sequence
from typing import IO, Any

from svmcifar.tuning.result import SearchResult


def result_lines(result: SearchResult, n_rows: int = 10) -> list[str]:
    """Return a heading, the best settings, at most `n_rows`, one a line, and a footnote."""
    table = result.table
    with_components = table["n_components"].notna().all()
    error = "95 % interval" if result.n_splits == 1 else f"over {result.n_splits} folds"
    heading = f"   {'accuracy':>9}  {error:<17}{'C':>9}  {'gamma':<20}"
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


def _error(row: Any) -> str:
    if hasattr(row, "low"):
        return f"({100 * row.low:.2f}-{100 * row.high:.2f})"
    return f"+- {100 * row.std_error:.2f}"


def _gamma(row: Any) -> str:
    number = f"{row.gamma:.6g}"
    return f"{number} ({row.setting})" if row.setting.endswith("x") else number


def write_config(file: IO[str], options: Mapping[str, Any], comments: Sequence[str] = ()) -> None:
    """Write options of `svmcifar train` as flat TOML for its ``--config``.

    `options` are text, numbers or lists of these by long name without dashes; None is left out.
    """
    lines = [f"# {' '.join(comment.split())}" for comment in comments]
    lines += [  # strings, numbers and lists of them are the same in JSON and in TOML
        f"{name} = {json.dumps(value, allow_nan=False)}"
        for name, value in options.items()
        if value is not None
    ]
    file.write("\n".join(lines) + "\n")
