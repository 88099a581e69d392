"""The comparison's charts as matplotlib draws them, and as files."""

import matplotlib as mpl
import numpy as np
import pytest
from comparisons import LONG_NAMES, SYNTHETIC_NAMES, changed, make_comparison
from PIL import Image

from svmcifar.compare.report.figures import (
    accuracy_figure,
    recall_figure,
    reliability_figure,
    risk_figure,
    robustness_figure,
    time_figure,
    write_figures,
)
from svmcifar.errors import OutputError


@pytest.fixture(scope="module")
def comparison():
    return make_comparison(n_cnns=2, ensemble=True, svm_labels="fine")


def titles(figure):
    return [axes.get_title(loc="left") for axes in figure.axes]


def assert_nothing_is_cut_off(figure):
    figure.draw_without_rendering()
    texts = [figure._suptitle]
    for axes in figure.axes:
        low, high = axes.get_xlim()
        texts += [t for t in axes.get_xticklabels() if low <= t.get_position()[0] <= high]
        texts += [*axes.get_yticklabels(), axes.xaxis.label]
    for text in texts:
        box = text.get_window_extent()
        assert not text.get_text() or (box.x0 >= 0 and box.x1 <= figure.bbox.x1)
        assert not text.get_text() or (box.y0 >= 0 and box.y1 <= figure.bbox.y1)


def test_accuracies_have_their_intervals(comparison):
    figure = accuracy_figure(comparison)
    assert titles(figure) == ["20 superclasses", "100 fine classes"]
    for axes, kind in zip(figure.axes, ("coarse", "fine"), strict=True):
        names = [label.get_text() for label in axes.get_yticklabels()]
        assert names == [model.name for model in comparison.models]
        assert len(axes.containers) == 4
        for drawn, model in zip(axes.containers, comparison.models, strict=True):
            score = comparison.scores[kind][model.id]
            line, _, (bars,) = drawn
            assert line.get_xdata() == [pytest.approx(100 * score.accuracy)]
            ((low, _), (high, _)) = bars.get_segments()[0]
            assert (low, high) == pytest.approx([100 * b for b in score.accuracy_interval])
    assert figure.get_suptitle() == "Accuracy, CIFAR-100"
    assert_nothing_is_cut_off(figure)


def test_bars_are_the_recalls_in_the_order_of_the_difference(comparison):
    figure = recall_figure(comparison)
    (axes,) = figure.axes
    tables = {m: s.per_class["recall"] for m, s in comparison.scores["coarse"].items()}
    gaps = tables["ensemble"] - tables["svm"]
    order = np.argsort(-gaps, kind="stable")
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == [LONG_NAMES["coarse"][i].replace("_", " ") for i in order]
    assert axes.yaxis_inverted()  # the first row is on top
    for bars, model in zip(axes.containers, comparison.models, strict=True):
        assert bars.get_label() == model.name
        expected = [100 * tables[model.id][i] for i in order]
        assert [bar.get_width() for bar in bars] == pytest.approx(expected)
    assert_nothing_is_cut_off(figure)


def test_times_are_on_a_logarithmic_axis_with_curves_and_ends(comparison):
    figure = time_figure(comparison)
    for axes, kind in zip(figure.axes, ("coarse", "fine"), strict=True):
        assert axes.get_xscale() == "log"
        lines = {line.get_label(): line for line in axes.lines}
        for model in comparison.models:
            end = lines[f"{model.name}, test images"]
            assert end.get_xdata() == [model.cost.training_s]
            rate = comparison.scores[kind][model.id].accuracy
            assert end.get_ydata() == [pytest.approx(100 * rate)]
            if model.curve:
                curve = lines[f"{model.name}, validation images"]
                assert tuple(curve.get_xdata()) == model.curve.seconds
                rates = [100 * rate for rate in model.curve.accuracy[kind]]
                assert list(curve.get_ydata()) == pytest.approx(rates)
                assert curve.get_color() == end.get_color()
    assert_nothing_is_cut_off(figure)


def test_models_have_one_colour_and_marker_each(comparison):
    lines = [line for line in time_figure(comparison).axes[0].lines if len(line.get_xdata()) == 1]
    colours = {mpl.colors.to_hex(line.get_color()) for line in lines}
    assert len(colours) == len({line.get_marker() for line in lines}) == 4
    assert {"#0072b2", "#d55e00"} <= colours


def test_unknown_times_are_left_out(comparison):
    less = changed(comparison, *[{"training_s": None}] * 4)
    lines = time_figure(less).axes[0].lines
    assert [len(line.get_xdata()) for line in lines] == [50, 50]
    assert time_figure(changed(less, *[{"curve": None}] * 4)) is None


def test_lines_of_risk_reliability_and_worse_images(comparison):
    risk, reliability, worse = (
        draw(comparison) for draw in (risk_figure, reliability_figure, robustness_figure)
    )
    assert titles(risk) == ["20 superclasses", "100 fine classes"]
    curve = comparison.scores["fine"]["svm"].risk_coverage
    line = risk.axes[1].lines[-1]
    np.testing.assert_allclose(line.get_xdata(), 100 * np.array(curve.coverages))
    np.testing.assert_allclose(line.get_ydata(), 100 * np.array(curve.risks))
    assert len(reliability.axes) == 4
    assert titles(worse) == ["Noise", "Blur", "Contrast", "Shift"]
    rates = comparison.robustness.worse["coarse"]["svm"]["shift"]
    np.testing.assert_allclose(worse.axes[3].lines[-1].get_ydata()[1:], 100 * np.array(rates))
    assert len({axes.get_ylim() for axes in worse.axes}) == 1
    for figure in (risk, reliability, worse):
        assert_nothing_is_cut_off(figure)


def test_time_panels_share_their_axes_and_say_logarithmic(comparison):
    first, second = time_figure(comparison).axes
    assert (first.get_xlim(), first.get_ylim()) == (second.get_xlim(), second.get_ylim())
    assert "(logarithmic)" in first.get_xlabel()


def test_files_are_written_and_named(tmp_path):
    comparison = make_comparison(names=SYNTHETIC_NAMES, synthetic=True)
    names = write_figures(comparison, tmp_path)
    assert names == [
        "figures/accuracy.png",
        "figures/accuracy.svg",
        "figures/superclasses.png",
        "figures/superclasses.svg",
        "figures/time-to-accuracy.png",
        "figures/time-to-accuracy.svg",
        "figures/calibration.png",
        "figures/calibration.svg",
        "figures/risk-coverage.png",
        "figures/risk-coverage.svg",
        "figures/robustness.png",
        "figures/robustness.svg",
        "figures/confusion-coarse-cnn.png",
        "figures/confusion-coarse-svm.png",
        "figures/confusion-fine-cnn.png",
    ]
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")}
    assert written == set(names)
    for name in names:
        if name.endswith(".svg"):
            assert "SYNTHETIC stand-in" in (tmp_path / name).read_text()
        else:
            with Image.open(tmp_path / name) as picture:
                assert min(picture.size) > 300


def test_without_superclasses_there_is_one_panel():
    less = make_comparison(svm_labels="fine", kinds=("fine",))
    assert titles(accuracy_figure(less)) == titles(time_figure(less)) == ["100 classes"]
    assert recall_figure(less).get_suptitle().startswith("Accuracy by class, sorted by CNN")


def test_folder_that_cannot_be_written_is_said_in_one_line(comparison, tmp_path):
    (tmp_path / "figures").write_text("")
    with pytest.raises(OutputError, match=r"accuracy\.png: an output must be writable"):
        write_figures(comparison, tmp_path)
