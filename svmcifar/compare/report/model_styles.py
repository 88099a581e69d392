"""How the models of a comparison are told apart: a colour, a marker and a name each."""

from dataclasses import dataclass
from typing import NamedTuple

from svmcifar.compare.report_content import Comparison


class Style(NamedTuple):
    """A model's colour on white paper, and its marker on the page and in Matplotlib."""

    colour: str
    shape: str
    marker: str


# Okabe and Ito's colours, darkened where white paper needs it; a marker goes with each, for print
# and colour-blind readers.  style.css has the colours of dark screens.
STYLES = {
    "svm": Style("#0072b2", "square", "s"),
    "cnn1": Style("#d55e00", "circle", "o"),
    "ensemble": Style("#008f68", "diamond", "D"),
    "cnn2": Style("#b0508a", "triangle", "^"),
    "cnn3": Style("#a06e00", "hexagon", "h"),
    "cnn4": Style("#5a5f66", "cross", "P"),
}
_N_CNN_STYLES = 4


@dataclass(frozen=True)
class ShownModel:
    """A model as the page shows it.

    Attributes
    ----------
    id : str
        Key of the scores and predictions.
    kind : {"cnn", "ensemble", "svm"}
    name : str
    slot : str
        Key of its style in `STYLES`.
    """

    id: str
    kind: str
    name: str
    slot: str

    @property
    def style(self) -> Style:
        """Its colour and markers."""
        return STYLES[self.slot]


def show_models(comparison: Comparison) -> list[ShownModel]:
    """Choose a colour and a marker for each model, in order; beyond four CNNs they come again."""
    shown, n_cnns = [], 0
    for model in comparison.models:
        slot = model.kind
        if slot == "cnn":
            slot = f"cnn{n_cnns % _N_CNN_STYLES + 1}"
            n_cnns += 1
        shown.append(ShownModel(model.id, model.kind, model.name, slot))
    return shown


def rivals(comparison: Comparison, models: list[ShownModel]) -> tuple[ShownModel, ShownModel]:
    """Return the leading network and the SVM, which pictures and differences are about."""
    by_id = {model.id: model for model in models}
    return by_id[comparison.disagreements.a], by_id[comparison.disagreements.b]
