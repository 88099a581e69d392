"""Figures through matplotlib's object API and as the files they become."""

import re
import subprocess
import sys
import warnings
from xml.etree import ElementTree

import numpy as np
import pytest
from figureboxes import assert_nothing_is_cut_off_or_overlaps, long_names
from fulldisk import full_disk
from matplotlib.figure import Figure
from PIL import Image

from svmcifar.errors import OutputError
from svmcifar.plots import figures
from svmcifar.plots.confusion_matrix import confusion_figure
from svmcifar.plots.figures import image_grid_figure, save_figure

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


@pytest.mark.parametrize("n_bytes", [0, 1, 1000, 4000])
@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_a_full_disk_leaves_the_old_file(tmp_path, suffix, n_bytes):
    path = tmp_path / f"figure.{suffix}"
    path.write_text("precious")
    with pytest.raises(OutputError, match=f"^{path}: .*too large") as caught, full_disk(n_bytes):
        save_figure(grid(2), path)
    assert "\n" not in str(caught.value)
    assert [p.read_text() for p in tmp_path.iterdir()] == ["precious"]


def test_characters_that_the_font_lacks_are_one_warning(tmp_path):
    figures._warn_of_glyphs.cache_clear()
    names = ["模型", "网络", "猫"]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for suffix in ("png", "svg", "pdf"):
            save_figure(confusion_figure(CONFUSION, names, "图"), tmp_path / f"a.{suffix}")
    assert len(caught) == 1
    assert "font.family" in str(caught[0].message)
    assert "猫" in (tmp_path / "a.svg").read_text()


def test_other_warnings_stay(tmp_path):
    figure = grid(1)
    figure.draw_without_rendering = lambda: None
    figure.savefig = lambda *args, **kwargs: warnings.warn("another", stacklevel=2)
    with pytest.warns(UserWarning, match="another"):
        save_figure(figure, tmp_path / "a.png")


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_hostile_names(tmp_path, suffix):
    """Long, of no glyph, mathematics to Matplotlib or nothing to XML: as text, and cut."""
    names = ["x" * 5000, "$\\frac{$x^$ $", "\0\x1b[31m\u202e&<"]
    for number, figure in enumerate(
        [
            confusion_figure(CONFUSION, names, "title $x^$"),
            grid(3, predicted_names=names, true_names=names),
        ]
    ):
        path = tmp_path / f"{number}.{suffix}"
        save_figure(figure, path)
        assert figure.get_size_inches().max() < 30
        if suffix == "svg":
            texts = "".join(ElementTree.fromstring(path.read_text()).itertext())
            assert "x" * 59 + "…" in texts
            assert "$\\frac{$x^$ $" in texts
            assert r"\x00\x1b[31m\u202e&<" in texts


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
