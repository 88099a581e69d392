"""Confusion matrices: text and shade of a cell, here and on the report's page, and the figure."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure

from svmcifar.plots.figures import text_inches, titled_figure
from svmcifar.text import shown_name

# Least share of the true class's images for each next shade; the steps grow, so that rare
# confusions can be seen beside the diagonal.
SHADE_BOUNDS = (0.005, 0.01, 0.02, 0.04, 0.08, 0.15, 0.25, 0.4, 0.6, 0.8)
# Darkness of the shades in percent.  None is half-way, where no text could be read.
SHADE_PERCENTS = (0, 7, 13, 20, 27, 34, 41, 48, 84, 92, 100)
FIRST_DARK_SHADE = 8  # text on it is light

_MAX_CLASSES_WITH_NUMBERS = 30


def row_shares(confusion: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return counts, a row for each true class, as shares of the row; empty rows are NaN."""
    counts = np.asarray(confusion)
    totals = counts.sum(axis=1, keepdims=True)
    return np.divide(counts, totals, out=np.full(counts.shape, np.nan), where=totals > 0)


def share_text(share: float) -> str:
    """Return a cell's text: the share in percent, nothing where it rounds to zero or is NaN."""
    return f"{100 * share:.0f}" if share >= SHADE_BOUNDS[0] else ""


def share_shade(share: float) -> int:
    """Return a cell's shade, from 0 for the lightest; 0 where the share is NaN."""
    return sum(share >= bound for bound in SHADE_BOUNDS)


def confusion_figure(confusion: npt.ArrayLike, class_names: Sequence[str], title: str) -> Figure:
    """Draw a confusion matrix of counts, each row in percent of the true class's images.

    Up to 30 classes the cells have numbers, "<1" where they round to zero and the count does not.
    Underscores of names are shown as spaces.
    """
    n_classes, shares = len(class_names), row_shares(confusion)
    bounds = [100 * bound for bound in SHADE_BOUNDS]
    colours = ListedColormap(mpl.colormaps["Blues"]([percent / 100 for percent in SHADE_PERCENTS]))

    with_numbers = n_classes <= _MAX_CLASSES_WITH_NUMBERS
    cell_inches, font_size = (0.4, 9.0) if with_numbers else (0.13, 6.0)
    names = [shown_name(name) for name in class_names]
    side = max(3.0, cell_inches * n_classes) + text_inches(max(names, key=len), font_size)
    figure = titled_figure(title, side + 1.8, side + 0.6)
    axes = figure.add_subplot()
    image = axes.imshow(
        np.ma.masked_invalid(100.0 * shares),
        cmap=colours.with_extremes(bad="0.85"),
        norm=BoundaryNorm([0.0, *bounds, 100.0], len(SHADE_PERCENTS)),
        interpolation="nearest",
    )
    ids = np.arange(n_classes)
    axes.set_xticks(ids, names, rotation=90, fontsize=font_size)
    axes.set_yticks(ids, names, fontsize=font_size)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    colourbar = figure.colorbar(
        image, ax=axes, fraction=0.03, pad=0.02, aspect=30,
        spacing="uniform", ticks=bounds, format="%g",
    )  # fmt: skip
    colourbar.set_label("share of the true class's images (%)")
    for (row, column), share in np.ndenumerate(shares):
        if with_numbers and share > 0:
            colour = "white" if share_shade(share) >= FIRST_DARK_SHADE else "black"
            text = share_text(share) or "<1"
            axes.text(column, row, text, ha="center", va="center", fontsize=8, color=colour)
    return figure
