"""What the page's tables say, as text: the template only sets it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from svmcifar.compare.report.formatting import (
    ABSENT,
    count,
    decimal,
    duration,
    percent,
    percent_range,
    points,
    shown,
    significant,
    size,
)
from svmcifar.compare.report.model_styles import ShownModel

Score = Mapping[str, Any]


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


def score_rows(scores: Mapping[str, Score], models: Sequence[ShownModel]) -> list[Row]:
    """Set every score of one set of labels.

    Parameters
    ----------
    scores : mapping
        By model id: `svmcifar.metrics.evaluation.Evaluation.to_dict`.
    models : sequence of ShownModel
        The columns; all must have scores.

    Returns
    -------
    list of Row
        Without the rows that no model has, such as the top-5 accuracy of 20 classes.
    """
    columns = [scores[model.id] for model in models]

    def row(name: str, key: str, text: Callable[..., str], lower: bool = False) -> Row:
        values = [column.get(key) for column in columns]
        return Row(name, tuple(text(value) for value in values), _best(values, lower))

    def percent2(rate: float | None) -> str:
        return percent(rate, 2)

    rows = [
        row("Accuracy", "accuracy", percent2),
        _plain_row("95 % interval", [_range(c["accuracy_interval"]) for c in columns]),
        _plain_row(
            "Right answers",
            [f"{count(c['n_correct'])} of {count(c['n_samples'])}" for c in columns],
        ),
        row("Top-5 accuracy", "top5_accuracy", percent2),
        row("Macro precision", "macro_precision", percent2),
        row("Macro recall", "macro_recall", percent2),
        row("Macro F1", "macro_f1", percent2),
        row("Cohen’s kappa", "cohen_kappa", decimal),
        row("Log loss, calibrated (nats)", "log_loss", decimal, lower=True),
        row("Log loss, as answered (nats)", "uncalibrated_log_loss", decimal, lower=True),
        _plain_row("Best class", [_extreme(c["best_class"]) for c in columns]),
        _plain_row("Worst class", [_extreme(c["worst_class"]) for c in columns]),
    ]
    return [row for row in rows if set(row.cells) != {ABSENT}]


def cost_rows(comparison: Mapping[str, Any]) -> list[Row]:
    """Set what each model costs.

    Parameters
    ----------
    comparison : mapping

    Returns
    -------
    list of Row
    """
    costs = [model["cost"] for model in comparison["models"]]

    def row(name: str, key: str, text: Callable[..., str], lower: bool | None = None) -> Row:
        values = [cost.get(key) for cost in costs]
        best = (False,) * len(values) if lower is None else _best(values, lower)
        return Row(name, tuple(text(value) for value in values), best)

    def per_mb(labels: str) -> Row:
        values = [cost["accuracy_per_mb"][labels] for cost in costs]
        name = {"coarse": "superclasses", "fine": "fine classes"}[labels]
        cells = tuple(significant(value) for value in values)
        return Row(f"Accuracy per MB, {name} (points)", cells, _best(values))

    def text(value: str | None) -> str:
        return value or ABSENT

    rows = [
        row("Training time", "training_s", duration, lower=True),
        row("Trained on", "training_hardware", text),
        row("Inference, images a second", "images_per_s", significant, lower=False),
        row("Inference, all images", "inference_s", duration, lower=True),
        row("of which features", "features_s", duration),
        row("Inference on", "inference_hardware", text),
        row("Model size", "n_bytes", size, lower=True),
        row("Learned parameters", "n_parameters", count),
        row("Support vectors", "n_support_vectors", count),
        per_mb("coarse"),
        per_mb("fine"),
    ]
    return [row for row in rows if set(row.cells) != {ABSENT}]


def recall_rows(
    scores: Mapping[str, Score], models: Sequence[ShownModel], pair: Sequence[ShownModel]
) -> list[dict[str, Any]]:
    """Set the classes' accuracies, sorted by the difference of two models.

    Parameters
    ----------
    scores : mapping
        By model id, for one set of labels.
    models : sequence of ShownModel
        Those that have scores.
    pair : sequence of two ShownModel
        The difference is the first one's accuracy minus the second one's.

    Returns
    -------
    list of dict
        ``name``, ``support``, ``difference`` (text), and ``bars``: a tuple of
        model, recall, and the low and high end of its 95 % interval as
        fractions, None for a class without images.  Ties stay in class order.
    """
    tables = {model.id: scores[model.id]["per_class"] for model in models}
    rows = []
    for i, entry in enumerate(tables[models[0].id]):
        bars = tuple(
            (m, *(tables[m.id][i][key] for key in ("recall", "recall_low", "recall_high")))
            for m in models
        )
        recalls = [tables[m.id][i]["recall"] for m in pair if m.id in tables]
        known = len(recalls) == 2 and None not in recalls
        gap = recalls[0] - recalls[1] if known else None
        rows.append(
            {
                "name": shown(entry["name"]),
                "support": entry["support"],
                "bars": bars,
                "gap": gap,
                "difference": points(gap),
            }
        )
    return sorted(rows, key=lambda row: -(row["gap"] if row["gap"] is not None else -2.0))


def flat_items(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Spread nested parameters out to one line each.

    Parameters
    ----------
    value : dict, list or plain value
    name : str
        What stands before the keys.

    Yields
    ------
    (str, str)
        Name with dots, and value as text; what is None is left out.
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


def _plain_row(name: str, cells: Sequence[str]) -> Row:
    return Row(name, tuple(cells), (False,) * len(cells))


def _best(values: Sequence[float | None], lower: bool = False) -> tuple[bool, ...]:
    """Mark the best of what is there; nothing where fewer than two are, or all are alike."""
    known = [value for value in values if value is not None]
    if len(set(known)) < 2:
        return (False,) * len(values)
    best = min(known) if lower else max(known)
    return tuple(value == best for value in values)


def _out_of(part: int, whole: int) -> str:
    return f"{count(part)} of {count(whole)}"


def _range(interval: Sequence[float]) -> str:
    low, high = interval
    return percent_range(low, high, 2)


def _extreme(extreme: Mapping[str, Any]) -> str:
    """Name a best or worst class with its accuracy, and how many share the place."""
    tied = f", and {len(extreme['tied_with'])} more" if extreme["tied_with"] else ""
    return f"{shown(extreme['name'])} ({percent(extreme['recall'])}{tied})"
