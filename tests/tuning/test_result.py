"""What a search writes: lines for people, a config, a CSV and heat maps."""

import io
import tomllib

import matplotlib.colors
import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import Rectangle
from problems import training_set
from sklearn.model_selection import StratifiedKFold

from svmcifar.io.csv_files import write_table
from svmcifar.metrics.per_class import accuracy_interval
from svmcifar.plots.figures import save_figure
from svmcifar.plots.search_heatmap import search_figure
from svmcifar.svm.path.evaluate import Scored
from svmcifar.svm.path.grid import Grid
from svmcifar.tuning.output import result_lines, write_config
from svmcifar.tuning.result import make_result
from svmcifar.tuning.search import search_svc

GRID = Grid([1, 10], ["0.5x", "2x"], [20, 40])


def scored(accuracy, n_held_out=200, gamma=0.01, unconverged=0):
    n_points = len(accuracy)
    accuracy = np.array(accuracy)
    return Scored(
        accuracy=accuracy,
        gamma=gamma * np.arange(1, n_points + 1),
        n_iter=np.full(n_points, 7),
        unconverged=np.full(n_points, unconverged),
        n_support=np.full(n_points, 90),
        n_train=800,
        n_held_out=n_held_out,
        memory_plan="all of it",
        solve_s=1.0,
        score_s=1.0,
    )


HOLDOUT = scored([0.2, 0.25, 0.3, 0.35, 0.8, 0.79, 0.75, 0.4])


def result_of(*splits, grid=GRID):
    return make_result(grid, splits, {"solve_s": 1.0})


def test_lines_of_one_split():
    heading, first, second, third, *_, note = result_lines(result_of(HOLDOUT), n_rows=4)
    low, high = accuracy_interval(160, 200)
    assert heading.split() == ["accuracy", "95", "%", "interval", "C", "gamma", "components"]
    assert first.split() == [
        "*", "80.00", "%", f"({100 * low:.2f}-{100 * high:.2f})", "10", "0.05", "(0.5x)", "20",
    ]  # fmt: skip
    assert second.split()[:3] == ["*", "79.00", "%"]
    assert third.split()[0] == "75.00"
    assert note == " * 2 of 8 settings are within a standard error (2.83 points) of the best"
    assert len(result_lines(result_of(HOLDOUT), n_rows=4)) == 6


def test_lines_of_folds_without_components():
    grid = Grid([1, 10], [0.5, 2.0])
    splits = [scored([0.2, 0.3, 0.4, 0.5]), scored([0.3, 0.3, 0.4, 0.6])]
    lines = result_lines(result_of(*splits, grid=grid))
    assert lines[0].split() == ["accuracy", "over", "2", "folds", "C", "gamma"]
    assert lines[1].split() == ["*", "55.00", "%", "+-", "5.00", "10", "2"]
    assert len(lines) == 6


def test_the_config_is_what_toml_reads():
    options = {
        "labels": "fine", "features": ["raw", "hog"], "pca": 512, "whiten": 0.5, "C": 10.0,
        "gamma": 3.4e-7, "augment": None, "note": 'a "b" \\ ü\t',
    }  # fmt: skip
    write_config(file := io.StringIO(), options, ["Of two\nlines.", "Another."])
    text = file.getvalue()
    assert text.splitlines()[:2] == ["# Of two lines.", "# Another."]
    expected = {name: value for name, value in options.items() if value is not None}
    assert tomllib.loads(text) == expected
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_config(io.StringIO(), {"gamma": float("nan")})


def test_the_table_is_a_csv_of_every_setting(tmp_path):
    result = result_of(HOLDOUT)
    write_table(result.table, tmp_path / "a.csv")
    found = pd.read_csv(tmp_path / "a.csv")
    assert len(found) == 8
    assert found["score"].is_monotonic_decreasing
    np.testing.assert_array_equal(found["gamma"], result.table["gamma"])
    assert found.columns[:5].tolist() == ["C", "gamma", "setting", "n_components", "score"]


def panels(figure):
    return [axes for axes in figure.axes if axes.get_xlabel() == "C"]


def cells(axes):
    return {(text.get_position()): text.get_text() for text in axes.texts}


def test_a_panel_for_each_number_of_components():
    figure = search_figure(result_of(HOLDOUT).table, "Search")
    few, many = panels(figure)
    assert figure.get_suptitle() == "Search"
    assert [axes.get_title() for axes in (few, many)] == ["20 components", "40 components"]
    for axes in (few, many):
        assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "10"]
        assert [label.get_text() for label in axes.get_yticklabels()] == ["0.5", "2"]
    # C across, gamma down.
    assert cells(few) == {(0, 0): "20.0", (0, 1): "30.0", (1, 0): "80.0", (1, 1): "75.0"}
    assert cells(many) == {(0, 0): "25.0", (0, 1): "35.0", (1, 0): "79.0", (1, 1): "40.0"}
    values = few.images[0].get_array()
    np.testing.assert_allclose(values, [[20, 80], [30, 75]])
    frames = [[p for p in axes.patches if isinstance(p, Rectangle)] for axes in (few, many)]
    assert [len(found) for found in frames] == [2, 0]
    assert {frame.get_xy() for frame in frames[0]} == {(0.5, -0.5)}


def test_cells_can_be_read_on_their_colour():
    figure = search_figure(result_of(HOLDOUT).table, "Search")
    for axes in panels(figure):
        image = axes.images[0]
        for (column, row), text in ((t.get_position(), t) for t in axes.texts):
            back = image.to_rgba(image.get_array())[row, column]
            lightness = [
                np.dot(matplotlib.colors.to_rgb(colour), [0.2126, 0.7152, 0.0722]) ** 2.2
                for colour in (back[:3], text.get_color())
            ]
            assert (max(lightness) + 0.05) / (min(lightness) + 0.05) > 3


@pytest.mark.parametrize("counts", [[None], [5], [1, 2, 3, 4, 5, 6, 7]])
@pytest.mark.parametrize("n_values", [1, 6])
def test_any_grid_can_be_drawn(tmp_path, counts, n_values):
    grid = Grid(np.geomspace(0.01, 1e4, n_values), np.geomspace(1e-6, 1, n_values), counts)
    accuracy = np.linspace(0.1, 0.9, len(grid.points)) if n_values > 1 else [0.5] * len(counts)
    result = result_of(scored(accuracy), grid=grid)
    figure = search_figure(result.table, "SYNTHETIC data: any")
    assert len(panels(figure)) >= len(counts)
    save_figure(figure, tmp_path / "a.png", dpi=40)
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_settings_within_an_error_of_the_best_are_marked():
    result = result_of(HOLDOUT)
    assert result.best.point == GRID.points[4]
    assert result.table["within"].tolist() == [True, True] + [False] * 6


def test_the_mean_over_the_folds_decides(monkeypatch):
    accuracy = iter([[1.0, 0.6, 0.5], [0.0, 0.6, 0.5]])
    monkeypatch.setattr("svmcifar.tuning.search.evaluate_points", lambda *_: scored(next(accuracy)))
    X, y = training_set(2, 80, d=4, seed=0, dtype=np.float64)
    folds = StratifiedKFold(2, shuffle=True, random_state=0).split(X, y)
    found = search_svc(X, y, C=[1.0, 2.0, 3.0], gamma=1.0, cv=folds, refit=False)
    assert found.best.C == 2.0
