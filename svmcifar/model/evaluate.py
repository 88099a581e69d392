"""Scores of a trained classifier on one split of a data set."""

from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from svmcifar.compute.arrays import to_device
from svmcifar.data.dataset import CLASSES, SUPERCLASSES, Dataset
from svmcifar.data.superclasses import sum_by_superclass
from svmcifar.errors import ModelFileError
from svmcifar.metrics.evaluation import Evaluation, evaluate_predictions
from svmcifar.model.classifier import ImageClassifier


@dataclass(frozen=True)
class ModelEvaluation:
    """A model's scores on one split."""

    data_label: str  # `Dataset.label`
    split: str
    label_kind: str  # of the labels that the model was trained on
    scores: Evaluation  # on labels of that kind
    # Of predicted classes mapped up to superclasses, if there are any, with summed probabilities.
    superclass_scores: Evaluation | None
    predict_s: float  # seconds for features, which may be cached, and predictions

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
        Whether to compute features and predictions on the GPU.

    Raises
    ------
    ModelFileError
        If the model's classes are not those of the data set.
    BackendUnavailableError
        If there is no GPU to predict on.
    """
    require_same_classes(model, dataset)
    images = dataset.read_split(split)
    clock = perf_counter()
    inputs = to_device(images.images) if on_gpu else images.images
    features = model.compute_features(inputs)
    predictions, decisions, p = model.predict_features_with_probabilities(features)
    predict_s = perf_counter() - clock
    truth = images.labels[model.label_kind]
    scores = evaluate_predictions(truth, predictions, decisions, model.class_names, p)
    upper = None
    if model.label_kind == CLASSES and SUPERCLASSES in dataset.label_kinds:
        truth, names = images.labels[SUPERCLASSES], dataset.class_names(SUPERCLASSES)
        superclass_of = np.array(model.superclass_of)
        if p is not None:
            p = sum_by_superclass(p, superclass_of)
        upper = evaluate_predictions(truth, superclass_of[predictions], None, names, p)
    return ModelEvaluation(dataset.label, split, model.label_kind, scores, upper, predict_s)


def require_same_classes(model: ImageClassifier, dataset: Dataset) -> None:
    """Raise ModelFileError if the classes of a data set are not the model's."""
    if list(dataset.class_names(model.label_kind)) != model.class_names:
        raise ModelFileError(
            f"The model's classes must be those of the data set. The model was trained on "
            f"{model.manifest.data.label}, got {dataset.location} ({dataset.label}); pass the "
            f"right --data"
        )
