"""The comparison's charts as image files."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from svmcifar.compare.comparison import Comparison
from svmcifar.compare.report.chart_layout import tick_label, time_axis
from svmcifar.compare.report.confusion_maps import class_order
from svmcifar.compare.report.line_charts import (
    MOST_MARKED,
    LineChart,
    reliability_charts,
    risk_charts,
    robustness_charts,
)
from svmcifar.compare.report.model_styles import ShownModel, rivals, show_models
from svmcifar.compare.report.score_tables import recall_rows
from svmcifar.plots.confusion_matrix import confusion_figure
from svmcifar.plots.figures import new_figure, save_figure
from svmcifar.text import shortened

FIGURE_FOLDER = "figures"


def write_figures(comparison: Comparison, folder: Path) -> list[str]:
    """Write charts as PNG and SVG, confusion matrices as PNG, to ``figures`` within a folder.

    Return their names, relative to `folder`, with forward slashes.  Raise OutputError if one cannot
    be written.
    """
    names = []
    for stem, suffixes, figure in _draw_all(comparison):
        for suffix in suffixes:
            name = f"{FIGURE_FOLDER}/{stem}{suffix}"
            save_figure(figure, folder / name)
            names.append(name)
    return names


def accuracy_figure(comparison: Comparison) -> Figure:
    """Draw each model's accuracy with its 95 % interval, a panel per kind of labels."""
    models = show_models(comparison)
    kinds = comparison.class_names
    figure = _new_figure(comparison, "Accuracy", 8.0, 1.4 + 0.45 * len(kinds) * (len(models) + 1))
    panels = figure.subplots(len(kinds), 1, squeeze=False, sharex=True)[:, 0]
    for axes, kind in zip(panels, kinds, strict=True):
        scores = comparison.scores[kind]
        scored = [model for model in models if model.id in scores]
        for row, model in enumerate(scored):
            rate, (low, high) = scores[model.id].accuracy, scores[model.id].accuracy_interval
            reach = [[100 * (rate - low)], [100 * (high - rate)]]
            axes.errorbar(100 * rate, row, xerr=reach, capsize=4, **_style(model))
        axes.set_yticks(range(len(scored)), [model.name for model in scored])
        axes.set_ylim(len(scored) - 0.4, -0.6)
        axes.set_title(comparison.title_of(kind), loc="left")
        axes.grid(axis="x", color="0.9")
    panels[-1].set_xlabel("right answers (%), with 95 % intervals")
    return figure


def recall_figure(comparison: Comparison) -> Figure:
    """Draw each model's accuracy per class of the main kind, sorted by a difference."""
    models = show_models(comparison)
    first, second = rivals(comparison, models)
    main = comparison.main_kind
    rows = recall_rows(comparison.scores[main], models, (first, second))
    height = 0.16 * len(models) + 0.12
    word, _ = comparison.words(main)
    title = f"Accuracy by {word}, sorted by {first.name} minus {second.name}"
    figure = _new_figure(comparison, title, 8.5, 1.6 + height * len(rows))
    axes = figure.add_subplot()
    thickness = 0.8 / len(models)
    for i, model in enumerate(models):
        places = np.arange(len(rows)) + (i - (len(models) - 1) / 2) * thickness
        widths = [100 * row.bars[i].recall for row in rows]
        axes.barh(places, widths, thickness, color=model.style.colour, label=model.name)
    axes.set_yticks(range(len(rows)), [row.name for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0, 100)
    axes.set_xlabel(f"share of the {word}’s images with the right answer (%)")
    axes.set_axisbelow(True)
    axes.grid(axis="x", color="0.9")
    figure.legend(loc="outside lower center", ncols=min(3, len(models)), frameon=False)
    return figure


def time_figure(comparison: Comparison) -> Figure | None:
    """Draw accuracy against training time, a panel per kind; None if no time is known."""
    models = show_models(comparison)
    times = [entry.cost.training_s for entry in comparison.models]
    times += [s for entry in comparison.models if entry.curve for s in entry.curve.seconds]
    known = [seconds for seconds in times if seconds]
    if not known:
        return None
    kinds = comparison.class_names
    figure = _new_figure(comparison, "Accuracy against training time", 5.2 * len(kinds), 4.6)
    span, shared = time_axis(known), None
    for column, kind in enumerate(kinds, start=1):
        axes = shared = figure.add_subplot(1, len(kinds), column, sharey=shared)
        _draw_times(axes, comparison, models, kind)
        axes.set_xscale("log")
        axes.set_xlim(span.low, span.high)
        axes.xaxis.set_major_locator(FixedLocator(list(span.ticks)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticklabels([tick_label(tick) for tick in span.ticks])
        axes.set_title(comparison.title_of(kind), loc="left")
        axes.set_xlabel("training time, wall clock (logarithmic)")
        axes.set_ylabel("accuracy (%)")
        axes.grid(color="0.9")
    handles, texts = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, texts, loc="outside lower center", ncols=2, frameon=False)
    return figure


def reliability_figure(comparison: Comparison) -> Figure | None:
    """Draw accuracy against confidence, before and after calibration; None without scores."""
    models = show_models(comparison)
    charts = [
        chart
        for kind in comparison.class_names
        for chart in reliability_charts(comparison, models, kind)
    ]
    return _line_figure(comparison, "Reliability", charts)


def risk_figure(comparison: Comparison) -> Figure | None:
    """Draw risk against coverage, a panel per kind of labels; None without scores."""
    charts = risk_charts(comparison, show_models(comparison))
    return _line_figure(comparison, "Risk against coverage", charts)


def robustness_figure(comparison: Comparison) -> Figure | None:
    """Draw accuracy on worse images, a panel per corruption; None if it was not measured."""
    charts = robustness_charts(comparison, show_models(comparison))
    words = comparison.words(comparison.main_kind)[1]
    return _line_figure(comparison, f"Worse images, {words}", charts)


def _line_figure(comparison: Comparison, title: str, charts: list[LineChart]) -> Figure | None:
    """Draw charts two a row, with one legend."""
    if not charts:
        return None
    n_rows = -(-len(charts) // 2)
    figure = _new_figure(comparison, title, 9.6, 1.0 + 3.4 * n_rows)
    labelled = {}
    for number, chart in enumerate(charts, start=1):
        axes = figure.add_subplot(n_rows, 2, number)
        x_scale = 1 if chart.x.high > 1 else 100
        if chart.diagonal:
            axes.plot([0, 100], [0, 100], color="0.6", linestyle="dotted")
        for model, points in chart.lines:
            style: dict[str, Any] = {"color": model.style.colour}
            if len(points) <= MOST_MARKED:
                style["marker"] = model.style.marker
            x, y = [x_scale * x for x, _ in points], [100 * y for _, y in points]
            labelled[model.name] = axes.plot(x, y, clip_on=False, **style)[0]
        axes.set_xlim(x_scale * chart.x.low, x_scale * chart.x.high)
        axes.set_ylim(100 * chart.y.low, 100 * chart.y.high)
        axes.set_title(chart.title, loc="left", fontsize=10)
        axes.set_xlabel(chart.x_title)
        axes.set_ylabel(chart.y_title)
        axes.grid(color="0.9")
    names = list(labelled)
    figure.legend(
        labelled.values(),
        names,
        loc="outside lower center",
        ncols=min(3, len(names)),
        frameon=False,
    )
    return figure


def _draw_all(comparison: Comparison) -> Iterator[tuple[str, tuple[str, ...], Figure]]:
    """Draw each figure, with the stem and the suffixes of its files."""
    for stem, draw in (
        ("accuracy", accuracy_figure),
        (comparison.words(comparison.main_kind)[1], recall_figure),
        ("time-to-accuracy", time_figure),
        ("calibration", reliability_figure),
        ("risk-coverage", risk_figure),
        ("robustness", robustness_figure),
    ):
        if (chart := draw(comparison)) is not None:
            yield stem, (".png", ".svg"), chart
    for kind, of_kind in comparison.scores.items():
        words = comparison.words(kind)[1]
        for model_id, scores in of_kind.items():
            name = shortened(comparison.model(model_id).name)
            title = f"{name}: {words}, {comparison.data.label}"
            order, _ = class_order(comparison, kind)
            names = [comparison.class_names[kind][i] for i in order]
            matrix = confusion_figure(scores.confusion[np.ix_(order, order)], names, title)
            yield f"confusion-{kind}-{model_id}", (".png",), matrix


def _draw_times(axes: Axes, comparison: Comparison, models: list[ShownModel], kind: str) -> None:
    """Draw one panel: learning curves, and a marker where each training ended."""
    scores = comparison.scores[kind]
    for model, entry in zip(models, comparison.models, strict=True):
        if entry.curve is not None:
            rates = [100 * rate for rate in entry.curve.accuracy[kind]]
            label = f"{model.name}, {entry.curve.images}"
            axes.plot(entry.curve.seconds, rates, color=model.style.colour, label=label)
        if model.id in scores and entry.cost.training_s:
            rate = 100 * scores[model.id].accuracy
            label = f"{model.name}, test images"
            axes.plot(entry.cost.training_s, rate, label=label, **_style(model))


def _style(model: ShownModel) -> dict[str, Any]:
    return {"color": model.style.colour, "marker": model.style.marker, "linestyle": "none"}


def _new_figure(comparison: Comparison, title: str, width: float, height: float) -> Figure:
    return new_figure(f"{title}, {comparison.data.label}", width, height)
