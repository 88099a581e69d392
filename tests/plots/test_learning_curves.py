import numpy as np
import pytest

from svmcifar.plots.figures import save_figure
from svmcifar.plots.learning_curves import curves_figure as draw_curves


def curves_figure(history, title):
    return draw_curves(history, title, {"classes": "accuracy", "superclasses": "coarse_accuracy"})


def history(n_epochs=3, validation=True):
    return [
        {
            "epoch": k, "train_loss": 4 / k, "train_accuracy": 0.1 * k / n_epochs,
            "train_coarse_accuracy": 0.3 * k / n_epochs,
            **(
                {"validation_loss": 5 / k, "validation_accuracy": 0.2 * k / n_epochs,
                 "validation_coarse_accuracy": 0.4 * k / n_epochs} if validation else {}
            ),
            "learning_rate": 0.1, "seconds": 2.0,
        }
        for k in range(1, n_epochs + 1)
    ]  # fmt: skip


def drawn_labels(axis):
    """Give the tick labels within the axis' range; Matplotlib keeps others that it never draws."""
    axis.figure.draw_without_rendering()
    low, high = sorted(axis.get_view_interval())
    return [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]


def lines(axes):
    return {line.get_label(): line for line in axes.get_lines()}


def test_shows_each_score_of_each_epoch():
    loss, accuracy = curves_figure(history(), "SYNTHETIC data: net").axes
    assert loss.figure.get_suptitle() == "SYNTHETIC data: net"
    assert (loss.get_xlabel(), accuracy.get_xlabel()) == ("epoch", "epoch")
    assert loss.get_ylabel() == "cross-entropy (nats)"
    assert accuracy.get_ylabel() == "accuracy (%)"
    losses, accuracies = lines(loss), lines(accuracy)
    train, validation = "training images, while learning", "validation images"
    expected = {
        (train,): [4, 2, 4 / 3], (validation,): [5, 2.5, 5 / 3],
    }  # fmt: skip
    assert losses.keys() == {name for (name,) in expected}
    for (name,), values in expected.items():
        np.testing.assert_allclose(losses[name].get_ydata(), values)
    for name, last in {
        f"classes, {train}": 10, f"superclasses, {train}": 30,
        f"classes, {validation}": 20, f"superclasses, {validation}": 40,
    }.items():  # fmt: skip
        line = accuracies.pop(name)
        np.testing.assert_allclose(line.get_ydata(), np.array([1, 2, 3]) * last / 3)
        np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3])
    assert not accuracies
    assert accuracy.get_xlim() == loss.get_xlim() == (0.5, 3.5)
    assert accuracy.get_ylim() == (0, 100)
    assert loss.get_ylim()[0] == 0
    assert loss.get_ylim()[1] > 5


def test_lines_are_told_apart_without_and_with_colour():
    _, accuracy = curves_figure(history(), "").axes
    looks = [(line.get_linestyle(), line.get_color()) for line in accuracy.get_lines()]
    assert len(set(looks)) == 4
    for label, line in lines(accuracy).items():
        assert line.get_linestyle() == ("-" if "validation" in label else "--")


def test_without_validation():
    loss, accuracy = curves_figure(history(validation=False), "").axes
    assert len(loss.get_lines()) == 1
    assert len(accuracy.get_lines()) == 2


def test_one_epoch_can_be_seen():
    for axes in curves_figure(history(1), "").axes:
        assert all(line.get_marker() == "o" for line in axes.get_lines())
        assert [label.get_text() for label in drawn_labels(axes.xaxis)] == ["1"]


@pytest.mark.parametrize("n_epochs", [1, 2, 50, 300])
def test_nothing_is_cut_off(n_epochs):
    title = "SYNTHETIC data: a-name-that-somebody-made-rather-long, SYNTHETIC stand-in"
    figure = curves_figure(history(n_epochs), title)
    figure.draw_without_rendering()
    page = figure.bbox
    for axes in figure.axes:
        x_labels, y_labels = drawn_labels(axes.xaxis), drawn_labels(axes.yaxis)
        assert 1 <= len(x_labels) <= 12
        legend = axes.get_legend()
        groups = [
            x_labels,
            y_labels,
            [axes.xaxis.label, legend, figure._suptitle],
            [axes.yaxis.label],
        ]
        for group in groups:
            boxes = [text.get_window_extent() for text in group]
            for i, box in enumerate(boxes):
                assert page.x0 <= box.x0 < box.x1 <= page.x1
                assert page.y0 <= box.y0 < box.y1 <= page.y1
                assert not any(box.overlaps(other) for other in boxes[:i])


def test_same_history_same_bytes(tmp_path):
    for name in ("a.svg", "b.svg"):
        save_figure(curves_figure(history(), "title"), tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
