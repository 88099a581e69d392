"""What a search found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from svmcifar.metrics.per_class import accuracy_interval
from svmcifar.svm.path.evaluate import Scored
from svmcifar.svm.path.grid import Grid, Point


class RoundScores(NamedTuple):
    """What one round of a search found; a full grid is one round.

    Attributes
    ----------
    points : sequence of Point
    scored : sequence of Scored
        One a split.
    """

    points: Sequence[Point]
    scored: Sequence[Scored]


class Best(NamedTuple):
    """The setting that won.

    Attributes
    ----------
    C : float
    gamma : float
        The kernel coefficient; the mean over the splits where it is a multiple of their "scale".
    n_components : int or None
    score : float
        Its accuracy on held-out samples, the mean over the splits.
    std_error : float
        Of the score: over the splits, or with one split that of a share.
    point : Point
        The setting as the grid has it.
    """

    C: float
    gamma: float
    n_components: int | None
    score: float
    std_error: float
    point: Point


@dataclass(frozen=True)
class SearchResult:
    """What a search found.

    Attributes
    ----------
    grid : Grid
    best : Best
        The highest score; of those tied the smallest C, then the smallest gamma, then the fewest
        components.
    table : DataFrame
        One row a setting, the best first: ``C``, ``gamma`` (mean over the splits), ``setting``
        (gamma as the grid has it), ``n_components``, ``score``, ``std_error``, ``within`` (whether
        the score is within a standard error of the best), ``round``, ``n_train``, ``n_held_out``
        (of the first split), ``split_1`` and so on, ``low`` and ``high`` (95 % interval, with one
        split alone), ``n_iter`` (SMO steps on all splits), ``unconverged`` (pairs), ``n_support``
        (mean over the splits).  Settings that did not reach the last round of a halving come after
        those that did, with what they got in their last one.
    times : dict
        Seconds: ``features_s``, ``solve_s``, ``score_s``.
    memory_plan : str
        Of the last split.
    """

    grid: Grid
    best: Best
    table: pd.DataFrame
    times: Mapping[str, float]
    memory_plan: str

    @property
    def n_splits(self) -> int:
        """How many times a part was held out."""
        return sum(name.startswith("split_") for name in self.table.columns)

    @property
    def edges(self) -> list[str]:
        """Say for which values the best lies at the edge of what was searched."""
        point = self.best.point
        found = []
        for name, value, values in (
            ("C", point.C, self.grid.C),
            ("gamma", point.gamma, self.grid.gamma),
            ("number of components", point.n_components, self.grid.n_components),
        ):
            if len(values) > 1 and value in (values[0], values[-1]):
                end = "largest" if value == values[-1] else "smallest"
                shown = f"{value:g}" if isinstance(value, float) else value
                found.append(f"the best {name}, {shown}, is the {end} that was searched")
        return found


def make_result(
    grid: Grid, rounds: Sequence[RoundScores], times: Mapping[str, float]
) -> SearchResult:
    """Put scores together.

    Parameters
    ----------
    grid : Grid
    rounds : sequence of RoundScores
        The last one decides.
    times : mapping

    Returns
    -------
    SearchResult
    """
    tables = [_table(*scores, number) for number, scores in enumerate(rounds, 1)]
    # A point counts with the last round it was in; sorting is stable, so ties keep their order.
    table = pd.concat(tables[::-1]).drop_duplicates(["C", "setting", "n_components"])
    table = table.sort_values(["round", "score"], ascending=False, kind="stable", ignore_index=True)
    first = table.iloc[0]
    last_round = table["round"] == first["round"]
    within = last_round & (table["score"] >= first["score"] - first["std_error"])
    table.insert(table.columns.get_loc("std_error") + 1, "within", within)
    of_best = [p for p in rounds[-1].points if _key(p) == _key_of_row(first)]
    best = Best(
        float(first["C"]),
        float(first["gamma"]),
        of_best[0].n_components,
        float(first["score"]),
        float(first["std_error"]),
        of_best[0],
    )
    return SearchResult(grid, best, table, dict(times), rounds[-1].scored[-1].memory_plan)


def _key(point: Point) -> tuple[float, str, int]:
    return point.C, str(point.gamma), point.n_components or 0


def _key_of_row(row: pd.Series) -> tuple[float, str, int]:
    return row["C"], row["setting"], 0 if pd.isna(row["n_components"]) else row["n_components"]


def _table(points: Sequence[Point], scored: Sequence[Scored], number: int) -> pd.DataFrame:
    """Lay out one round, in the order of its points."""
    accuracy = np.stack([split.accuracy for split in scored], axis=1)
    gammas = np.stack([split.gamma for split in scored], axis=1)
    n_splits = len(scored)
    score = accuracy.mean(axis=1)
    columns: dict[str, Any] = {
        "C": [point.C for point in points],
        "gamma": [
            np.mean(values) if point.gamma.times_scale else point.gamma.number
            for point, values in zip(points, gammas, strict=True)
        ],
        "setting": [str(point.gamma) for point in points],
        "n_components": pd.array([point.n_components for point in points], dtype="Int64"),
        "score": score,
        "std_error": accuracy.std(axis=1, ddof=1) / np.sqrt(n_splits)
        if n_splits > 1
        else np.sqrt(score * (1 - score) / scored[0].n_held_out),
        "round": number,
        "n_train": scored[0].n_train,
        "n_held_out": scored[0].n_held_out,
    }
    columns |= {f"split_{i}": accuracy[:, i - 1] for i in range(1, n_splits + 1)}
    if n_splits == 1:
        n = scored[0].n_held_out
        bounds = [accuracy_interval(round(share * n), n) for share in score]
        columns["low"], columns["high"] = np.transpose(bounds)
    columns["n_iter"] = np.sum([split.n_iter for split in scored], axis=0)
    columns["unconverged"] = np.sum([split.unconverged for split in scored], axis=0)
    columns["n_support"] = np.mean([split.n_support for split in scored], axis=0)
    return pd.DataFrame(columns)
