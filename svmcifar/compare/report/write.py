"""The report's folder: page, figures, tables and JSON."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from svmcifar.compare.comparison import Comparison
from svmcifar.compare.predictions import Predictions
from svmcifar.compare.report.figures import write_figures
from svmcifar.compare.report.page import write_page
from svmcifar.compare.score_file import write_scores
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
    """Write the report into an empty folder, but for a `model` file that may be there.

    `predictions` are by model id, of the images of `test`.
    """
    files: dict[str, Any] = dict(write_tables(comparison, predictions, test, folder))
    files["model_scores"] = write_scores(predictions, test, comparison.robustness, folder)
    files["figures"] = write_figures(comparison, folder)
    if model:
        files["model"] = model
    comparison = replace(comparison, files=files)
    write_page(comparison, dataset.image_shape.to_pictures(test.images), folder)
    write_json(comparison, folder)
