"""The comparison's numbers as files: JSON for programs, CSV for spreadsheets."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from svmcifar.compare.predictions import Answers
from svmcifar.data.dataset import Split

FILE_NAMES = {
    "predictions": "predictions.csv",
    "scores": "scores.csv",
    "costs": "costs.csv",
    "classes_coarse": "classes-coarse.csv",
    "classes_fine": "classes-fine.csv",
    "paired": "paired.csv",
}

_SCORES = (
    "n_samples", "n_correct", "accuracy", "top5_accuracy", "macro_precision", "macro_recall",
    "macro_f1", "cohen_kappa", "log_loss", "uncalibrated_log_loss",
)  # fmt: skip
_OF_CLASS = ("correct", "recall", "recall_low", "recall_high", "precision", "f1")


def write_json(content: dict[str, Any], folder: Path) -> None:
    """Write ``report.json``.

    Parameters
    ----------
    content : dict
    folder : Path
    """
    text = json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False)
    (folder / "report.json").write_text(text + "\n", encoding="utf-8")


def write_tables(
    content: dict[str, Any], answers: dict[str, Answers], test: Split, folder: Path
) -> None:
    """Write the CSV files of `FILE_NAMES`.

    Parameters
    ----------
    content : dict
    answers : dict of str to Answers
        By model id.
    test : Split
        The images that were answered.
    folder : Path
    """
    tables = {
        "predictions": _predictions(content, answers, test),
        "scores": _scores(content),
        "costs": _costs(content),
        "classes_coarse": _classes(content, "coarse"),
        "classes_fine": _classes(content, "fine"),
        "paired": _paired(content),
    }
    for key, table in tables.items():
        table.to_csv(
            folder / FILE_NAMES[key], index=False, lineterminator="\n", errors="surrogateescape"
        )


def _predictions(content: dict[str, Any], answers: dict[str, Answers], test: Split) -> pd.DataFrame:
    names = content["classes"]
    columns: dict[str, Any] = {
        "index": range(len(test.images)),
        "filename": test.filenames,
        "true_fine": test.fine,
        "true_fine_name": [names["fine"][c] for c in test.fine],
        "true_coarse": test.coarse,
        "true_coarse_name": [names["coarse"][c] for c in test.coarse],
    }
    for model_id, answer in answers.items():
        columns[f"{model_id}_coarse"] = answer.coarse
        columns[f"{model_id}_fine"] = answer.fine if answer.fine is not None else ""
        if answer.score_kind == "probabilities" and answer.coarse_scores is not None:
            columns[f"{model_id}_coarse_probability"] = answer.coarse_scores.max(axis=1).round(6)
    return pd.DataFrame(columns)


def _scores(content: dict[str, Any]) -> pd.DataFrame:
    rows = []
    for kind, of_kind in content["scores"].items():
        for entry in content["models"]:
            if (scores := of_kind.get(entry["id"])) is None:
                continue
            low, high = scores["accuracy_interval"]
            row = {"labels": kind, "model": entry["id"], "name": entry["name"]}
            row |= {key: scores[key] for key in _SCORES}
            row |= {"accuracy_low": low, "accuracy_high": high}
            for end in ("best", "worst"):
                extreme = scores[f"{end}_class"]
                row |= {f"{end}_class": extreme["name"], f"{end}_class_recall": extreme["recall"]}
            rows.append(row)
    return pd.DataFrame(rows)


def _costs(content: dict[str, Any]) -> pd.DataFrame:
    rows = []
    for entry in content["models"]:
        cost = dict(entry["cost"])
        per_mb = cost.pop("accuracy_per_mb")
        row = {"model": entry["id"], "name": entry["name"], **cost}
        rows.append(row | {f"{kind}_accuracy_per_mb": value for kind, value in per_mb.items()})
    return pd.DataFrame(rows)


def _classes(content: dict[str, Any], kind: str) -> pd.DataFrame:
    of_kind = content["scores"][kind]
    columns: dict[str, list[Any]] = {}
    for model_id, scores in of_kind.items():
        table = scores["per_class"]
        if not columns:
            columns = {key: [row[key] for row in table] for key in ("class_id", "name", "support")}
        for key in _OF_CLASS:
            columns[f"{model_id}_{key}"] = [row[key] for row in table]
    return pd.DataFrame(columns)


def _paired(content: dict[str, Any]) -> pd.DataFrame:
    rows = []
    for kind, pairs in content["paired"].items():
        for pair in pairs:
            flat = {key: value for key, value in pair.items() if key != "difference"}
            difference = {
                f"difference{'' if key == 'value' else f'_{key}'}": value
                for key, value in pair["difference"].items()
            }
            rows.append({"labels": kind, **flat, **difference})
    return pd.DataFrame(rows)
