"""Scores of a trained classifier on one split of a data set."""

from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from svmcifar.compute.arrays import to_device
from svmcifar.data.dataset import CLASSES, SUPERCLASSES, Dataset
from svmcifar.errors import ModelFileError
from svmcifar.metrics.evaluation import Evaluation, evaluate_predictions
from svmcifar.model.classifier import ImageClassifier


@dataclass(frozen=True)
class ModelEvaluation:
    """A model's scores on one split.

    Attributes
    ----------
    data_label : str
        What the data set is; "SYNTHETIC stand-in" for the synthetic one.
    split : str
    label_kind : str
    scores : Evaluation
        On the labels that the model was trained on.
    superclass_scores : Evaluation or None
        For a model of classes: its predictions mapped up to superclasses, if there are any.
    predict_s : float
        Seconds that features and prediction took; features may have come from a cache.
    """

    data_label: str
    split: str
    label_kind: str
    scores: Evaluation
    superclass_scores: Evaluation | None
    predict_s: float

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain types for JSON."""
        upper = self.superclass_scores
        return {
            "data": self.data_label,
            "split": self.split,
            "label_kind": self.label_kind,
            "predict_s": self.predict_s,
            "scores": self.scores.to_dict(),
            "superclass_scores": None if upper is None else upper.to_dict(),
        }


def evaluate_classifier(
    model: ImageClassifier, dataset: Dataset, split: str = "test", *, on_gpu: bool = False
) -> ModelEvaluation:
    """Predict a split and score the predictions.

    Parameters
    ----------
    model : ImageClassifier
    dataset : Dataset
    split : {"test", "train"}, default="test"
    on_gpu : bool, default=False
        Whether to predict on the GPU.

    Returns
    -------
    ModelEvaluation

    Raises
    ------
    ModelFileError
        If the model's classes are not those of the data set.
    BackendUnavailableError
        If there is no GPU to predict on.
    """
    require_same_classes(model, dataset)
    images = dataset.read_split(split)
    truth = images.labels[model.label_kind]
    clock = perf_counter()
    inputs = to_device(images.images) if on_gpu else images.images
    predictions, decisions = model.predict_with_decisions(inputs)
    predict_s = perf_counter() - clock
    upper = None
    if model.label_kind == CLASSES and SUPERCLASSES in dataset.label_kinds:
        upper = evaluate_predictions(
            images.labels[SUPERCLASSES],
            np.array(model.superclass_of)[predictions],
            None,
            dataset.class_names(SUPERCLASSES),
        )
    return ModelEvaluation(
        data_label=dataset.label,
        split=split,
        label_kind=model.label_kind,
        scores=evaluate_predictions(truth, predictions, decisions, model.class_names),
        superclass_scores=upper,
        predict_s=predict_s,
    )


def require_same_classes(model: ImageClassifier, dataset: Dataset) -> None:
    """Raise if the classes of a data set are not the model's.

    Parameters
    ----------
    model : ImageClassifier
    dataset : Dataset

    Raises
    ------
    ModelFileError
    """
    names = dataset.class_names(model.label_kind)
    if list(names) != list(model.class_names):
        raise ModelFileError(
            f"The model's classes must be those of the data set. The model was trained on "
            f"{model.manifest.data.label}, got {dataset.location} ({dataset.label}); pass the "
            f"right --data"
        )
