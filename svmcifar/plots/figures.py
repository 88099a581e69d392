"""Figures of predictions, their titles and their files."""

import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from io import BytesIO
from pathlib import Path

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.text import Text

from svmcifar.errors import OutputError
from svmcifar.io.files import atomic_path
from svmcifar.text import shown_name

# Blue and vermilion of Okabe and Ito's palette: told apart by colour-blind readers too.
_RIGHT_COLOUR, _WRONG_COLOUR = "#0072B2", "#D55E00"
_CAPTION_POINTS, _TITLE_POINTS = 9.0, 12.0
# Metadata that would hold the time of writing.
_DATE_KEY = {".png": None, ".svg": "Date", ".pdf": "CreationDate"}


def image_grid_figure(
    pictures: npt.NDArray[np.uint8],
    predicted_names: Sequence[str],
    true_names: Sequence[str],
    title: str,
    n_columns: int = 3,
) -> Figure:
    """Draw images, uint8 RGB of shape (n, height, width, 3), in a grid under their class names.

    Right predictions have a tick and a solid blue frame, wrong ones a cross and a dashed vermilion
    frame; their number is below the title.  Underscores of names are shown as spaces.
    """
    n_pictures = len(pictures)
    n_columns = min(n_columns, n_pictures)
    n_rows = -(-n_pictures // n_columns)
    names = list(zip(predicted_names, true_names, strict=True))
    verdicts = [predicted == true for predicted, true in names]
    captions = [
        f"{'✓' if predicted == true else '✗'} predicted: {shown_name(predicted)}\n"
        f"true: {shown_name(true)}"
        for predicted, true in names
    ]
    longest = max((line for caption in captions for line in caption.splitlines()), key=len)
    cell_inches = max(2.4, text_inches(longest, _CAPTION_POINTS))
    count = f"{sum(verdicts)} of {n_pictures} right (✓)"
    figure = titled_figure(title, cell_inches * n_columns + 0.2, 2.8 * n_rows, count)
    for i, (picture, right, caption) in enumerate(zip(pictures, verdicts, captions, strict=True)):
        colour = _RIGHT_COLOUR if right else _WRONG_COLOUR
        axes = figure.add_subplot(n_rows, n_columns, i + 1)
        axes.imshow(picture, interpolation="nearest")
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_title(caption, fontsize=_CAPTION_POINTS, color=colour)
        for spine in axes.spines.values():
            spine.set(color=colour, linewidth=2.5, linestyle="solid" if right else "dashed")
    return figure


def check_figure_path(path: str | Path) -> None:
    """Raise OutputError if the suffix is none of .png, .svg and .pdf."""
    if Path(path).suffix.lower() not in _DATE_KEY:
        raise OutputError(
            f"A figure's file name must end in .png, .svg or .pdf. Got '{path}'. Rename it."
        )


def save_figure(figure: Figure, path: str | Path, dpi: float = 150) -> None:
    """Write a figure as PNG, SVG or PDF by the suffix, atomically; replace an existing file.

    The bytes depend on the figure and the version of Matplotlib alone: they hold no date and no
    random ids.  Text stays text in SVG, for search and screen readers.  `dpi` is that of PNG files,
    and of the images within the others.  Dollar signs are no mathematics.  Warn, once, if the font
    lacks characters of a name.  Raise OutputError if the suffix is another one or the file
    cannot be written.
    """
    check_figure_path(path)
    suffix = Path(path).suffix.lower()
    date_key = _DATE_KEY[suffix]
    metadata = {date_key: None} if date_key else None
    drawn = BytesIO()  # Matplotlib's PDF writer raises other errors if the disk is full
    for text in figure.findobj(Text):
        text.set_parse_math(False)
    with (
        mpl.rc_context(
            {"svg.fonttype": "none", "svg.hashsalt": "svmcifar", "text.parse_math": False}
        ),
        _one_warning_of_glyphs(),
    ):
        figure.savefig(drawn, format=suffix[1:], dpi=dpi, metadata=metadata)
    with atomic_path(path) as temporary:
        temporary.write_bytes(drawn.getbuffer())


@contextmanager
def _one_warning_of_glyphs() -> Iterator[None]:
    """Let Matplotlib's warnings of characters that its font lacks become one for all figures."""
    with warnings.catch_warnings(record=True) as caught:
        yield
    for warning in caught:
        if str(warning.message).startswith("Glyph "):
            _warn_of_glyphs()
        else:
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )


@cache
def _warn_of_glyphs() -> None:
    warnings.warn(
        "figures show boxes for characters of names that Matplotlib's font lacks; name one that "
        "has them as font.family in a matplotlibrc file",
        stacklevel=2,
    )


def new_figure(title: str, width: float, height: float, wrap: bool = True) -> Figure:
    """Return a figure of a size in inches, whose title Matplotlib may break into lines."""
    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08)
    figure = Figure(figsize=(width, height), layout=layout)
    figure.suptitle(title, fontsize=_TITLE_POINTS, wrap=wrap)
    return figure


def text_inches(text: str, points: float) -> float:
    """Estimate a text's width generously, before it is drawn."""
    return len(text) * points * 0.0078  # DejaVu Sans: 0.56 of the font size a letter


def titled_figure(title: str, width: float, height: float, subtitle: str = "") -> Figure:
    """Return a figure with a title, broken into lines that fit, and room for them on top."""
    letters = int(width / text_inches("m", _TITLE_POINTS))
    lines = textwrap.wrap(title, letters) + textwrap.wrap(subtitle, letters)
    return new_figure("\n".join(lines), width, height + 0.3 * len(lines), wrap=False)
