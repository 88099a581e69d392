"""What others report of networks that `svmcifar train-cnn` has a preset for.

Reports found on the web, of the classes of CIFAR-100.
"""

from typing import NamedTuple

from svmcifar.compare.comparison import Comparison, ModelEntry
from svmcifar.data.cifar100 import CIFAR_100
from svmcifar.data.dataset import CLASSES


class _Report(NamedTuple):
    accuracy: float  # in percent
    images: str
    epochs: int
    how: str = ""


# By name of the preset; "reference" is trained without one.
_REPORTS = {
    "reference": _Report(66.4, "test", 50, "at width 64"),
    "weak-baseline": _Report(41.34, "test", 15),
    "refined": _Report(38.67, "test", 15),
    "tuned": _Report(37.96, "test", 15),
    "snapshots": _Report(45.07, "test", 15, "the best epoch, not the ensemble"),
    "five-blocks": _Report(0.99, "test", 15, "it did not learn"),
    "simple-cnn": _Report(0.98, "validation", 5, "it did not learn"),
    "resnet34": _Report(56.77, "validation", 100, "from weights for ImageNet"),
    "resnet50": _Report(67.5, "validation", 110, "from weights for ImageNet"),
    "efficientnet": _Report(79.07, "test", 10, "from weights for ImageNet"),
    "vit": _Report(90.88, "test", 5, "from weights for ImageNet"),
}


def reported_facts(comparison: Comparison) -> list[tuple[str, str]]:
    """List networks of known recipes: what is reported of each, and what was measured here."""
    scores = comparison.scores.get(CLASSES, {})
    if comparison.data.label != CIFAR_100.name:
        return []
    return [
        (entry.name, f"{_reported(report)}; here {_measured(entry, scores[entry.id].accuracy)}")
        for entry in comparison.of_kind("cnn")
        if entry.id in scores and (report := _REPORTS.get(_recipe_of(entry)))
    ]


def _recipe_of(entry: ModelEntry) -> str:
    """Return the preset of a network that was trained here, "" if there is none."""
    recipe = entry.made.get("recipe")
    if not isinstance(recipe, dict):
        return ""
    return str(recipe.get("preset") or recipe.get("arch", "reference"))


def _reported(report: _Report) -> str:
    how = f" ({report.how})" if report.how else ""
    images = f"{report.images} images after {report.epochs} epochs"
    return f"reported {report.accuracy:g} % of {images}{how}"


def _measured(entry: ModelEntry, accuracy: float) -> str:
    cost = entry.cost
    epochs = "" if cost.epochs is None else f" after {cost.epochs} epochs"
    width = entry.made["recipe"].get("width")
    at = f" at width {width}" if _recipe_of(entry) == "reference" else ""
    time = "" if cost.training_s is None else f", {cost.training_s / 60:.1f} min"
    where = "" if cost.training_hardware is None else f" on {cost.training_hardware}"
    return f"{100 * accuracy:.2f} % of test images{epochs}{at}{time}{where}"
