"""What others report of networks that `svmcifar train-cnn` has a preset for.

Reports found on the web, of the classes of CIFAR-100.
"""

from collections.abc import Mapping
from typing import NamedTuple

from svmcifar.compare.comparison import Comparison, ModelEntry
from svmcifar.compare.scores import ModelScores
from svmcifar.data.cifar100 import CIFAR_100
from svmcifar.data.dataset import CLASSES


class Report(NamedTuple):
    """What a report says of a network."""

    source: int  # number of the report
    network: str
    accuracy: float | None  # in percent; None if it has a curve alone
    images: str
    epochs: int | None  # None if it does not say
    how: str = ""


# By name of the preset; "reference" is trained without one.
REPORTS = {
    "reference": Report(0, "reference", 66.4, "test", 50, "at width 64"),
    "weak-baseline": Report(1, "weak baseline", 41.34, "test", 15),
    "refined": Report(1, "its refinement", 38.67, "test", 13),
    "tuned": Report(1, "tuned by Hyperband", 37.96, "test", 15),
    "snapshots": Report(1, "weak baseline, cyclic rate", 45.07, "test", 15, "one network"),
    "five-blocks": Report(2, "five blocks", 0.99, "test", None, "it did not learn"),
    "vgg16": Report(2, "VGG16 from random weights", None, "", None),
    "simple-cnn": Report(3, "SimpleCNN", 0.98, "validation", 5, "it did not learn"),
    "resnet34": Report(3, "ResNet-34", 56.77, "validation", 100),
    "resnet50": Report(3, "ResNet-50 from ImageNet, in two phases", 67.5, "validation", 110),
    "efficientnet": Report(4, "EfficientNet from ImageNet", 79.07, "test", 10),
    "vit": Report(4, "vision transformer from ImageNet", 90.88, "test", 5),
}


def reported_facts(comparison: Comparison) -> list[tuple[str, str]]:
    """List networks of known recipes: what is reported of each, and what was measured here."""
    scores = comparison.scores.get(CLASSES, {})
    if comparison.data.label != CIFAR_100.name:
        return []
    return [
        (entry.name, f"reported {describe_report(report)}; here {_measured(entry, scores)}")
        for entry in comparison.of_kind("cnn")
        if entry.id in scores and (report := REPORTS.get(_recipe_of(entry)))
    ]


def _recipe_of(entry: ModelEntry) -> str:
    """Return the preset of a network that was trained here, "" if there is none."""
    recipe = entry.made.get("recipe")
    if not isinstance(recipe, dict):
        return ""
    return str(recipe.get("preset") or recipe.get("arch", "reference"))


def describe_report(report: Report) -> str:
    """Write what a report says of a network, such as "41.34 % of test images, 15 epochs"."""
    if report.accuracy is None:
        return "a curve only"
    parts = [f"{report.accuracy:g} % of {report.images} images"]
    parts += [f"{report.epochs} epochs"] if report.epochs else []
    return ", ".join([*parts, report.how] if report.how else parts)


def _measured(entry: ModelEntry, scores: Mapping[str, ModelScores]) -> str:
    cost = entry.cost
    epochs = "" if cost.epochs is None else f" after {cost.epochs} epochs"
    width = entry.made["recipe"].get("width")
    at = f" at width {width}" if _recipe_of(entry) == "reference" else ""
    time = "" if cost.training_s is None else f", {cost.training_s / 60:.1f} min"
    where = "" if cost.training_hardware is None else f" on {cost.training_hardware}"
    return f"{100 * scores[entry.id].accuracy:.2f} % of test images{epochs}{at}{time}{where}"
