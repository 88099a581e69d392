"""Confusion matrices of many classes as pictures of one colour, sorted by superclass."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from svmcifar.compare.comparison import Comparison
from svmcifar.compare.report.chart_layout import frequent_mistakes
from svmcifar.compare.report.model_styles import ShownModel
from svmcifar.data.dataset import CLASSES, SUPERCLASSES
from svmcifar.plots.confusion_matrix import row_shares, share_shade
from svmcifar.text import shown_name

MOST_WITH_NUMBERS = 30  # classes of a matrix that is a table
_CELLS_A_LETTER = 0.6  # names are as high as a cell


@dataclass(frozen=True)
class Block:
    """Successive rows and columns of one superclass."""

    name: str
    start: int
    size: int


@dataclass(frozen=True)
class ConfusionMap:
    """A confusion matrix as an SVG of a unit a class."""

    model: ShownModel
    title: str  # of the classes
    words: str  # for the classes, in the plural
    accuracy: float
    names: list[str]  # of the classes, in the order of rows and columns
    blocks: list[Block]  # none without superclasses
    paths: list[tuple[int, str]]  # shade, and the SVG path of its cells
    mistakes: list[str]
    is_small: bool  # whether it stands for a table that is too wide for a narrow screen

    @property
    def left(self) -> int:
        """Room for the longest name of a class, in cells."""
        return math.ceil(max(map(len, self.names)) * _CELLS_A_LETTER) + 1

    @property
    def right(self) -> int:
        """Room for the longest name of a superclass."""
        return math.ceil(max((len(b.name) for b in self.blocks), default=0) * _CELLS_A_LETTER) + 1


def draw_maps(comparison: Comparison, models: Sequence[ShownModel]) -> list[ConfusionMap]:
    """Draw the matrix of each model and each kind of labels.

    Of few classes only those of the main kind, whose tables narrow screens do not hold.
    """
    maps = []
    for kind, scores in comparison.scores.items():
        names = list(map(shown_name, comparison.class_names[kind]))
        is_small = len(names) <= MOST_WITH_NUMBERS
        if is_small and kind != comparison.main_kind:
            continue
        order, blocks = class_order(comparison, kind)
        for model in models:
            if model.id in scores:
                confusion = scores[model.id].confusion
                maps.append(
                    ConfusionMap(
                        model,
                        comparison.title_of(kind),
                        comparison.words(kind)[1],
                        scores[model.id].accuracy,
                        [names[i] for i in order],
                        blocks,
                        _paths(confusion[np.ix_(order, order)]),
                        frequent_mistakes(confusion, names),
                        is_small,
                    )
                )
    return maps


def class_order(comparison: Comparison, kind: str) -> tuple[list[int], list[Block]]:
    """Return ids sorted by superclass, and the superclasses; classes as they are without any."""
    n_classes = len(comparison.class_names[kind])
    if kind != CLASSES or comparison.superclass_of is None:
        return list(range(n_classes)), []
    superclass_of = np.array(comparison.superclass_of)
    order = np.argsort(superclass_of, kind="stable")
    starts = np.searchsorted(superclass_of[order], np.arange(superclass_of.max() + 2))
    names = comparison.class_names[SUPERCLASSES]
    blocks = [
        Block(shown_name(names[i]), int(start), int(stop - start))
        for i, (start, stop) in enumerate(pairwise(starts))
        if stop > start
    ]
    return order.tolist(), blocks


def _paths(confusion: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> list[tuple[int, str]]:
    """Return a path of unit squares for each shade but the lightest."""
    squares: dict[int, list[str]] = {}
    for (row, column), share in np.ndenumerate(row_shares(confusion)):
        if shade := share_shade(share):
            squares.setdefault(shade, []).append(f"M{column} {row}h1v1h-1z")
    return [(shade, "".join(squares[shade])) for shade in sorted(squares)]
