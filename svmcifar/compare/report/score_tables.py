"""What the page's tables say, as text: the template only sets it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from svmcifar.compare.report.formatting import (
    ABSENT,
    count,
    decimal,
    duration,
    is_known,
    percent,
    percent_range,
    points,
    shown,
    significant,
    size,
)
from svmcifar.compare.report.model_styles import ShownModel
from svmcifar.compare.report_content import Comparison
from svmcifar.compare.scores import ModelScores
from svmcifar.metrics.per_class import ClassExtreme


@dataclass(frozen=True)
class Row:
    """A row of a table whose columns are models.

    Attributes
    ----------
    name : str
    cells : tuple of str
        One a model.
    best : tuple of bool
        Which cells are the best of the row; none where there is nothing to choose.
    """

    name: str
    cells: tuple[str, ...]
    best: tuple[bool, ...]


@dataclass(frozen=True)
class Bar:
    """A model's accuracy on one class with its 95 % interval; None for a class without images."""

    model: ShownModel
    recall: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class ClassRow:
    """A class with every model's accuracy.

    Attributes
    ----------
    name : str
    support : int
        Images of the class.
    bars : tuple of Bar
        One a model.
    gap : float or None
        Difference of two models' accuracies.
    difference : str
        The same in points.
    """

    name: str
    support: int
    bars: tuple[Bar, ...]
    gap: float | None
    difference: str


def score_rows(scores: Mapping[str, ModelScores], models: Sequence[ShownModel]) -> list[Row]:
    """Lay out every score on one kind of labels, without the rows that no model has."""
    columns = [scores[model.id] for model in models]

    def percent2(rate: float | None) -> str:
        return percent(rate, 2)

    return _known_rows(
        _row("Accuracy", [c.accuracy for c in columns], percent2, max),
        _row("95 % interval", [c.accuracy_interval for c in columns], _range),
        _row("Right answers", columns, _right_answers),
        _row("Top-5 accuracy", [c.top5_accuracy for c in columns], percent2, max),
        _row("Macro precision", [c.macro_precision for c in columns], percent2, max),
        _row("Macro recall", [c.macro_recall for c in columns], percent2, max),
        _row("Macro F1", [c.macro_f1 for c in columns], percent2, max),
        _row("Cohen’s kappa", [c.cohen_kappa for c in columns], decimal, max),
        _row("Log loss, calibrated (nats)", [c.log_loss for c in columns], decimal, min),
        _row(
            "Log loss, as answered (nats)",
            [c.uncalibrated_log_loss for c in columns],
            decimal,
            min,
        ),
        _row("Best class", [c.best_class for c in columns], _extreme),
        _row("Worst class", [c.worst_class for c in columns], _extreme),
    )


def cost_rows(comparison: Comparison) -> list[Row]:
    """Lay out what each model costs, without the rows that no model has."""
    costs = [model.cost for model in comparison.models]

    def text(value: str | None) -> str:
        return value or ABSENT

    return _known_rows(
        _row("Training time", [c.training_s for c in costs], duration, min),
        _row("Trained on", [c.training_hardware for c in costs], text),
        _row("Inference, images a second", [c.images_per_s for c in costs], significant, max),
        _row("Inference, all images", [c.inference_s for c in costs], duration, min),
        _row("of which features", [c.features_s for c in costs], duration),
        _row("Inference on", [c.inference_hardware for c in costs], text),
        _row("Model size", [c.n_bytes for c in costs], size, min),
        _row("Learned parameters", [c.n_parameters for c in costs], count),
        _row("Support vectors", [c.n_support_vectors for c in costs], count),
        *(
            _row(
                f"Accuracy per MB, {comparison.words(kind)[1]} (points)",
                [c.accuracy_per_mb[kind] for c in costs],
                significant,
                max,
            )
            for kind in comparison.class_names
        ),
    )


def recall_rows(
    scores: Mapping[str, ModelScores],
    models: Sequence[ShownModel],
    rivals: tuple[ShownModel, ShownModel] | None = None,
) -> list[ClassRow]:
    """Lay out the classes' accuracies on one kind of labels.

    They are sorted by the accuracy of the first of two rivals minus that of the second, if these
    are given; ties stay in class order, classes without images come last.
    """
    tables = {model.id: scores[model.id].per_class.to_dict("records") for model in models}
    rows = []
    for i, of_class in enumerate(tables[models[0].id]):
        bars = tuple(
            Bar(m, *(_or_none(tables[m.id][i][k]) for k in ("recall", "recall_low", "recall_high")))
            for m in models
        )
        gap = None
        if rivals is not None:
            first, second = (tables[m.id][i]["recall"] for m in rivals)
            gap = _or_none(first - second)
        name, support = shown(of_class["name"]), of_class["support"]
        rows.append(ClassRow(name, support, bars, gap, points(gap)))
    return sorted(rows, key=lambda row: -(row.gap if row.gap is not None else -2.0))


def flat_items(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Spread nested parameters out to one line each: name with dots, value as text.

    What is None is left out.
    """
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from flat_items(item, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list | tuple) and any(isinstance(v, Mapping | list) for v in value):
        for number, item in enumerate(value, start=1):
            yield from flat_items(item, f"{name}.{number}")
    elif isinstance(value, list | tuple):
        yield name, ", ".join(map(str, value))
    elif value is not None:
        yield name, str(value)


def _row(
    name: str,
    values: Sequence[Any],
    text: Callable[[Any], str],
    choose: Callable[[list[float]], float] | None = None,
) -> Row:
    """Write a row; the best of it is what `choose` (min or max) picks, if two or more differ."""
    best = (False,) * len(values)
    if choose is not None:
        known = [value for value in values if is_known(value)]
        if len(set(known)) > 1:
            best = tuple(value == choose(known) for value in values)
    return Row(name, tuple(map(text, values)), best)


def _known_rows(*rows: Row) -> list[Row]:
    return [row for row in rows if set(row.cells) != {ABSENT}]


def _or_none(value: float) -> float | None:
    return value if is_known(value) else None


def _range(interval: tuple[float, float]) -> str:
    return percent_range(*interval, 2)


def _right_answers(scores: ModelScores) -> str:
    return f"{count(scores.n_correct)} of {count(scores.n_samples)}"


def _extreme(extreme: ClassExtreme) -> str:
    """Name a best or worst class with its accuracy, and how many share the place."""
    tied = f", and {len(extreme.tied_with)} more" if extreme.tied_with else ""
    return f"{shown(extreme.name)} ({percent(extreme.recall)}{tied})"
