"""Predictions of a trained classifier as tables."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from svmcifar.compute.arrays import to_device
from svmcifar.data.dataset import Dataset
from svmcifar.errors import InputError
from svmcifar.io.csv_files import file_column
from svmcifar.model.evaluate import require_same_classes
from svmcifar.model.image_model import ImageModel


def predict_files(
    model: ImageModel,
    paths: Sequence[Path],
    images: Sequence[NDArray[np.uint8]],
    *,
    top: int = 0,
    on_gpu: bool = False,
) -> pd.DataFrame:
    """Predict image files, read by `svmcifar.data.image_files.read_image`.

    Return a table with columns file, predicted_id and predicted_name; with `top`, for which the
    model needs probabilities, also top1_id, top1_name, top1_probability and so on for so many of
    the most probable classes, or as many as there are.  Raise InputError if it has none.
    """
    predicted = _predict(model, np.stack(images), top, on_gpu)
    return pd.DataFrame({"file": file_column([str(path) for path in paths]), **predicted})


def predict_split(
    model: ImageModel, dataset: Dataset, split: str, *, top: int = 0, on_gpu: bool = False
) -> pd.DataFrame:
    """Predict a split of a data set.

    Return a table with columns index, file, predicted_id, predicted_name, true_id and true_name;
    `top` adds columns as in `predict_files`, before the true ones, and raises as there.
    Raise ModelFileError if the model's classes are not those of the data set.
    """
    require_same_classes(model, dataset)
    images = dataset.read_split(split)
    truth = images.labels[model.label_kind]
    predicted = _predict(model, images.images, top, on_gpu)
    return pd.DataFrame(
        {
            "index": range(len(truth)),
            "file": file_column(images.filenames),
            **predicted,
            "true_id": truth,
            "true_name": [model.class_names[c] for c in truth],
        }
    )


def _predict(
    model: ImageModel, images: NDArray[np.uint8], top: int, on_gpu: bool
) -> dict[str, Any]:
    """Return predicted ids and names as columns, and the most probable classes."""
    if top and not model.has_probabilities:
        raise InputError(
            "The most probable classes need a model with probabilities. Got one without. "
            "Train one with 'svmcifar train --probability'."
        )
    inputs = to_device(images) if on_gpu else images
    if not top:
        return _named(model, "predicted", model.predict(inputs))
    ids, _, probabilities = model.predict_with_probabilities(inputs)
    columns = _named(model, "predicted", ids)
    if probabilities is not None:
        order = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
        for rank, classes in enumerate(order.T, start=1):
            columns |= _named(model, f"top{rank}", classes)
            of_classes = np.take_along_axis(probabilities, classes[:, None], axis=1)[:, 0]
            columns[f"top{rank}_probability"] = of_classes.round(6)
    return columns


def _named(model: ImageModel, prefix: str, ids: NDArray[np.integer]) -> dict[str, Any]:
    """Return columns of class ids and names."""
    return {f"{prefix}_id": ids, f"{prefix}_name": [model.class_names[c] for c in ids]}
