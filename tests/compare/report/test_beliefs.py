"""Confidence, mixtures, worse images and the matrix of many classes on the page."""

import re
from dataclasses import replace

import numpy as np
import pytest
from comparisons import LONG_NAMES, changed, make_comparison
from pagetree import read, section, table_of

from svmcifar.compare.report.chart_layout import time_chart
from svmcifar.compare.report.confusion_maps import class_order, draw_maps
from svmcifar.compare.report.line_charts import LEAST_IN_BIN, reliability_charts, risk_charts
from svmcifar.compare.report.model_styles import show_models


@pytest.fixture(scope="module")
def comparison():
    return make_comparison(svm_labels="fine")


@pytest.fixture(scope="module")
def page(comparison):
    return read(comparison)


def test_reliability_is_drawn_from_bins_with_enough_images(comparison):
    models = show_models(comparison)
    before, after = reliability_charts(comparison, models, "fine")
    assert [model.id for model, _ in before.lines] == ["cnn"]  # the SVM has no probabilities
    assert [model.id for model, _ in after.lines] == ["cnn", "svm"]
    bins = comparison.scores["fine"]["svm"].calibrated_reliability.bins
    expected = [(b.confidence, b.accuracy) for b in bins if b.n_samples >= LEAST_IN_BIN]
    assert after.lines[1][1] == expected
    assert 0 < len(expected) < len(bins)


def test_lines_lie_where_the_numbers_are(comparison, page):
    (chart, _) = risk_charts(comparison, show_models(comparison))
    line = section(page, "belief").all("polyline")[-3]
    curve = comparison.scores["coarse"]["cnn"].risk_coverage
    places = [tuple(map(float, point.split(","))) for point in line["points"].split()]
    expected = [
        (100 * x, 100 - 100 * y / chart.y.high)
        for x, y in zip(curve.coverages, curve.risks, strict=True)
    ]
    np.testing.assert_allclose(places, expected, atol=0.02)


def test_tables_of_beliefs_and_places(comparison, page):
    belief = section(page, "belief")
    rows = table_of(belief, "Calibration, and risk against coverage, 100 fine")
    scores = [comparison.scores["fine"][m] for m in ("cnn", "svm")]
    errors = [s.calibrated_reliability.error for s in scores]
    shown = [td.text for td in rows["Calibration error, calibrated"]]
    assert shown == [f"{100 * error:.2f} %" for error in errors]
    assert [td.text for td in rows["Confidence is the"]] == ["probability", "margin"]
    areas = [s.risk_coverage.area for s in scores]
    assert [td.text for td in rows["Area under risk and coverage"]] == [f"{a:.3f}" for a in areas]
    rows = table_of(belief, "Wrong answers on the 100 fine")
    places = [s.error_places for s in scores]
    assert [td.text for td in rows["Wrong answers"]] == [str(p.n_wrong) for p in places]
    assert [td.text for td in rows["Expected by chance"]] == ["4.0 %", "4.0 %"]


def test_mixtures_and_worse_images(comparison, page):
    rows = table_of(section(page, "together"), "Pairs of a network and an SVM on the 100 fine")
    ((name, cells),) = rows.items()
    assert name == "CNN reference-w16 and SVM (fine)"
    mixture = comparison.mixtures["fine"][0]
    assert cells[0].text == f"{100 * mixture.accuracy:.2f} %"
    assert "Equal weights, because" in section(page, "together").text
    worse = section(page, "worse")
    assert len(worse.with_class("plot")) == 4
    rows = table_of(worse, "Mean accuracy over the five strengths, 20 sup")
    rate = comparison.robustness.accuracy["coarse"]["cnn"]
    assert rows["As they are"][0].text == f"{100 * rate:.1f} %"
    assert rows["Blur"][0].text == f"{100 * rate * 0.7:.1f} %"


def test_what_was_not_measured_is_said():
    root = read(make_comparison(robust=False))
    assert "Not measured: svmcifar compare --robustness" in section(root, "worse").text
    none = replace(make_comparison(), mixtures={"coarse": [], "fine": []})
    assert "There is no pair" in section(read(none), "together").text


def test_matrix_of_many_classes_is_sorted_by_superclass(comparison, page):
    order, blocks = class_order(comparison, "fine")
    of = LONG_NAMES["coarse_of_fine"]
    assert [of[i] for i in order] == sorted(of)
    assert sorted(order) == list(range(100))
    assert [block.name for block in blocks] == [n.replace("_", " ") for n in LONG_NAMES["coarse"]]
    assert [(block.start, block.size) for block in blocks] == [(5 * i, 5) for i in range(20)]
    maps = [m for m in draw_maps(comparison, show_models(comparison)) if not m.is_small]
    assert [m.model.id for m in maps] == ["cnn", "svm"]
    confusion = comparison.scores["fine"]["svm"].confusion[np.ix_(order, order)]
    drawn = np.zeros_like(confusion, dtype=bool)
    for _, path in maps[1].paths:
        for column, row in re.findall(r"M(\d+) (\d+)h1v1h-1z", path):
            assert not drawn[int(row), int(column)]
            drawn[int(row), int(column)] = True
    np.testing.assert_array_equal(drawn, confusion / confusion.sum(axis=1, keepdims=True) >= 0.005)
    figures = [f for f in page.with_class("map") if "narrow" not in f.classes]
    assert len(figures) == 2
    texts = [t.text for t in figures[0].all("text")]
    assert texts[:100] == [LONG_NAMES["fine"][i].replace("_", " ") for i in order]
    assert texts[100:] == [block.name for block in blocks]


def test_time_charts_have_the_same_axes_and_say_logarithmic(comparison, page):
    models = show_models(comparison)
    coarse, fine = (time_chart(comparison, models, kind) for kind in ("coarse", "fine"))
    assert (coarse.x, coarse.y) == (fine.x, fine.y)
    titles = [t.text for t in section(page, "time").all("text") if "title" in t.classes]
    assert sum("(logarithmic)" in title for title in titles) == 2


def test_large_numbers_have_their_commas():
    truth = np.tile(np.arange(100), 25)
    made = {"training": {"parameters": {"n_filters": 1600}, "n": 50000, "tol": 0.001}}
    comparison = changed(make_comparison(truth=truth, svm_labels="fine"), {}, {"made": made})
    root = read(comparison, np.zeros((2500, 32, 32, 3), np.uint8))
    for part in root.all("section"):
        texts = [c for e in part.walk() for c in e.children if isinstance(c, str)]
        texts = [re.sub(r"AMD EPYC 7763|2026-\S+|[0-9a-f]{20,}", "", text) for text in texts]
        assert [t for t in texts if re.search(r"(?<![\w.])\d{4,}(?!\w)", t)] == []
    assert "2,500 test images" in section(root, "short").text
    facts = section(root, "made").text
    assert "1,600" in facts
    assert "50,000" in facts


def test_names_are_short_and_still_differ():
    long = "CNN a_network_with_a_very_long_name_epoch=199_"
    comparison = make_comparison(n_cnns=3)
    names = [f"{long}{end}" for end in ("a_run_val_acc=0.71", "b_run_val_acc=0.71", "val_acc=0.69")]
    shown = [m.name for m in show_models(changed(comparison, *({"name": n} for n in names)))]
    assert len(set(shown)) == 4
    assert all(len(name) <= 34 for name in shown)
    assert shown[0].startswith("CNN a_network")
    assert shown[2].endswith("val_acc=0.69")
    assert shown[3] == "SVM (coarse)"
