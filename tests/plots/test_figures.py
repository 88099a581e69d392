"""Figures through matplotlib's object API and as the files they become."""

import re
import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from svmcifar.errors import OutputError
from svmcifar.plots.figures import confusion_figure, image_grid_figure, save_figure

NAMES = ["ant", "bumble_bee", "cattle"]
CONFUSION = np.array([[3, 1, 0], [0, 0, 0], [1, 299, 100]])


def grid(n=4, n_columns=3, title="SYNTHETIC: first images", **changed):
    rng = np.random.default_rng(0)
    arguments = {
        "pictures": rng.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8),
        "predicted_names": [NAMES[i % 3] for i in range(n)],
        "true_names": [NAMES[i % 2] for i in range(n)],
    }
    return image_grid_figure(**(arguments | changed), title=title, n_columns=n_columns)


def long_names(n):
    return [f"large_omnivores_and_herbivores_{i}" for i in range(n)]


def assert_nothing_is_cut_off_or_overlaps(figure):
    """Check the drawn boxes: all text inside the figure, tick labels and titles apart."""
    figure.draw_without_rendering()
    page = figure.bbox
    groups = [[axes.title for axes in figure.axes] + [figure._suptitle]]
    for axes in figure.axes:
        groups += [axes.get_xticklabels(), axes.get_yticklabels()]
        groups.append([axes.xaxis.label, axes.yaxis.label])
    for group in groups:
        boxes = [text.get_window_extent() for text in group if text.get_text()]
        for i, box in enumerate(boxes):
            assert page.x0 <= box.x0 < box.x1 <= page.x1
            assert page.y0 <= box.y0 < box.y1 <= page.y1
            assert not any(box.overlaps(other) for other in boxes[:i])


def test_confusion_shows_each_row_in_percent():
    axes, colourbar = confusion_figure(CONFUSION, NAMES, "the title").axes
    shown = axes.images[0].get_array()
    np.testing.assert_allclose(shown[0], [75, 25, 0])
    np.testing.assert_allclose(shown[2], [0.25, 74.75, 25])
    assert shown.mask.tolist() == [[False] * 3, [True] * 3, [False] * 3]
    cells = {text.get_position(): text.get_text() for text in axes.texts}
    assert cells == {(0, 0): "75", (1, 0): "25", (0, 2): "<1", (1, 2): "75", (2, 2): "25"}
    assert axes.get_ylabel() == "true class"
    assert axes.get_xlabel() == "predicted class"
    assert colourbar.get_ylabel() == "share of the true class's images (%)"
    assert axes.figure.get_suptitle() == "the title"
    for labels in (axes.get_xticklabels(), axes.get_yticklabels()):
        assert [label.get_text() for label in labels] == ["ant", "bumble bee", "cattle"]


def test_confusion_cells_contrast_with_their_colour():
    confusion = np.array([[i, 100 - i] for i in range(0, 101, 10)])
    confusion = np.pad(confusion, ((0, 0), (0, 9)))
    figure = confusion_figure(confusion, [f"c{i}" for i in range(11)], "")
    axes = figure.axes[0]
    image = axes.images[0]
    for text in axes.texts:
        column, row = text.get_position()
        background = image.cmap(image.norm(confusion[row, column]))
        assert contrast(background, mpl.colors.to_rgba(text.get_color())) > 4.0


def contrast(*colours):
    """Return WCAG's contrast ratio of two colours."""
    linear = [[((c + 0.055) / 1.055) ** 2.4 if c > 0.04 else c / 12.92 for c in rgba[:3]]
              for rgba in colours]  # fmt: skip
    dark, light = sorted(0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b in linear)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize(("n_classes", "has_numbers"), [(2, True), (20, True), (100, False)])
def test_confusion_is_legible_at_every_size(n_classes, has_numbers):
    confusion = np.full((n_classes, n_classes), 7)
    title = "SYNTHETIC data set, test split: accuracy 38.1 % (95 % interval 37.2 to 39.1 %)"
    figure = confusion_figure(confusion, long_names(n_classes), title)
    assert bool(figure.axes[0].texts) == has_numbers
    assert len(figure.axes[0].get_yticklabels()) == n_classes
    assert_nothing_is_cut_off_or_overlaps(figure)
    assert max(figure.get_size_inches()) < 20


def test_confusion_colours_get_darker_with_the_share():
    image = confusion_figure(CONFUSION, NAMES, "").axes[0].images[0]
    grey = image.cmap(image.norm(np.arange(0, 101)))[:, :3] @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(grey) <= 1e-3).all()
    assert grey[0] - grey[5] > 0.1  # rare confusions can be seen
    assert not np.allclose(image.cmap.get_bad()[:3], image.cmap(0.0)[:3], atol=0.1)


def test_grid_tells_right_from_wrong_without_colour():
    figure = grid()
    captions = [axes.get_title() for axes in figure.axes]
    assert captions == [
        "✓ predicted: ant\ntrue: ant",
        "✓ predicted: bumble bee\ntrue: bumble bee",
        "✗ predicted: cattle\ntrue: ant",
        "✗ predicted: ant\ntrue: bumble bee",
    ]
    styles = [{spine.get_linestyle() for spine in axes.spines.values()} for axes in figure.axes]
    assert styles[0] == styles[1] != styles[2] == styles[3]
    assert figure.get_suptitle() == "SYNTHETIC: first images\n2 of 4 right (✓)"


def test_grid_pictures_are_whole_and_crisp():
    pictures = np.random.default_rng(1).integers(0, 256, (9, 32, 32, 3), dtype=np.uint8)
    figure = grid(9, pictures=pictures)
    for axes, picture in zip(figure.axes, pictures, strict=True):
        np.testing.assert_array_equal(axes.images[0].get_array(), picture)
        assert axes.images[0].get_interpolation() == "nearest"
        assert not axes.get_xticks().size
        assert not axes.get_yticks().size


@pytest.mark.parametrize(
    ("n", "n_columns", "shape"), [(9, 3, (3, 3)), (4, 3, (2, 3)), (2, 5, (1, 2)), (1, 3, (1, 1))]
)
def test_grid_has_room_for_long_names(n, n_columns, shape):
    title = "SYNTHETIC data set: the first images of the test split, superclass labels"
    names = long_names(n)
    figure = grid(n, n_columns, title, predicted_names=names, true_names=names[::-1])
    spec = figure.axes[0].get_subplotspec().get_gridspec()
    assert (spec.nrows, spec.ncols) == shape
    assert_nothing_is_cut_off_or_overlaps(figure)
    assert "".join(figure.get_suptitle().split()).startswith("".join(title.split()))
    for axes in figure.axes:
        assert axes.get_window_extent().width > 180  # 1.8 inches at 100 dots per inch


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"pictures": np.zeros((4, 32, 32, 3))}, "must be uint8 .* Got float64"),
        ({"pictures": np.zeros((4, 3, 32, 32), np.uint8)}, r"Got uint8 of shape \(4, 3, 32, 32\)"),
        ({"true_names": ["ant"]}, "one predicted and one true name"),
        ({"n": 0}, "and a picture. Got 0 pictures"),
        ({"n_columns": 0}, "n_columns must be at least 1"),
    ],
)
def test_grid_rejects_bad_input(changed, message):
    with pytest.raises(ValueError, match=message):
        grid(**changed)


@pytest.mark.parametrize(
    ("confusion", "names", "message"),
    [
        (CONFUSION[:2], NAMES, r"shape \(3, 3\). Got shape \(2, 3\)"),
        (CONFUSION, NAMES[:2], r"shape \(2, 2\). Got shape \(3, 3\)"),
        (np.zeros((0, 0)), [], r"Got shape \(0, 0\)"),
        (-CONFUSION, NAMES, "counts of 0 or more. Got -299"),
    ],
)
def test_confusion_rejects_bad_input(confusion, names, message):
    with pytest.raises(ValueError, match=message):
        confusion_figure(confusion, names, "")


def test_png_has_the_size_in_pixels(tmp_path):
    figure = confusion_figure(CONFUSION, NAMES, "title")
    for dpi in (50, 150):
        save_figure(figure, tmp_path / "figure.png", dpi=dpi)
        with Image.open(tmp_path / "figure.png") as picture:
            assert picture.size == pytest.approx(figure.get_size_inches() * dpi, abs=1)


def test_svg_text_is_text(tmp_path):
    save_figure(confusion_figure(CONFUSION, NAMES, "SYNTHETIC title"), tmp_path / "confusion.svg")
    save_figure(grid(), str(tmp_path / "grid.SVG"))
    confusion = (tmp_path / "confusion.svg").read_text()
    for text in ("ant", "bumble bee", "cattle", "SYNTHETIC title", "true class", "&lt;1"):
        assert f">{text}</text>" in confusion
    assert "predicted: bumble bee" in (tmp_path / "grid.SVG").read_text()


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_bytes_are_deterministic(tmp_path, suffix, monkeypatch):
    paths = [tmp_path / f"{i}.{suffix}" for i in range(2)]
    for path, date in zip(paths, ("0", "1000000000"), strict=True):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", date)
        save_figure(grid(2), path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert paths[0].stat().st_size > 1000


@pytest.mark.parametrize("name", ["figure.jpg", "figure", "figure.png.txt"])
def test_unknown_suffix_is_an_output_error(tmp_path, name):
    with pytest.raises(OutputError, match=r"must end in .png, .svg or .pdf") as caught:
        save_figure(Figure(), tmp_path / name)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_path_that_cannot_be_written_is_an_output_error(tmp_path):
    (tmp_path / "file").write_text("no folder")
    path = tmp_path / "file" / "figure.png"
    with pytest.raises(OutputError, match=f"^{re.escape(str(path))}: an output must be writable"):
        save_figure(Figure(), path)


def test_a_failed_figure_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "figure.png"
    path.write_text("precious")

    def fail(self, path, **kwargs):
        path.write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Figure, "savefig", fail)
    with pytest.raises(OutputError, match="No space left on device"):
        save_figure(Figure(), path)
    assert [p.read_text() for p in tmp_path.iterdir()] == ["precious"]


def test_no_pyplot_and_no_global_state(tmp_path):
    code = f"""
import sys, matplotlib, numpy
from svmcifar.plots.figures import image_grid_figure, save_figure

def parameters():  # but for the backend: to look at it imports pyplot
    return {{key: matplotlib.rcParams[key] for key in matplotlib.rcParams if key != "backend"}}

before = parameters()
figure = image_grid_figure(numpy.zeros((1, 32, 32, 3), numpy.uint8), ["a"], ["a"], "title")
save_figure(figure, {str(tmp_path / "grid.svg")!r})
assert parameters() == before
assert "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
