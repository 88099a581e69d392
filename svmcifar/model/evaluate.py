"""Scores of a trained classifier on one split of a data set."""

from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from svmcifar.compute.arrays import to_device
from svmcifar.data.dataset import CLASSES, SUPERCLASSES, Dataset
from svmcifar.data.superclasses import answer_superclasses, sum_by_superclass
from svmcifar.errors import ModelFileError
from svmcifar.metrics.evaluation import Evaluation, evaluate_predictions
from svmcifar.metrics.losses import calibrated_probabilities
from svmcifar.model.classifier import ImageClassifier
from svmcifar.model.image_model import ImageModel


@dataclass(frozen=True)
class ModelEvaluation:
    """A model's scores on one split."""

    data_label: str  # `Dataset.label`
    split: str
    label_kind: str  # of the labels that the model was trained on
    scores: Evaluation  # on labels of that kind
    # Of predicted classes mapped up to superclasses, if there are any, with summed probabilities.
    superclass_scores: Evaluation | None
    # Of superclasses whose classes have the largest sum of probabilities, by `answer_superclasses`.
    summed_superclass_scores: Evaluation | None
    predict_s: float  # seconds for features, which may be cached, and predictions

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain types for JSON."""
        upper, summed = self.superclass_scores, self.summed_superclass_scores
        return {
            "data": self.data_label,
            "split": self.split,
            "label_kind": self.label_kind,
            "predict_s": self.predict_s,
            "scores": self.scores.to_dict(),
            "superclass_scores": None if upper is None else upper.to_dict(),
            "summed_superclass_scores": None if summed is None else summed.to_dict(),
        }


def evaluate_classifier(
    model: ImageModel, dataset: Dataset, split: str = "test", *, on_gpu: bool = False
) -> ModelEvaluation:
    """Predict a split and score the predictions.

    Parameters
    ----------
    model : ImageClassifier or another ImageModel
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
    predictions, decisions, p = model.predict_with_probabilities(inputs)
    predict_s = perf_counter() - clock
    truth = images.labels[model.label_kind]
    scores = evaluate_predictions(truth, predictions, decisions, model.class_names, p)
    upper = summed = None
    if model.label_kind == CLASSES and SUPERCLASSES in dataset.label_kinds:
        values = p
        if values is None:
            assert decisions is not None  # each model has one or the other
            values = calibrated_probabilities(truth, decisions)
        truth, names = images.labels[SUPERCLASSES], dataset.class_names(SUPERCLASSES)
        superclass_of = dataset.superclass_of
        if isinstance(model, ImageClassifier):  # as they were when it was trained
            superclass_of = np.array(model.superclass_of)
        mapped, by_sum = (
            answer_superclasses(rule, predictions, values, superclass_of)
            for rule in ("mapped", "summed")
        )
        if p is not None:
            p = sum_by_superclass(p, superclass_of)
        upper, summed = (
            evaluate_predictions(truth, ids, None, names, p) for ids in (mapped, by_sum)
        )
    return ModelEvaluation(dataset.label, split, model.label_kind, scores, upper, summed, predict_s)


def require_same_classes(model: ImageModel, dataset: Dataset) -> None:
    """Raise ModelFileError if the classes, or the size of images, are not the model's."""
    if list(dataset.class_names(model.label_kind)) != list(model.class_names):
        raise ModelFileError(
            f"The model's classes must be those of the data set. The model was trained on "
            f"{model.data_label}, got {dataset.location} ({dataset.label}); pass the "
            f"right --data"
        )
    shape = model.manifest.data.image_shape if isinstance(model, ImageClassifier) else None
    if shape and tuple(shape) != dataset.image_shape:
        sizes = (" x ".join(map(str, of[1:])) for of in (shape, dataset.image_shape))
        raise ModelFileError(
            f"The model's images must have the size of those of the data set. The model was "
            f"trained on {next(sizes)} pixels, got {next(sizes)} of {dataset.location}; pass "
            f"--resize {shape[1]}"
        )
