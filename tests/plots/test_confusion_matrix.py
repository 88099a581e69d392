"""Confusion matrices: the rule of their cells, and the figure."""

import matplotlib as mpl
import numpy as np
import pytest
from figureboxes import assert_nothing_is_cut_off_or_overlaps, long_names

from svmcifar.plots.confusion_matrix import (
    FIRST_DARK_SHADE,
    SHADE_BOUNDS,
    SHADE_PERCENTS,
    confusion_figure,
    row_shares,
    share_shade,
    share_text,
)

NAMES = ["ant", "bumble_bee", "cattle"]
CONFUSION = np.array([[3, 1, 0], [0, 0, 0], [1, 299, 100]])


def test_shares_are_of_the_row():
    np.testing.assert_array_equal(
        row_shares(CONFUSION), [[0.75, 0.25, 0], [np.nan] * 3, [0.0025, 0.7475, 0.25]]
    )


def test_every_bound_starts_a_darker_shade():
    shades = [share_shade(share) for share in (0.0, *SHADE_BOUNDS, 1.0)]
    assert shades == [*range(len(SHADE_BOUNDS) + 1), len(SHADE_BOUNDS)]
    assert [share_shade(bound - 1e-9) for bound in SHADE_BOUNDS] == [*range(len(SHADE_BOUNDS))]
    assert len(SHADE_PERCENTS) == len(SHADE_BOUNDS) + 1
    assert sorted(SHADE_PERCENTS) == list(SHADE_PERCENTS)
    assert (SHADE_PERCENTS[0], SHADE_PERCENTS[-1]) == (0, 100)
    assert 0 < FIRST_DARK_SHADE < len(SHADE_PERCENTS)
    assert (share_shade(np.nan), share_text(np.nan)) == (0, "")
    assert [share_text(share) for share in (0.0, 0.0049, 0.005, 0.126, 1.0)] == [
        "", "", "0", "13", "100",
    ]  # fmt: skip


def test_the_figure_has_the_shade_of_the_share():
    image = confusion_figure(CONFUSION, NAMES, "").axes[0].images[0]
    drawn = np.asarray(image.norm(image.get_array()))[[0, 2]]
    assert drawn.tolist() == [list(map(share_shade, row)) for row in row_shares(CONFUSION)[[0, 2]]]
    blues = mpl.colormaps["Blues"]
    for share in (0.0, 0.004, 0.006, 0.011, 0.05, 0.1, 0.3, 0.41, 0.7, 0.9, 1.0):
        expected = blues(SHADE_PERCENTS[share_shade(share)] / 100)
        assert image.cmap(image.norm(100 * share)) == expected


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
