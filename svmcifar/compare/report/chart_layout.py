"""The geometry of the page's charts, in percent of their boxes, which stretch with the window."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from svmcifar.compare.comparison import Comparison
from svmcifar.compare.report.formatting import percent
from svmcifar.compare.report.model_styles import ShownModel
from svmcifar.plots.confusion_matrix import row_shares, share_shade, share_text

_TIME_TICKS_S = (
    1e-3, 1e-2, 0.1, 1.0, 10.0, 60.0, 600.0, 3600.0, 36e3, 86400.0, 864e3, 864e4
)  # fmt: skip
_MORE_TIME_TICKS_S = (
    3e-3, 3e-2, 0.3, 3.0, 30.0, 180.0, 1800.0, 10800.0, 259200.0, 2592e3,
    2.0, 5.0, 20.0, 120.0, 300.0, 1200.0, 7200.0, 18e3
)  # fmt: skip
# A label of the time chart on a narrow screen, in percent of its sides and in pixels.
_LABEL_WIDTH, _LABEL_HEIGHT, _LABEL_RISE = 20.0, 5.5, 6.0
_ABOVE_PX, _BELOW_PX = -12, 22


@dataclass(frozen=True)
class Axis:
    """A linear or logarithmic axis."""

    low: float  # value at 0 percent of the length
    high: float  # value at 100 percent
    ticks: tuple[float, ...]
    logarithmic: bool = False

    def place(self, value: float) -> float:
        """Return the position of a value in percent of the length, to a hundredth."""
        low, high = self.low, self.high
        if self.logarithmic:
            value, low, high = math.log(value), math.log(low), math.log(high)
        return round(100 * (value - low) / (high - low), 2)


@dataclass(frozen=True)
class Mark:
    """A point of the time chart."""

    model: ShownModel
    x: float  # percent, from the left
    y: float  # percent, from the top
    seconds: float
    accuracy: float
    label_y: int  # pixels down to its label, negative above the point; 0 for no label


@dataclass(frozen=True)
class TimeChart:
    """Accuracy against training time for one kind of labels."""

    x: Axis  # seconds, logarithmic
    y: Axis  # accuracy as a fraction
    x_labels: list[str]  # one per tick
    curves: list[tuple[ShownModel, str, str]]  # with the images, and SVG points within 100 x 100
    marks: list[Mark]  # training time and accuracy on the test images


@dataclass(frozen=True)
class Cell:
    """A cell of a confusion matrix; `title` has its meaning in words."""

    count: int
    text: str
    shade: int
    title: str


def accuracy_axis(rates: Sequence[float]) -> Axis:
    """Choose an axis for rates with round bounds within 0 and 1, and four to nine ticks."""
    low, high = min(rates), max(rates)
    for step in (1, 2, 5, 10, 20):  # percent
        first = max(0, math.floor(100 * low / step - 0.2) * step)
        last = min(100, math.ceil(100 * high / step + 0.2) * step)
        if (last - first) / step <= 8:
            break
    while (last - first) / step < 3:  # nearly equal rates
        first, last = max(0, first - step), min(100, last + step)
    return Axis(first / 100, last / 100, tuple(t / 100 for t in range(first, last + 1, step)))


def time_axis(seconds: Sequence[float]) -> Axis:
    """Choose a logarithmic axis for positive seconds, with more ticks where labels have room."""
    low, high = min(seconds), max(seconds)
    margin = max(1.6, (high / low) ** 0.08)
    low, high = low / margin, high * margin
    axis = Axis(low, high, (), logarithmic=True)
    ticks: list[float] = []
    for tick in (*_TIME_TICKS_S, *_MORE_TIME_TICKS_S):
        apart = all(abs(axis.place(tick) - axis.place(t)) >= _LABEL_WIDTH - 4 for t in ticks)
        if low <= tick <= high and apart:
            ticks.append(tick)
    return replace(axis, ticks=tuple(sorted(ticks)))


def time_chart(comparison: Comparison, models: Sequence[ShownModel], kind: str) -> TimeChart | None:
    """Lay out accuracy against training time, all kinds of labels on the same axes.

    None where no model has a time and an accuracy.
    """
    lines = {of: _time_lines(comparison, models, of) for of in comparison.class_names}
    pairs = [
        pair
        for curves, ends in lines.values()
        for pair in [(s, rate) for _, s, rate in ends]
        + [p for _, _, curve in curves for p in curve]
    ]
    curves, ends = lines[kind]
    if not curves and not ends:
        return None
    x, y = time_axis([s for s, _ in pairs]), accuracy_axis([rate for _, rate in pairs])
    return TimeChart(
        x=x,
        y=y,
        x_labels=[tick_label(tick) for tick in x.ticks],
        curves=[
            (model, of, " ".join(f"{x.place(s)},{round(100 - y.place(a), 2)}" for s, a in curve))
            for model, of, curve in curves
        ],
        marks=_place_marks(ends, x, y),
    )


def _time_lines(
    comparison: Comparison, models: Sequence[ShownModel], kind: str
) -> tuple[
    list[tuple[ShownModel, str, list[tuple[float, float]]]], list[tuple[ShownModel, float, float]]
]:
    """Return learning curves, and the models' times and accuracies."""
    scores = comparison.scores[kind]
    curves, ends = [], []
    for model, entry in zip(models, comparison.models, strict=True):
        if entry.curve is not None:
            points = zip(entry.curve.seconds, entry.curve.accuracy[kind], strict=True)
            curves.append((model, entry.curve.images, [(s, rate) for s, rate in points if s]))
        seconds = entry.cost.training_s
        if seconds and model.id in scores:
            ends.append((model, seconds, scores[model.id].accuracy))
    return curves, ends


def confusion_cells(confusion: npt.ArrayLike, names: Sequence[str]) -> list[list[Cell]]:
    """Lay out the cells of a confusion matrix, row by row."""
    counts = np.asarray(confusion)
    return [
        [
            Cell(
                count=int(n),
                text=share_text(share),
                shade=share_shade(share),
                title=f"{true}, answered {predicted}: {n:,} of {row.sum():,}",
            )
            for predicted, n, share in zip(names, row, shares, strict=True)
        ]
        for true, row, shares in zip(names, counts, row_shares(counts), strict=True)
    ]


def tick_label(seconds: float) -> str:
    """Return a round time span in its largest unit, without decimals."""
    for unit, scale in (("d", 86400.0), ("h", 3600.0), ("min", 60.0), ("s", 1.0)):
        if seconds >= scale:
            return f"{seconds / scale:.0f}\N{NO-BREAK SPACE}{unit}"
    return f"{1000 * seconds:.0f}\N{NO-BREAK SPACE}ms"


def frequent_mistakes(confusion: npt.ArrayLike, names: Sequence[str], n: int = 3) -> list[str]:
    """Return the `n` confusions with the largest shares of a true class, ties in order."""
    mistakes = [
        (-share, i, j)
        for (i, j), share in np.ndenumerate(row_shares(confusion))
        if i != j and share > 0
    ]
    return [f"{names[i]} as {names[j]} ({percent(-s)})" for s, i, j in sorted(mistakes)[:n]]


def _place_marks(ends: Sequence[tuple[ShownModel, float, float]], x: Axis, y: Axis) -> list[Mark]:
    """Place points from the top down, and their labels where there is room."""
    spots = [(model, s, rate, x.place(s), round(100 - y.place(rate), 2)) for model, s, rate in ends]
    spots.sort(key=lambda spot: spot[4])
    taken = [(left, top) for *_, left, top in spots]
    marks = []
    for model, seconds, rate, left, top in spots:
        label_y = 0
        for candidate, centre in ((_ABOVE_PX, top - _LABEL_RISE), (_BELOW_PX, top + _LABEL_RISE)):
            if not any(
                abs(left - other_left) < _LABEL_WIDTH and abs(centre - other_top) < _LABEL_HEIGHT
                for other_left, other_top in taken
            ):
                label_y = candidate
                taken.append((left, centre))
                break
        marks.append(Mark(model, left, top, seconds, rate, label_y))
    return marks
