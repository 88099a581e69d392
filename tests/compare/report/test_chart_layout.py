"""The page's charts and words: where things are drawn, and how numbers are written."""

import math
from itertools import pairwise

import numpy as np
import pytest
from comparisons import changed, make_comparison

from svmcifar.compare.report.chart_layout import (
    accuracy_axis,
    confusion_cells,
    time_axis,
    time_chart,
)
from svmcifar.compare.report.formatting import (
    count,
    decimal,
    duration,
    percent,
    percent_range,
    points,
    probability,
    significant,
    size,
)
from svmcifar.compare.report.model_styles import show_models


@pytest.fixture(scope="module")
def comparison():
    return make_comparison()


def test_shades_grow_with_the_share():
    cells = confusion_cells([[0, 1, 9, 190], [200, 0, 0, 0], [0, 0, 0, 0], [0, 0, 50, 50]], "abcd")
    assert [cell.shade for cell in cells[0]] == [0, 1, 4, 10]
    assert [cell.text for cell in cells[0]] == ["", "0", "4", "95"]
    assert [cell.text for cell in cells[2]] == [""] * 4
    assert cells[3][2].shade == cells[3][3].shade == 8


def test_time_chart_puts_points_where_they_belong(comparison):
    chart = time_chart(comparison, show_models(comparison), "coarse")
    marks = {mark.model.id: mark for mark in chart.marks}
    assert set(marks) == {"cnn", "svm"}
    for entry in comparison.models:
        mark = marks[entry.id]
        span = math.log(chart.x.high / chart.x.low)
        left = 100 * math.log(entry.cost.training_s / chart.x.low) / span
        rate = comparison.scores["coarse"][entry.id].accuracy
        top = 100 * (chart.y.high - rate) / (chart.y.high - chart.y.low)
        assert (mark.x, mark.y) == pytest.approx((left, top), abs=0.02)
        assert (mark.seconds, mark.accuracy) == (entry.cost.training_s, rate)
    ((model, of, drawn),) = chart.curves
    assert (model.id, of) == ("cnn", "validation images")
    spots = [tuple(map(float, spot.split(","))) for spot in drawn.split()]
    assert len(spots) == 50
    assert [x for x, _ in spots] == sorted(x for x, _ in spots)
    assert all(0 <= x <= 100 and 0 <= y <= 100 for x, y in spots)
    last = comparison.models[0].curve.accuracy["coarse"][-1]
    top = 100 * (chart.y.high - last) / (chart.y.high - chart.y.low)
    assert spots[-1][1] == pytest.approx(top, abs=0.02)


def test_labels_of_near_points_do_not_lie_on_each_other():
    comparison = make_comparison(n_cnns=4, accuracies=(0.66, 0.66, 0.65, 0.64))
    comparison = changed(comparison, *[{"training_s": 3000.0}] * 4)
    chart = time_chart(comparison, show_models(comparison), "fine")
    labelled = [mark.y + (6 if mark.label_y > 0 else -6) for mark in chart.marks if mark.label_y]
    assert len(labelled) >= 2
    gaps = np.diff(sorted(labelled))
    assert (gaps >= 5.5).all()


@pytest.mark.parametrize("seconds", [[0.02], [1.0, 2.0], [0.5, 4453.0], [3600.0, 9e5], [60.0]])
def test_time_axis_shows_all_times_with_ticks_apart(seconds):
    axis = time_axis(seconds)
    places = [axis.place(s) for s in seconds]
    assert all(5 <= place <= 95 for place in places)
    assert axis.ticks
    ticks = [axis.place(t) for t in axis.ticks]
    assert all(0 <= t <= 100 for t in ticks)
    assert all(b - a >= 16 for a, b in pairwise(ticks))


@pytest.mark.parametrize(
    "rates", [[0.5], [0.0, 1.0], [0.631, 0.634], [0.999, 1.0], [0.0], [0.38, 0.74]]
)
def test_accuracy_axis_shows_all_rates_with_few_round_ticks(rates):
    axis = accuracy_axis(rates)
    assert 0 <= axis.low <= min(rates) <= max(rates) <= axis.high <= 1
    assert 4 <= len(axis.ticks) <= 9
    assert (axis.ticks[0], axis.ticks[-1]) == (axis.low, axis.high)


def test_models_differ_in_colour_and_shape():
    models = show_models(make_comparison(n_cnns=4, ensemble=True))
    assert len({m.slot for m in models}) == len({m.style.shape for m in models}) == len(models) == 6
    assert [m.slot for m in models][-2:] == ["ensemble", "svm"]


@pytest.mark.parametrize(
    ("function", "value", "text"),
    [
        (percent, 0.38125, "38.1 %"), (percent, None, "–"), (percent, 1.0, "100.0 %"),
        (percent, math.nan, "–"), (points, math.nan, "–"), (decimal, math.nan, "–"),
        (points, 0.0849, "+8.5"), (points, -0.0849, "−8.5"), (points, 0.0, "0.0"),
        (points, -0.0001, "0.0"), (points, None, "–"), (decimal, -0.12345, "−0.123"),
        (count, 1234567, "1,234,567"), (count, None, "–"), (significant, 1234.5, "1,234"),
        (significant, 0.20451, "0.205"), (significant, 0, "0"), (significant, 12.345, "12.3"),
        (duration, 0.0421, "0.0421 s"), (duration, 59.9, "59.9 s"), (duration, 59.97, "1 min"),
        (duration, 125.4, "2 min 5 s"), (duration, 3599.6, "1 h"), (duration, 11230, "3 h 7 min"),
        (duration, None, "–"), (size, 999, "999 bytes"), (size, 1_234_567, "1.23 MB"),
        (size, 2_500_000_000, "2.50 GB"), (size, 12_300, "12.3 kB"),
        (probability, 0.03449, "p = 0.034"), (probability, 2.4e-17, "p = 2 × 10⁻¹⁷"),
        (probability, 0.0, "p < 10⁻³⁰⁰"), (probability, 1.0, "p = 1.000"),
    ],
)  # fmt: skip
def test_words(function, value, text):
    assert function(value).replace("\xa0", " ") == text


def test_ranges_have_their_unit_once():
    assert percent_range(0.1, 0.25).replace("\xa0", " ") == "10.0 to 25.0 %"
    assert percent_range(None, None) == "–"
