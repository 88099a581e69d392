"""Predictions of a trained classifier as tables."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from svmcifar.compute.arrays import to_device
from svmcifar.data.dataset import Dataset
from svmcifar.model.classifier import ImageClassifier
from svmcifar.model.evaluate import require_same_classes


def predict_files(
    model: ImageClassifier,
    paths: Sequence[Path],
    images: Sequence[NDArray[np.uint8]],
    *,
    on_gpu: bool = False,
) -> pd.DataFrame:
    """Predict image files, read by `svmcifar.data.image_files.read_image`.

    Return a table with columns file, predicted_id and predicted_name.
    """
    predicted = _predict(model, np.stack(images), on_gpu)
    return pd.DataFrame({"file": [str(path) for path in paths], **predicted})


def predict_split(
    model: ImageClassifier, dataset: Dataset, split: str, *, on_gpu: bool = False
) -> pd.DataFrame:
    """Predict a split of a data set.

    Return a table with columns index, file, predicted_id, predicted_name, true_id and true_name.
    Raise ModelFileError if the model's classes are not those of the data set.
    """
    require_same_classes(model, dataset)
    images = dataset.read_split(split)
    truth = images.labels[model.label_kind]
    predicted = _predict(model, images.images, on_gpu)
    return pd.DataFrame(
        {
            "index": range(len(truth)),
            "file": images.filenames,
            **predicted,
            "true_id": truth,
            "true_name": [model.class_names[c] for c in truth],
        }
    )


def _predict(model: ImageClassifier, images: NDArray[np.uint8], on_gpu: bool) -> dict[str, Any]:
    """Return predicted ids and names as columns."""
    ids = model.predict(to_device(images) if on_gpu else images)
    return {"predicted_id": ids, "predicted_name": [model.class_names[c] for c in ids]}
