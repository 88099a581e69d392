"""The result of a search: a table of settings and scores, and the best of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from svmcifar.metrics.per_class import accuracy_interval
from svmcifar.svm.estimator import SVC
from svmcifar.svm.path.evaluate import Scored
from svmcifar.svm.path.grid import Grid, Point


class Best(NamedTuple):
    """The setting with the highest score."""

    C: float
    gamma: float  # the mean over the splits of a multiple of their "scale"
    n_components: int | None
    score: float  # accuracy on held-out samples, the mean over the splits
    std_error: float  # of the score: over the splits, or with one split that of a proportion
    point: Point  # the setting as the grid has it


@dataclass(frozen=True)
class SearchResult:
    """The result of a search.

    Attributes
    ----------
    grid : Grid
    best : Best
        The highest score; of those tied the smallest C, then the smallest gamma, then the fewest
        components.
    table : DataFrame
        One row a setting, the best first: ``C``, ``gamma`` (mean over the splits), ``setting``
        (gamma as the grid has it), ``n_components``, ``score``, ``std_error``, ``within`` (whether
        the score is within a standard error of the best), ``n_train``, ``n_held_out`` (of the
        first split), ``split_1`` and so on, ``low`` and ``high`` (95 % interval, with one split
        alone), ``n_iter`` (SMO steps on all splits), ``unconverged`` (pairs), ``n_support`` (mean
        over the splits).
    times : mapping
        Seconds: ``features_s``, ``solve_s``, ``score_s``.
    memory_plan : str
        Of the last split.
    best_estimator : SVC or None
        With the best setting, fitted on all samples; None if it was not.
    """

    grid: Grid
    best: Best
    table: pd.DataFrame
    times: Mapping[str, float]
    memory_plan: str
    best_estimator: SVC | None = None

    @property
    def n_splits(self) -> int:
        """Number of held-out parts."""
        return sum(name.startswith("split_") for name in self.table.columns)

    @property
    def edges(self) -> list[str]:
        """A sentence for each value of the best setting that is at an end of the grid."""
        point = self.best.point
        sentences = []
        for name, value, values in (
            ("C", point.C, self.grid.C),
            ("gamma", point.gamma, self.grid.gamma),
            ("number of components", point.n_components, self.grid.n_components),
        ):
            if len(values) > 1 and value in (values[0], values[-1]):
                end = "largest" if value == values[-1] else "smallest"
                shown = f"{value:g}" if isinstance(value, float) else value
                sentences.append(f"the best {name}, {shown}, is the {end} that was searched")
        return sentences


def make_result(grid: Grid, scored: Sequence[Scored], times: Mapping[str, float]) -> SearchResult:
    """Rank the settings of a grid by their scores, one `Scored` a split."""
    points = grid.points
    table = _table(points, scored)
    order = np.argsort(-table["score"].to_numpy(), kind="stable")  # ties keep the grid's order
    table = table.iloc[order].reset_index(drop=True)
    first = table.iloc[0]
    within = table["score"] >= first["score"] - first["std_error"]
    table.insert(table.columns.get_loc("std_error") + 1, "within", within)
    point = points[order[0]]
    best = Best(
        C=point.C,
        gamma=float(first["gamma"]),
        n_components=point.n_components,
        score=float(first["score"]),
        std_error=float(first["std_error"]),
        point=point,
    )
    return SearchResult(grid, best, table, dict(times), scored[-1].memory_plan)


def _table(points: Sequence[Point], scored: Sequence[Scored]) -> pd.DataFrame:
    """Build the table of settings and scores, in the order of the points."""
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
