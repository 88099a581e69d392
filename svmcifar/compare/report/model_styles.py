"""How the models of a comparison are told apart: a colour, a marker and a name each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# Colours are named in style.css; a shape goes with each, for print and colour-blind readers.
_SHAPES = {
    "svm": "square", "ensemble": "diamond", "cnn1": "circle", "cnn2": "triangle",
    "cnn3": "hexagon", "cnn4": "cross",
}  # fmt: skip
_N_CNN_COLOURS = 4


@dataclass(frozen=True)
class ShownModel:
    """A model as the page shows it.

    Attributes
    ----------
    id : str
        Key of the scores and answers.
    kind : {"cnn", "ensemble", "svm"}
    name : str
    slot : str
        Name of its colour: "svm", "ensemble", "cnn1", ..., "cnn4".
    shape : str
        Name of its marker.
    """

    id: str
    kind: str
    name: str
    slot: str
    shape: str


def show_models(comparison: Mapping[str, Any]) -> list[ShownModel]:
    """Give each model of a comparison its colour and marker.

    Parameters
    ----------
    comparison : mapping
        With ``models``.  Beyond four CNNs the colours come again.

    Returns
    -------
    list of ShownModel
        In the order of ``models``.
    """
    shown, n_cnns = [], 0
    for model in comparison["models"]:
        kind = model["kind"]
        if kind == "cnn":
            slot = f"cnn{n_cnns % _N_CNN_COLOURS + 1}"
            n_cnns += 1
        else:
            slot = kind
        shown.append(ShownModel(model["id"], kind, model["name"], slot, _SHAPES[slot]))
    return shown


def rivals(
    comparison: Mapping[str, Any], models: Sequence[ShownModel]
) -> tuple[ShownModel, ShownModel]:
    """Find the two models that pictures and per-class differences are about.

    Parameters
    ----------
    comparison : mapping
        With ``disagreements``.
    models : sequence of ShownModel

    Returns
    -------
    network, svm : ShownModel
        The ensemble or the first CNN, and the SVM.
    """
    by_id = {model.id: model for model in models}
    return by_id[comparison["disagreements"]["a"]], by_id[comparison["disagreements"]["b"]]
