"""The comparison's numbers as JSON and CSV files."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from svmcifar.compare.comparison import Comparison
from svmcifar.compare.predictions import Predictions
from svmcifar.data.dataset import Split
from svmcifar.io.csv_files import file_column, write_table

_SCORES = (
    "n_samples", "n_correct", "accuracy", "top5_accuracy", "macro_precision", "macro_recall",
    "macro_f1", "cohen_kappa", "log_loss", "uncalibrated_log_loss",
    "calibration_error", "confident_accuracy",
)  # fmt: skip
_OF_CLASS = ("correct", "recall", "recall_low", "recall_high", "precision", "f1")


def write_json(comparison: Comparison, folder: Path) -> None:
    """Write ``report.json``."""
    text = json.dumps(comparison.to_json(), indent=1, allow_nan=False)
    (folder / "report.json").write_text(text + "\n")


def write_tables(
    comparison: Comparison, predictions: Mapping[str, Predictions], test: Split, folder: Path
) -> dict[str, str]:
    """Write the CSV files, from predictions by model id; return their names by content."""
    tables = {
        "predictions": _predictions(comparison, predictions, test),
        "scores": _scores(comparison),
        "costs": _costs(comparison),
        **{f"classes_{kind}": _classes(comparison, kind) for kind in comparison.class_names},
        "paired": _paired(comparison),
        "paired_classes": _class_tests(comparison),
    }
    names = {key: f"{key.replace('_', '-')}.csv" for key in tables}
    for key, table in tables.items():
        write_table(table, folder / names[key])
    return names


def _predictions(
    comparison: Comparison, predictions: Mapping[str, Predictions], test: Split
) -> pd.DataFrame:
    columns: dict[str, Any] = {
        "index": range(len(test.images)),
        "filename": file_column(test.filenames),
    }
    for kind in reversed(comparison.class_names):
        ids, names = test.labels[kind], comparison.class_names[kind]
        columns |= {f"true_{kind}": ids, f"true_{kind}_name": [names[i] for i in ids]}
    main = comparison.main_kind
    for model_id, predicted in predictions.items():
        for kind in comparison.class_names:
            columns[f"{model_id}_{kind}"] = predicted.ids.get(kind, "")
        if predicted.score_kind == "probabilities":
            of_answer = np.take_along_axis(
                predicted.scores[main], predicted.ids[main][:, None], axis=1
            )
            columns[f"{model_id}_{main}_probability"] = of_answer[:, 0].round(6)
    return pd.DataFrame(columns)


def _scores(comparison: Comparison) -> pd.DataFrame:
    rows = []
    for kind, of_kind in comparison.scores.items():
        for model_id, scores in of_kind.items():
            low, high = scores.accuracy_interval
            name = comparison.model(model_id).name
            row: dict[str, Any] = {"labels": kind, "model": model_id, "name": name}
            row |= {key: getattr(scores, key) for key in _SCORES}
            row |= {"accuracy_low": low, "accuracy_high": high}
            for end in ("best_class", "worst_class"):
                extreme = getattr(scores, end)
                row |= {end: extreme.name, f"{end}_recall": extreme.recall}
            rows.append(row)
    return pd.DataFrame(rows)


def _costs(comparison: Comparison) -> pd.DataFrame:
    rows = []
    for entry in comparison.models:
        row = {"model": entry.id, "name": entry.name, **vars(entry.cost)}
        machine = row.pop("training_machine")._asdict()
        row |= {f"training_{part}": value for part, value in machine.items()}
        rows.append(row | {f"terms_{key}": value for key, value in vars(entry.terms).items()})
    return pd.DataFrame(rows)


def _classes(comparison: Comparison, kind: str) -> pd.DataFrame:
    of_kind = comparison.scores[kind]
    first = next(iter(of_kind.values())).per_class
    columns = [first[["class_id", "name", "support"]]]
    columns += [s.per_class[list(_OF_CLASS)].add_prefix(f"{id_}_") for id_, s in of_kind.items()]
    return pd.concat(columns, axis=1)


def _class_tests(comparison: Comparison) -> pd.DataFrame:
    return pd.DataFrame(
        {"labels": kind, "a": pair.a, "b": pair.b, **test.to_json()}
        for kind, pairs in comparison.paired.items()
        for pair in pairs
        for test in pair.by_class
    )


def _paired(comparison: Comparison) -> pd.DataFrame:
    rows = []
    for kind, pairs in comparison.paired.items():
        for pair in pairs:
            row = {"labels": kind, **pair.to_json()}
            del row["by_class"]
            difference = row.pop("difference")
            row["difference"] = difference.pop("value")
            rows.append(row | {f"difference_{key}": item for key, item in difference.items()})
    return pd.DataFrame(rows)
