"""The report as one self-contained HTML file."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
import numpy as np
from numpy.typing import NDArray

from svmcifar.compare.comparison import BOOTSTRAP, Comparison, ModelEntry
from svmcifar.compare.conclusions import MOST_IN_WORDS, listing
from svmcifar.compare.machines import are_same
from svmcifar.compare.report import (
    belief_tables,
    chart_layout,
    confusion_maps,
    formatting,
    line_charts,
    score_tables,
)
from svmcifar.compare.report.galleries import galleries, nine_images
from svmcifar.compare.report.model_styles import STYLES, ShownModel, rivals, show_models
from svmcifar.compare.report.paired_tests import PairedRow, paired_rows
from svmcifar.compare.reported import reported_facts
from svmcifar.io.files import atomic_path
from svmcifar.plots.confusion_matrix import FIRST_DARK_SHADE, SHADE_PERCENTS
from svmcifar.text import shortened, shown_name, visible

PAGE_NAME = "report.html"
_MOST_PAIRS = 10  # in a table; of more, those without one of the rivals are folded
_FILE_WORDS = {
    "predictions": "every image, every model’s answers",
    "scores": "all scores",
    "model_scores": "every model’s scores of every image, for NumPy",
    "costs": "time, size and speed of each model",
    "paired": "paired tests",
    "paired_classes": "paired tests of each class",
    "model": "the SVM that was trained for this report",
}


@dataclass(frozen=True)
class _Group:
    """The page's content on one kind of labels, for the models that have scores on it."""

    kind: str
    title: str
    models: list[ShownModel]
    intervals: list[tuple[ShownModel, float, float, float]]  # accuracy and its interval
    table: list[score_tables.Row]
    paired: list[PairedRow]
    in_words: list[PairedRow]  # of these, the ones that have their own paragraph
    folded: list[PairedRow]  # others, of which few readers ask
    per_class: list[score_tables.ClassRow]


def write_page(comparison: Comparison, pictures: NDArray[np.uint8], folder: Path) -> Path:
    """Write the report's page, a function of its arguments alone, into its folder; return its path.

    `pictures` are the split's images, uint8 RGB of shape (n_images, height, width, 3).  Raise
    OutputError if the page cannot be written.
    """
    page, path = render_page(comparison, pictures), folder / PAGE_NAME
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path


def render_page(comparison: Comparison, pictures: NDArray[np.uint8]) -> str:
    """Return the report's page as HTML, in which the comparison's texts are escaped."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("svmcifar.compare.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
        finalize=lambda value: visible(value) if type(value) is str else value,  # markup is done
    )
    for name in ("percent", "count", "duration", "glued"):
        environment.filters[name] = getattr(formatting, name)
    environment.globals["percent_range"] = formatting.percent_range
    return environment.get_template("page.html.j2").render(_content(comparison, pictures))


def _content(comparison: Comparison, pictures: NDArray[np.uint8]) -> dict[str, Any]:
    """Return the template's variables."""
    models = show_models(comparison)
    first, second = rivals(comparison, models)
    title = comparison.title
    if comparison.data.synthetic and "SYNTHETIC" not in title:
        title = f"SYNTHETIC data: {title}"
    groups = [_group(comparison, kind, models) for kind in comparison.class_names]
    bounds = [b for group in groups for _, _, *ends in group.intervals for b in ends]
    main = comparison.main_kind
    scores, names = comparison.scores[main], list(map(shown_name, comparison.class_names[main]))
    class_word, class_words = comparison.words(main)
    return {
        "styles": STYLES,
        "shades": SHADE_PERCENTS,
        "first_dark_shade": FIRST_DARK_SHADE,
        "comparison": comparison,
        "title": title,
        "created_day": _day(comparison.created),
        "class_word": class_word,
        "class_words": class_words,
        "models": models,
        "first": first,
        "second": second,
        "groups": groups,
        "axis": chart_layout.accuracy_axis(bounds),
        "paired_method": BOOTSTRAP if any(comparison.paired.values()) else "",
        "terms": score_tables.terms_rows(comparison),
        "seeds": score_tables.seed_facts(comparison),
        "reported": reported_facts(comparison),
        "rules": score_tables.rule_rows(comparison, models),
        "cost": score_tables.cost_rows(comparison),
        **_times(comparison, models, groups),
        "recalls": score_tables.recall_rows(
            scores,
            models,
            (first, second),
            comparison.chief_pairs(comparison.paired[main])[0].by_class,
        ),
        "main_names": names,
        "matrices": [
            {
                "model": model,
                "accuracy": scores[model.id].accuracy,
                "cells": chart_layout.confusion_cells(scores[model.id].confusion, names),
                "mistakes": chart_layout.frequent_mistakes(scores[model.id].confusion, names),
            }
            for model in models
            if len(names) <= confusion_maps.MOST_WITH_NUMBERS
        ],
        "maps": confusion_maps.draw_maps(comparison, models),
        **_beliefs(comparison, models, groups),
        "galleries": galleries(comparison, pictures, first, second),
        "nine": nine_images(comparison, pictures, models),
        "made": [
            {
                "shown": model,
                "name": shortened(entry.name),
                "entry": entry,
                "facts": _model_facts(entry),
            }
            for model, entry in zip(models, comparison.models, strict=True)
        ],
        "environment": _environment_facts(comparison),
        "files": _file_links(comparison),
    }


def _group(comparison: Comparison, kind: str, models: list[ShownModel]) -> _Group:
    scores = comparison.scores[kind]
    scored = [model for model in models if model.id in scores]
    tests = comparison.paired[kind]
    chief = comparison.chief_pairs(tests) or tests
    # Many networks have very many pairs among themselves.
    is_long = len(tests) > _MOST_PAIRS
    unfolded = [t for t in tests if not is_long or t in chief]
    return _Group(
        kind=kind,
        title=comparison.title_of(kind),
        models=scored,
        intervals=[(m, scores[m.id].accuracy, *scores[m.id].accuracy_interval) for m in scored],
        table=score_tables.score_rows(scores, scored),
        paired=paired_rows(unfolded, models),
        in_words=paired_rows(chief[:MOST_IN_WORDS], models),
        folded=paired_rows([test for test in tests if test not in unfolded], models),
        per_class=score_tables.recall_rows(scores, scored),
    )


def _beliefs(
    comparison: Comparison, models: list[ShownModel], groups: list[_Group]
) -> dict[str, Any]:
    """Return the template's variables on what can be believed, mixtures and worse images."""
    return {
        "reliability": [
            (group, line_charts.reliability_charts(comparison, group.models, group.kind))
            for group in groups
        ],
        "most_marked": line_charts.MOST_MARKED,
        "least_in_bin": line_charts.LEAST_IN_BIN,
        "risks": line_charts.risk_charts(comparison, models),
        "beliefs": [
            (group, belief_tables.belief_rows(comparison, group.models, group.kind))
            for group in groups
        ],
        "places": [
            (group, rows)
            for group in groups
            if (rows := belief_tables.place_rows(comparison, group.models, group.kind))
        ],
        "mixtures": [
            (group, pairs)
            for group in groups
            if (
                pairs := belief_tables.mixture_rows(comparison.mixtures.get(group.kind, ()), models)
            )
        ],
        "reach": 0.98 / len(worse.rows) ** 0.5 if (worse := comparison.robustness) else None,
        "worse_charts": line_charts.robustness_charts(comparison, models),
        "worse": [
            (group, rows)
            for group in groups
            if (rows := belief_tables.worse_rows(comparison, group.models, group.kind))
        ],
    }


def _times(
    comparison: Comparison, models: list[ShownModel], groups: list[_Group]
) -> dict[str, Any]:
    """Return the template's variables on accuracy against time."""
    charts = [
        (group.title, chart_layout.time_chart(comparison, models, group.kind)) for group in groups
    ]
    both = list(zip(models, comparison.models, strict=True))
    curved = [(model.name, entry.curve.images) for model, entry in both if entry.curve]
    hardware = [(model, name) for model, entry in both if (name := entry.cost.training_hardware)]
    return {
        "charts": [(title, chart) for title, chart in charts if chart],
        "curve_notes": [
            (listing([name for name, of in curved if of == images]), images)
            for images in dict.fromkeys(of for _, of in curved)
        ],
        "n_guides": max(
            (sum(end.model.kind == "svm" for end in c.marks) for _, c in charts if c), default=0
        ),
        "training_curve": any("training" in of for _, of in curved),
        "hardware": hardware,
        "same_machine": are_same(entry.cost.training_machine for entry in comparison.models),
    }


def _day(created: str) -> str:
    """Return a date such as "20 November 2026", text of another form unchanged."""
    try:
        moment = datetime.fromisoformat(created)
    except ValueError:
        return created
    return f"{moment.day} {moment:%B %Y}"


def _model_facts(entry: ModelEntry) -> list[tuple[str, str]]:
    """List a model's file, hashes and parameters."""
    facts = {"file": entry.file, "sha256": entry.sha256, "content hash": entry.content_hash}
    facts |= {"runtime": entry.runtime, "trained on": f"{entry.labels} labels"}
    return [*score_tables.flat_items(facts), *score_tables.flat_items(entry.made)]


def _environment_facts(comparison: Comparison) -> list[tuple[str, str]]:
    """List the data with its MD5 sums, the versions and the machine."""
    data = comparison.data
    return [
        ("data set", f"{data.label}, {data.split} split, {formatting.count(data.n_images)} images"),
        *((f"md5 of {name}", str(md5)) for name, md5 in data.md5s.items()),
        *((f"{name} version", str(version)) for name, version in comparison.versions.items()),
        *score_tables.flat_items(comparison.host),
        *score_tables.flat_items({"git commit": comparison.git_commit}),
        ("created", comparison.created),
    ]


def _file_links(comparison: Comparison) -> list[tuple[str, str, str]]:
    """List the files beside the page: address, name, content."""
    words = _FILE_WORDS | {
        f"classes_{kind}": f"each {comparison.words(kind)[0]}" for kind in comparison.class_names
    }
    named = [("report.json", "everything, for programs")]
    named += [(n, words[key]) for key, n in comparison.files.items() if key != "figures"]
    named += [(name, "figure") for name in comparison.files.get("figures", ())]
    return [(quote(name), name, what) for name, what in named]
