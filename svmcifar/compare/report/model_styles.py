"""Styles of the models of a comparison: a colour and a marker each."""

from dataclasses import dataclass
from itertools import cycle
from typing import NamedTuple

from svmcifar.compare.comparison import Comparison
from svmcifar.text import one_line


class Style(NamedTuple):
    """A model's colour on white paper, and its marker on the page and in Matplotlib."""

    colour: str
    shape: str
    marker: str


# Okabe and Ito's colours, darkened where white paper needs it; a marker goes with each, for print
# and colour-blind readers.  style.css has the colours of dark screens.
_MOST_SHOWN = 30  # letters of a model's name

STYLES = {
    "svm": Style("#0072b2", "square", "s"),
    "cnn1": Style("#d55e00", "circle", "o"),
    "ensemble": Style("#008f68", "diamond", "D"),
    "cnn2": Style("#b0508a", "triangle", "^"),
    "cnn3": Style("#a06e00", "hexagon", "h"),
    "cnn4": Style("#5a5f66", "cross", "P"),
    "cnn5": Style("#5c7a00", "leftward", "<"),
    "cnn6": Style("#b3253c", "saltire", "X"),
    "cnn7": Style("#7a4fbf", "pentagon", "p"),
    "cnn8": Style("#8a5a44", "rightward", ">"),
    "svm2": Style("#4a4fc4", "wedge", "v"),
    "svm3": Style("#00808f", "star", "*"),
}


@dataclass(frozen=True)
class ShownModel:
    """A model as the page shows it."""

    id: str  # key of the scores and predictions
    kind: str  # "cnn", "ensemble" or "svm"
    name: str
    slot: str  # key of its style in `STYLES`

    @property
    def style(self) -> Style:
        """Its colour and markers."""
        return STYLES[self.slot]


def show_models(comparison: Comparison) -> list[ShownModel]:
    """Choose a style for each model, in order; they repeat from the ninth CNN or fourth SVM on."""
    slots = {
        kind: cycle([slot for slot in STYLES if slot.startswith(kind)])
        for kind in ("cnn", "ensemble", "svm")
    }
    names = _short_names([m.name for m in comparison.models])
    return [
        ShownModel(m.id, m.kind, name, next(slots[m.kind]))
        for m, name in zip(comparison.models, names, strict=True)
    ]


def _short_names(names: list[str]) -> list[str]:
    """Return names that columns and legends hold: cut in their middle, numbered if then alike."""
    short: list[str] = []
    for name in map(one_line, names):
        if len(name) > _MOST_SHOWN:
            name = f"{name[: _MOST_SHOWN // 2].rstrip()}…{name[1 - _MOST_SHOWN // 2 :].lstrip()}"
        numbered, number = name, 2
        while numbered in short:
            numbered, number = f"{name} ({number})", number + 1
        short.append(numbered)
    return short


def rivals(comparison: Comparison, models: list[ShownModel]) -> tuple[ShownModel, ShownModel]:
    """Return the two models whose differences are shown, those of `Comparison.disagreements`."""
    by_id = {model.id: model for model in models}
    return by_id[comparison.disagreements.a], by_id[comparison.disagreements.b]
