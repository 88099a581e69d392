"""The report as one HTML file that loads nothing."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
import numpy as np
from numpy.typing import NDArray

from svmcifar.compare.report.chart_layout import (
    accuracy_axis,
    confusion_cells,
    frequent_mistakes,
    time_chart,
)
from svmcifar.compare.report.formatting import (
    count,
    duration,
    glued,
    listing,
    percent,
    percent_range,
    shown,
)
from svmcifar.compare.report.galleries import galleries, nine_images
from svmcifar.compare.report.model_styles import ShownModel, rivals, show_models
from svmcifar.compare.report.paired_tests import paired_rows
from svmcifar.compare.report.score_tables import (
    cost_rows,
    flat_items,
    recall_rows,
    score_rows,
)
from svmcifar.io.files import atomic_path

PAGE_NAME = "report.html"
_FILE_WORDS = {
    "predictions": "every image, every model’s answers",
    "scores": "all scores",
    "costs": "time, size and speed of each model",
    "classes_coarse": "each superclass",
    "classes_fine": "each fine class",
    "paired": "paired tests",
    "model": "the SVM that was trained for this report",
}


def write_page(comparison: Mapping[str, Any], pictures: NDArray[np.uint8], folder: Path) -> Path:
    """Write the report's page into its folder; an existing one is replaced.

    Parameters
    ----------
    comparison : mapping
        What goes to ``report.json``.  Whatever it holds is escaped.
    pictures : ndarray of uint8, shape (n_images, 32, 32, 3)
        RGB, by the image's index in the split.
    folder : Path

    Returns
    -------
    Path
        The page.  It is the same for the same comparison and pictures.

    Raises
    ------
    OutputError
        If the page cannot be written.
    """
    page = render_page(comparison, pictures)
    path = Path(folder) / PAGE_NAME
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path


def render_page(comparison: Mapping[str, Any], pictures: NDArray[np.uint8]) -> str:
    """Return the report's page.

    Parameters
    ----------
    comparison : mapping
    pictures : ndarray of uint8, shape (n_images, 32, 32, 3)

    Returns
    -------
    str
        HTML.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("svmcifar.compare.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "percent": percent,
        "count": count,
        "duration": duration,
        "glued": glued,
    }
    environment.globals["percent_range"] = percent_range
    return environment.get_template("page.html.j2").render(_content(comparison, pictures))


def _content(comparison: Mapping[str, Any], pictures: NDArray[np.uint8]) -> dict[str, Any]:
    """Put together what the template sets."""
    models = show_models(comparison)
    network, svm = rivals(comparison, models)
    data, synthetic = comparison["data"], comparison["data"]["synthetic"]
    title = comparison["title"]
    if synthetic and "SYNTHETIC" not in title:
        title = f"SYNTHETIC data: {title}"
    groups = [_group(comparison, labels, models) for labels in ("coarse", "fine")]
    shown_groups = [group for group in groups if group]
    bounds = [b for g in shown_groups for r in g["rows"] for b in (r["low"], r["high"])]
    coarse = comparison["scores"]["coarse"]
    names = [shown(name) for name in comparison["classes"]["coarse"]]
    pairs = [pair for kind in comparison["paired"].values() for pair in kind or ()]
    return {
        "title": title,
        "synthetic": synthetic,
        "data": data,
        "created": comparison["created"],
        "created_day": _day(comparison["created"]),
        "versions": comparison["versions"],
        "command": comparison["command"],
        "conclusion": comparison["conclusion"],
        "limits": comparison["limits"],
        "models": models,
        "network": network,
        "svm": svm,
        "groups": shown_groups,
        "axis": accuracy_axis(bounds),
        "paired_method": pairs[0]["difference"]["method"] if pairs else "",
        "cost": cost_rows(comparison),
        **_times(comparison, models, shown_groups),
        "recalls": recall_rows(coarse, models, (network, svm)),
        "coarse_names": names,
        "matrices": [
            {
                "model": model,
                "accuracy": coarse[model.id]["accuracy"],
                "cells": confusion_cells(coarse[model.id]["confusion"], names),
                "mistakes": frequent_mistakes(coarse[model.id]["confusion"], names),
            }
            for model in models
        ],
        "galleries": galleries(comparison, pictures, network, svm),
        "nine": nine_images(comparison, pictures, models),
        "made": [
            {
                "shown": model,
                "description": entry["description"],
                "note": entry["note"],
                "facts": _model_facts(entry),
            }
            for model, entry in zip(models, comparison["models"], strict=True)
        ],
        "environment": _environment_facts(comparison),
        "files": _file_links(comparison["files"]),
    }


def _group(
    comparison: Mapping[str, Any], labels: str, models: list[ShownModel]
) -> dict[str, Any] | None:
    """Put together what is said of one set of labels; None where nothing is."""
    scores = comparison["scores"][labels]
    if not scores:
        return None
    scored = [model for model in models if model.id in scores]
    kind = {"coarse": "superclasses", "fine": "fine classes"}[labels]
    intervals = {model.id: scores[model.id]["accuracy_interval"] for model in scored}
    per_class = recall_rows(scores, scored, ())
    return {
        "labels": labels,
        "title": f"{len(comparison['classes'][labels])} {kind}",
        "models": scored,
        "rows": [
            {
                "model": model,
                "rate": scores[model.id]["accuracy"],
                "low": intervals[model.id][0],
                "high": intervals[model.id][1],
            }
            for model in scored
        ],
        "table": score_rows(scores, scored),
        "paired": paired_rows(comparison["paired"].get(labels) or [], models),
        "per_class": per_class,
    }


def _times(
    comparison: Mapping[str, Any], models: list[ShownModel], groups: list[dict[str, Any]]
) -> dict[str, Any]:
    """Put together the charts of accuracy against time, and what must be said of them."""
    charts = [(g["title"], time_chart(comparison, models, g["labels"])) for g in groups]
    both = list(zip(models, comparison["models"], strict=True))
    curved = [(model, entry) for model, entry in both if entry["curve"]]
    hardware = [(m, e["cost"]["training_hardware"]) for m, e in both]
    known = [(model, name) for model, name in hardware if name]
    return {
        "charts": [(title, chart) for title, chart in charts if chart],
        "curve_notes": [
            (listing([m.name for m, e in curved if e["curve_of"] == of]), of)
            for of in dict.fromkeys(e["curve_of"] for _, e in curved)
        ],
        "svm_guide": any(end.model.kind == "svm" for _, c in charts if c for end in c.marks),
        "training_curve": any("training" in e["curve_of"] for _, e in curved),
        "hardware": known,
        "mixed_hardware": len({name.split(",")[0] for _, name in known}) > 1,
    }


def _day(created: str) -> str:
    """Write a date as people do; an unknown form is shown as it is."""
    try:
        moment = datetime.fromisoformat(created)
    except ValueError:
        return created
    return f"{moment.day} {moment:%B %Y}"


def _model_facts(entry: Mapping[str, Any]) -> list[tuple[str, str]]:
    """List a model's file, hashes and parameters."""
    named = {
        "file": entry["file"],
        "sha256": entry.get("sha256"),
        "content hash": entry.get("content_hash"),
        "runtime": entry.get("runtime"),
        "trained on": f"{entry['labels']} labels",
    }
    return [*flat_items(named), *flat_items(entry["made"])]


def _environment_facts(comparison: Mapping[str, Any]) -> list[tuple[str, str]]:
    """List the data with its md5s, the versions and the machine."""
    data = comparison["data"]
    return [
        ("data set", f"{data['label']}, {data['split']} split, {count(data['n_images'])} images"),
        *((f"md5 of {name}", str(md5)) for name, md5 in data["md5s"].items()),
        *((f"{name} version", str(version)) for name, version in comparison["versions"].items()),
        *flat_items(comparison["host"]),
        *flat_items({"git commit": comparison["git_commit"]}),
        ("created", comparison["created"]),
    ]


def _file_links(files: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """List links to the files beside the page: address, name, what is in it."""
    named = [("report.json", "everything, for programs")]
    named += [(name, _FILE_WORDS.get(key, "")) for key, name in files.items() if key != "figures"]
    named += [(name, "figure") for name in files.get("figures") or ()]
    return [(quote(name), name, what) for name, what in named if name]
