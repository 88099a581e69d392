"""The comparison's charts as files, for slides and papers."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FixedLocator, NullLocator

from svmcifar.compare.report.chart_layout import tick_label, time_axis
from svmcifar.compare.report.model_styles import ShownModel, rivals, show_models
from svmcifar.compare.report.score_tables import recall_rows
from svmcifar.plots.figures import confusion_figure, save_figure

FIGURE_FOLDER = "figures"

# Okabe and Ito's colours, darkened where white paper needs it, and a marker with each.
_COLOURS = {
    "svm": "#0072B2", "cnn1": "#D55E00", "ensemble": "#008F68", "cnn2": "#B0508A",
    "cnn3": "#A06E00", "cnn4": "#5A5F66",
}  # fmt: skip
_MARKERS = {
    "svm": "s", "cnn1": "o", "ensemble": "D", "cnn2": "^", "cnn3": "h", "cnn4": "P",
}  # fmt: skip
_TITLES = {"coarse": "superclasses", "fine": "fine classes"}
_TITLE_POINTS = 12.0


def write_figures(comparison: Mapping[str, Any], folder: Path) -> list[str]:
    """Write every figure of a comparison: charts as PNG and SVG, confusion matrices as PNG.

    Parameters
    ----------
    comparison : mapping
        What goes to ``report.json``.
    folder : Path
        The report's; the figures go to its ``figures``.

    Returns
    -------
    list of str
        Their names, relative to `folder`, with forward slashes.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    names = []
    for stem, suffixes, figure in _draw_all(comparison):
        for suffix in suffixes:
            name = f"{FIGURE_FOLDER}/{stem}{suffix}"
            save_figure(figure, Path(folder) / name)
            names.append(name)
    return names


def accuracy_figure(comparison: Mapping[str, Any]) -> Figure:
    """Draw each model's accuracy with its 95 % interval.

    Parameters
    ----------
    comparison : mapping

    Returns
    -------
    matplotlib.figure.Figure
        A panel for each set of labels.
    """
    models = show_models(comparison)
    kinds = _kinds(comparison)
    figure = _new_figure(comparison, "Accuracy", 8.0, 1.4 + 0.45 * len(kinds) * (len(models) + 1))
    panels = figure.subplots(len(kinds), 1, squeeze=False, sharex=True)[:, 0]
    for axes, labels in zip(panels, kinds, strict=True):
        scores = comparison["scores"][labels]
        scored = [model for model in models if model.id in scores]
        for row, model in enumerate(scored):
            rate, interval = scores[model.id]["accuracy"], scores[model.id]["accuracy_interval"]
            reach = [[100 * (rate - interval[0])], [100 * (interval[1] - rate)]]
            axes.errorbar(100 * rate, row, xerr=reach, capsize=4, **_style(model))
        axes.set_yticks(range(len(scored)), [model.name for model in scored])
        axes.set_ylim(len(scored) - 0.4, -0.6)
        axes.set_title(f"{len(comparison['classes'][labels])} {_TITLES[labels]}", loc="left")
        axes.grid(axis="x", color="0.9")
    panels[-1].set_xlabel("right answers (%), with 95 % intervals")
    return figure


def recall_figure(comparison: Mapping[str, Any]) -> Figure:
    """Draw each model's accuracy in each superclass, sorted by the difference of two.

    Parameters
    ----------
    comparison : mapping

    Returns
    -------
    matplotlib.figure.Figure
    """
    models = show_models(comparison)
    network, svm = rivals(comparison, models)
    rows = recall_rows(comparison["scores"]["coarse"], models, (network, svm))
    height = 0.16 * len(models) + 0.12
    title = f"Accuracy by superclass, sorted by {network.name} minus {svm.name}"
    figure = _new_figure(comparison, title, 8.5, 1.6 + height * len(rows))
    axes = figure.add_subplot()
    thickness = 0.8 / len(models)
    for i, model in enumerate(models):
        rates = [row["bars"][i][1] for row in rows]
        places = np.arange(len(rows)) + (i - (len(models) - 1) / 2) * thickness
        widths = [np.nan if rate is None else 100 * rate for rate in rates]
        axes.barh(places, widths, thickness, color=_COLOURS[model.slot], label=model.name)
    axes.set_yticks(range(len(rows)), [row["name"] for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0, 100)
    axes.set_xlabel("share of the superclass’s images with the right answer (%)")
    axes.set_axisbelow(True)
    axes.grid(axis="x", color="0.9")
    figure.legend(loc="outside lower center", ncols=min(3, len(models)), frameon=False)
    return figure


def time_figure(comparison: Mapping[str, Any]) -> Figure | None:
    """Draw accuracy against training time.

    Parameters
    ----------
    comparison : mapping

    Returns
    -------
    matplotlib.figure.Figure or None
        A panel for each set of labels; None where no training time is known.
    """
    models = show_models(comparison)
    times = [model["cost"]["training_s"] for model in comparison["models"]]
    times += [p["seconds"] for model in comparison["models"] for p in model["curve"] or ()]
    known = [seconds for seconds in times if seconds]
    if not known:
        return None
    kinds = _kinds(comparison)
    figure = _new_figure(comparison, "Accuracy against training time", 5.2 * len(kinds), 4.6)
    span = time_axis(known)
    for column, labels in enumerate(kinds, start=1):
        axes = figure.add_subplot(1, len(kinds), column)
        _draw_times(axes, comparison, models, labels)
        axes.set_xscale("log")
        axes.set_xlim(span.low, span.high)
        axes.xaxis.set_major_locator(FixedLocator(list(span.ticks)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticklabels([tick_label(tick) for tick in span.ticks])
        axes.set_title(f"{len(comparison['classes'][labels])} {_TITLES[labels]}", loc="left")
        axes.set_xlabel("training time, wall clock")
        axes.set_ylabel("accuracy (%)")
        axes.grid(color="0.9")
    handles, texts = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, texts, loc="outside lower center", ncols=2, frameon=False)
    return figure


def _draw_all(comparison: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, ...], Figure]]:
    """Draw one figure after the other, each with the stem and the suffixes of its files."""
    charts = {
        "accuracy": accuracy_figure(comparison),
        "superclasses": recall_figure(comparison),
        "time-to-accuracy": time_figure(comparison),
    }
    for stem, chart in charts.items():
        if chart is not None:
            yield stem, (".png", ".svg"), chart
    names = {model["id"]: model["name"] for model in comparison["models"]}
    for labels in _kinds(comparison):
        for model_id, score in comparison["scores"][labels].items():
            title = _titled(comparison, f"{names[model_id]}: {_TITLES[labels]}")
            classes = comparison["classes"][labels]
            matrix = confusion_figure(score["confusion"], classes, title)
            yield f"confusion-{labels}-{model_id}", (".png",), matrix


def _draw_times(
    axes: Axes, comparison: Mapping[str, Any], models: list[ShownModel], labels: str
) -> None:
    """Draw one panel: learning curves, and a marker where each training ended."""
    scores = comparison["scores"][labels]
    for model, entry in zip(models, comparison["models"], strict=True):
        colour = _COLOURS[model.slot]
        if entry["curve"]:
            seconds = [point["seconds"] for point in entry["curve"]]
            rates = [100 * point[labels] for point in entry["curve"]]
            axes.plot(seconds, rates, color=colour, label=f"{model.name}, {entry['curve_of']}")
        if model.id in scores and entry["cost"]["training_s"]:
            rate = 100 * scores[model.id]["accuracy"]
            label = f"{model.name}, test images"
            axes.plot(entry["cost"]["training_s"], rate, label=label, **_style(model))


def _kinds(comparison: Mapping[str, Any]) -> list[str]:
    """Return the sets of labels that any model has scores for."""
    return [labels for labels in ("coarse", "fine") if comparison["scores"][labels]]


def _style(model: ShownModel) -> dict[str, Any]:
    return {"color": _COLOURS[model.slot], "marker": _MARKERS[model.slot], "linestyle": "none"}


def _titled(comparison: Mapping[str, Any], title: str) -> str:
    return f"{title}, {comparison['data']['label']}"


def _new_figure(comparison: Mapping[str, Any], title: str, width: float, height: float) -> Figure:
    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08)
    figure = Figure(figsize=(width, height), layout=layout)
    figure.suptitle(_titled(comparison, title), fontsize=_TITLE_POINTS, wrap=True)
    return figure
