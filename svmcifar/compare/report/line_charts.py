"""Lines of the page and of the figures: reliability, risk against coverage, images made worse."""

from collections.abc import Sequence
from dataclasses import dataclass

from svmcifar.compare.comparison import Comparison
from svmcifar.compare.report.chart_layout import Axis, accuracy_axis
from svmcifar.compare.report.model_styles import ShownModel
from svmcifar.data.corruptions import STRENGTHS

Points = list[tuple[float, float]]

# Bins of fewer images are no points of a reliability diagram: chance moves them far.
LEAST_IN_BIN = 20
MOST_MARKED = 20  # points of a line that have markers
_SHARES = Axis(0.0, 1.0, (0.0, 0.2, 0.4, 0.6, 0.8, 1.0))
_LEVELS = Axis(0.0, 5.0, (0, 1, 2, 3, 4, 5))


@dataclass(frozen=True)
class LineChart:
    """A chart with a line for each model that has one; values are fractions, or strengths."""

    title: str
    x_title: str
    y_title: str
    x: Axis
    y: Axis
    lines: list[tuple[ShownModel, Points]]
    diagonal: bool = False  # whether x = y is drawn: a perfectly calibrated model

    def text(self, tick: float) -> str:
        """Return the label of a tick of the horizontal axis."""
        return f"{100 * tick:.0f}" if self.x is _SHARES else f"{tick:.0f}"

    def svg_points(self, points: Points) -> str:
        """Return points for an SVG of 100 x 100."""
        return " ".join(f"{x},{round(100 - y, 2)}" for x, y in self.placed(points))

    def placed(self, points: Points) -> Points:
        """Return points in percent of the axes."""
        return [(self.x.place(x), self.y.place(y)) for x, y in points]


def reliability_charts(
    comparison: Comparison, models: Sequence[ShownModel], kind: str
) -> list[LineChart]:
    """Lay out accuracy against confidence: as answered, and once calibrated by temperature."""
    scores, charts = comparison.scores[kind], []
    for title, key in (
        ("As answered", "reliability"),
        ("Calibrated by one temperature", "calibrated_reliability"),
    ):
        found = [(m, getattr(scores[m.id], key)) for m in models if m.id in scores]
        lines = [
            (
                model,
                [(b.confidence, b.accuracy) for b in of.bins if b.n_samples >= LEAST_IN_BIN],
            )
            for model, of in found
            if of is not None
        ]
        if lines:
            title = f"{title}: {comparison.title_of(kind)}"
            chart = LineChart(
                title, "confidence (%)", "accuracy (%)", _SHARES, _SHARES, lines, diagonal=True
            )
            charts.append(chart)
    return charts


def risk_charts(comparison: Comparison, models: Sequence[ShownModel]) -> list[LineChart]:
    """Lay out risk against coverage, a chart per kind of labels, on the same axes."""
    found = {
        kind: [
            (model, curve)
            for model in models
            if model.id in scores and (curve := scores[model.id].risk_coverage) is not None
        ]
        for kind, scores in comparison.scores.items()
    }
    risks = [risk for of_kind in found.values() for _, curve in of_kind for risk in curve.risks]
    return [
        LineChart(
            comparison.title_of(kind)[:1].upper() + comparison.title_of(kind)[1:],
            "coverage: answered images (%)",
            "risk: wrong among them (%)",
            _SHARES,
            accuracy_axis([0.0, *risks]),
            [(model, list(zip(c.coverages, c.risks, strict=True))) for model, c in of_kind],
        )
        for kind, of_kind in found.items()
        if of_kind
    ]


def robustness_charts(comparison: Comparison, models: Sequence[ShownModel]) -> list[LineChart]:
    """Lay out accuracy of the main kind against the strength of each corruption, on one axis."""
    found, kind = comparison.robustness, comparison.main_kind
    if found is None:
        return []
    before, worse = found.accuracy[kind], found.worse[kind]
    rates = [rate for of in worse.values() for some in of.values() for rate in some]
    y = accuracy_axis([*before.values(), *rates])
    return [
        LineChart(
            name.capitalize(),
            "strength",
            "accuracy (%)",
            _LEVELS,
            y,
            [(m, list(enumerate([before[m.id], *worse[m.id][name]]))) for m in models],
        )
        for name in STRENGTHS
    ]
