"""Heat maps of a search's scores: C across, gamma down, a panel for each number of components."""

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from svmcifar.plots.figures import new_figure

_CELL_POINTS = 9.0
_CELL_INCHES = 0.75
_MOST_COLUMNS = 3
# Sequential in lightness and safe for colour-blind readers.
_COLOURS = "cividis"


def search_figure(table: pd.DataFrame, title: str) -> Figure:
    """Draw the accuracies, in percent, of a `svmcifar.tuning.result.SearchResult`'s table.

    The best is framed.
    """
    panels = list(table.groupby("n_components", dropna=False))
    n_columns = min(len(panels), _MOST_COLUMNS)
    n_rows = -(-len(panels) // n_columns)
    width = n_columns * (_CELL_INCHES * table["C"].nunique() + 1.1) + 1.0
    height = n_rows * (0.6 * _CELL_INCHES * table["setting"].nunique() + 1.1) + 0.7
    figure = new_figure(title, max(width, 5.0), max(height, 2.6))
    colours = Normalize(100 * table["score"].min(), 100 * table["score"].max())
    all_axes = figure.subplots(n_rows, n_columns, squeeze=False)
    for axes in all_axes.flat[len(panels) :]:
        axes.set_visible(False)
    for axes, (n_components, panel) in zip(all_axes.flat, panels, strict=False):
        _draw_panel(axes, panel, table.iloc[0], colours)
        if not pd.isna(n_components):
            axes.set_title(f"{n_components} components", fontsize=_CELL_POINTS + 1)
    colourbar = figure.colorbar(
        mpl.cm.ScalarMappable(colours, _COLOURS), ax=all_axes, fraction=0.05, pad=0.02
    )
    colourbar.set_label("held-out accuracy (%)")
    return figure


def _draw_panel(axes: Axes, panel: pd.DataFrame, best: pd.Series, colours: Normalize) -> None:
    """Draw the settings of one number of components."""
    Cs = sorted(panel["C"].unique())
    settings = list(panel.sort_values("gamma")["setting"].unique())
    percent = np.full((len(settings), len(Cs)), np.nan)
    for row in panel.itertuples():
        place = settings.index(row.setting), Cs.index(row.C)
        percent[place] = 100 * row.score
        _write_cell(axes, place, percent[place], colours)
    axes.imshow(percent, cmap=_COLOURS, norm=colours, interpolation="nearest", aspect="auto")
    axes.set_xticks(range(len(Cs)), [f"{C:g}" for C in Cs])
    axes.set_yticks(range(len(settings)), [s.removesuffix("x") for s in settings])
    axes.set_xlabel("C")
    multiples = settings[0].endswith("x")
    axes.set_ylabel("gamma (x scale)" if multiples else "gamma")
    is_best = (panel["C"] == best["C"]) & (panel["setting"] == best["setting"])
    if is_best.any() and panel.index[is_best][0] == best.name:
        corner = Cs.index(best["C"]) - 0.5, settings.index(best["setting"]) - 0.5
        for colour, line_width in (("white", 5.0), ("black", 2.5)):
            axes.add_patch(
                Rectangle(corner, 1, 1, fill=False, edgecolor=colour, linewidth=line_width)
            )


def _write_cell(axes: Axes, place: tuple[int, int], percent: float, colours: Normalize) -> None:
    """Write a score in a colour that can be read on its cell."""
    colour, (row, column) = "white" if colours(percent) < 0.5 else "black", place
    axes.text(
        column, row, f"{percent:.1f}", color=colour, ha="center", va="center", fontsize=_CELL_POINTS
    )
