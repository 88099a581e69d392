"""A comparison as a folder: page, figures, tables and JSON."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from svmcifar.compare.predictions import Predictions
from svmcifar.compare.report.figures import write_figures
from svmcifar.compare.report.page import write_page
from svmcifar.compare.report_content import Comparison
from svmcifar.compare.tables import write_json, write_tables
from svmcifar.data.dataset import Dataset, Split


def write_report(
    comparison: Comparison,
    predictions: Mapping[str, Predictions],
    dataset: Dataset,
    test: Split,
    folder: Path,
    model: str | None = None,
) -> None:
    """Write everything that the report consists of.

    Parameters
    ----------
    comparison : Comparison
    predictions : mapping of str to Predictions
        By model id.
    dataset : Dataset
    test : Split
        The images that were predicted.
    folder : Path
        An empty folder.
    model : str, optional
        Name of a model file that lies there already.
    """
    files: dict[str, Any] = dict(write_tables(comparison, predictions, test, folder))
    files["figures"] = write_figures(comparison, folder)
    if model:
        files["model"] = model
    comparison = replace(comparison, files=files)
    write_page(comparison, dataset.image_shape.to_pictures(test.images), folder)
    write_json(comparison, folder)
