"""The content of the page's tables, as text."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from svmcifar.compare.comparison import ClassTest, Comparison
from svmcifar.compare.conclusions import LEVEL
from svmcifar.compare.machines import are_same
from svmcifar.compare.report.formatting import (
    ABSENT,
    count,
    decimal,
    duration,
    is_known,
    percent,
    percent_range,
    plain_text,
    points,
    significant,
    size,
)
from svmcifar.compare.report.model_styles import ShownModel
from svmcifar.compare.scores import ModelScores
from svmcifar.metrics.per_class import ClassExtreme
from svmcifar.text import shown_name

_UNKNOWN = "unknown"


@dataclass(frozen=True)
class Row:
    """A row of a table with a column per model."""

    name: str
    cells: list[str]
    best: list[bool]  # by cell; none is best where all are equal


@dataclass(frozen=True)
class Bar:
    """A model's accuracy on one class with its 95 % interval; NaN for a class without images."""

    model: ShownModel
    recall: float
    low: float
    high: float


@dataclass(frozen=True)
class ClassRow:
    """A class with every model's accuracy."""

    name: str
    support: int  # images of the class
    bars: list[Bar]  # one per model
    gap: float  # difference of two models' accuracies, or NaN
    difference: str  # the same in points
    is_shown: bool  # whether a paired test shows it, corrected for the number of classes


def score_rows(scores: Mapping[str, ModelScores], models: Sequence[ShownModel]) -> list[Row]:
    """Lay out every score on one kind of labels, without the rows that no model has."""
    columns = [scores[model.id] for model in models]
    percent2 = partial(percent, decimals=2)
    uncalibrated = [c.uncalibrated_log_loss for c in columns]
    return known_rows(
        make_row("Accuracy", [c.accuracy for c in columns], percent2, max),
        make_row("95 % interval", [c.accuracy_interval for c in columns], _range),
        make_row("Right answers", columns, _right_answers),
        make_row("Top-5 accuracy", [c.top5_accuracy for c in columns], percent2, max),
        make_row("Macro precision", [c.macro_precision for c in columns], percent2, max),
        make_row("Macro recall", [c.macro_recall for c in columns], percent2, max),
        make_row("Macro F1", [c.macro_f1 for c in columns], percent2, max),
        make_row("Cohen’s kappa", [c.cohen_kappa for c in columns], decimal, max),
        make_row("Log loss, calibrated (nats)", [c.log_loss for c in columns], decimal, min),
        make_row("Log loss, as answered (nats)", uncalibrated, decimal, min),
        make_row("Calibration error", [c.calibration_error for c in columns], percent2, min),
        make_row("More confident half", [c.confident_accuracy for c in columns], percent2, max),
        make_row("Best class", [c.best_class for c in columns], _extreme),
        make_row("Worst class", [c.worst_class for c in columns], _extreme),
    )


def cost_rows(comparison: Comparison) -> list[Row]:
    """Lay out what each model costs, without the rows that no model has."""
    costs = [model.cost for model in comparison.models]
    machines = [cost.training_machine for cost in costs]
    load = partial(decimal, decimals=1)
    least = min if are_same(machines) else None  # no best of times that do not compare

    def text(value: str | None) -> str:
        return value or ABSENT

    return known_rows(
        make_row("Training, CPU time", [c.training_cpu_s for c in costs], duration, least),
        make_row("Training, on the clock", [c.training_s for c in costs], duration, least),
        make_row("Epochs", [c.epochs for c in costs], count),
        make_row("An epoch, on the clock", [c.epoch_s for c in costs], duration, least),
        make_row("Training threads", [m.threads for m in machines], count),
        make_row("Training processor", [m.processor for m in machines], text),
        make_row("Its cores", [m.cores for m in machines], count),
        make_row("Trained on", [c.training_hardware for c in costs], text),
        make_row("Inference, CPU time", [c.inference_cpu_s for c in costs], duration, min),
        make_row("Inference, on the clock", [c.inference_s for c in costs], duration, min),
        make_row("of which features", [c.features_s for c in costs], duration),
        make_row("Inference, images a second", [c.images_per_s for c in costs], significant, max),
        make_row("Load average before", [c.inference_load for c in costs], load),
        make_row("Inference on", [c.inference_hardware for c in costs], text),
        make_row("Model size", [c.n_bytes for c in costs], size, min),
        make_row("Learned parameters", [c.n_parameters for c in costs], count),
        make_row("Support vectors", [c.n_support_vectors for c in costs], count),
    )


def terms_rows(comparison: Comparison) -> list[Row]:
    """Lay out on what terms each model was trained; what is not known is said so."""
    terms = [model.terms for model in comparison.models]

    def number(value: int | None) -> str:
        return _UNKNOWN if value is None else count(value)

    def text(value: str | None) -> str:
        return value or _UNKNOWN

    return [
        make_row("Training images", [t.n_images for t in terms], number),
        make_row("Held out of them", [t.n_held_out for t in terms], number),
        make_row("Augmentation", [t.augmentation for t in terms], text),
        make_row("Seed", [t.seed for t in terms], number),
        make_row("Stored weights", [t.stored_weights for t in terms], text),
        make_row("Settings searched", [t.n_settings for t in terms], number),
    ]


def seed_facts(comparison: Comparison) -> list[tuple[str, str]]:
    """List mean and spread of models that differ in their seed alone."""
    facts = []
    for group in comparison.seeds:
        names = ", ".join(comparison.model(model_id).name for model_id in group.models)
        for kind, spread in group.accuracy.items():
            facts.append(
                (
                    f"{names}, {comparison.title_of(kind)}",
                    f"{percent(spread.mean, 2)} ± {points(spread.std, 2).lstrip('+')} points "
                    f"({percent_range(spread.low, spread.high, 2)}), seeds "
                    f"{', '.join(map(str, group.seeds))}",
                )
            )
    return facts


def rule_rows(comparison: Comparison, models: Sequence[ShownModel]) -> list[Row]:
    """Lay out each model's superclass accuracy by either rule."""
    percent2 = partial(percent, decimals=2)
    rows = []
    for by in comparison.superclasses:
        columns = [by.scores[model.id] for model in models]
        name = {"mapped": "Answered class mapped up", "summed": "Probabilities summed"}[by.rule]
        rows.append(make_row(name, [c.accuracy for c in columns], percent2, max))
        rows.append(make_row("95 % interval", [c.accuracy_interval for c in columns], _range))
    return rows


def recall_rows(
    scores: Mapping[str, ModelScores],
    models: Sequence[ShownModel],
    rivals: tuple[ShownModel, ShownModel] | None = None,
    tests: Sequence[ClassTest] = (),
) -> list[ClassRow]:
    """Lay out the classes' accuracies on one kind of labels.

    With two rivals, classes are sorted by the accuracy of the first minus that of the second; ties
    stay in class order, classes without images come last.  `tests` are those of the rivals.
    """
    rows = []
    shown = {test.class_id for test in tests if test.holm_p < LEVEL}
    for of_class in zip(*(scores[m.id].per_class.itertuples() for m in models), strict=True):
        bars = [
            Bar(model, c.recall, c.recall_low, c.recall_high)
            for model, c in zip(models, of_class, strict=True)
        ]
        gap = math.nan
        if rivals is not None:
            first, second = (bars[models.index(model)].recall for model in rivals)
            gap = first - second
        name = shown_name(of_class[0].name)
        is_shown = of_class[0].class_id in shown
        rows.append(ClassRow(name, of_class[0].support, bars, gap, points(gap), is_shown))
    return sorted(rows, key=lambda row: -row.gap if is_known(row.gap) else 2.0)


def flat_items(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Flatten nested parameters to names with dots and values as text, without None."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from flat_items(item, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list | tuple) and any(isinstance(v, Mapping | list) for v in value):
        for number, item in enumerate(value, start=1):
            yield from flat_items(item, f"{name}.{number}")
    elif isinstance(value, list | tuple):
        yield name, ", ".join(map(plain_text, value))
    elif value is not None:
        yield name, plain_text(value)


def make_row(
    name: str,
    values: Sequence[Any],
    text: Callable[[Any], str],
    choose: Callable[[list[float]], float] | None = None,
) -> Row:
    """Write a row, whose best is chosen by min or max if two or more differ."""
    best = [False] * len(values)
    if choose is not None:
        known = [value for value in values if is_known(value)]
        if len(set(known)) > 1:
            best = [value == choose(known) for value in values]
    return Row(name, list(map(text, values)), best)


def known_rows(*rows: Row) -> list[Row]:
    """Leave out the rows that no model has."""
    return [row for row in rows if set(row.cells) != {ABSENT}]


def _range(interval: tuple[float, float]) -> str:
    return percent_range(*interval, 2)


def _right_answers(scores: ModelScores) -> str:
    return f"{count(scores.n_correct)} of {count(scores.n_samples)}"


def _extreme(extreme: ClassExtreme) -> str:
    """Name a best or worst class with its accuracy and the number of others with the same."""
    tied = f", and {len(extreme.tied_with)} more" if extreme.tied_with else ""
    return f"{shown_name(extreme.name)} ({percent(extreme.recall)}{tied})"
