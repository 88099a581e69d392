"""Scores of a model's predictions, by the same rules for networks and SVMs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from svmcifar.compare.predictions import Ids, Predictions, Scores
from svmcifar.data.dataset import CLASSES
from svmcifar.metrics.calibration import Reliability, calibration_scores, of_classes, reliability
from svmcifar.metrics.error_places import ErrorPlaces, error_places
from svmcifar.metrics.evaluation import Evaluation, evaluate_predictions
from svmcifar.metrics.losses import N_FOLDS, calibrate
from svmcifar.metrics.risk_coverage import RiskCoverage, margin, risk_coverage

# The smallest normal float32: below it a network's probability may be 0.
_LEAST_PROBABILITY = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True, eq=False)
class ModelScores(Evaluation):
    """Every score of a model on one kind of labels."""

    uncalibrated_log_loss: float | None  # of the probabilities as they are; None without any
    reliability: Reliability | None  # of the same
    calibrated_reliability: Reliability | None  # once calibrated; None without scores
    risk_coverage: RiskCoverage | None  # None without scores
    error_places: ErrorPlaces | None  # of classes alone; None without superclasses or errors


def score_predictions(
    y_true: Ids,
    predictions: Predictions,
    kind: str,
    class_names: Sequence[str],
    superclass_of: Ids | None = None,
) -> ModelScores:
    """Score a model's predictions of one kind of labels.

    The log loss is that of `svmcifar.metrics.losses.temperature_log_loss`, for the logarithms of
    probabilities as for decision values.  The hinge loss, which depends on the unit of the scores,
    is None but for decision values.  Confidence is the probability of the answer as the model gives
    it; without probabilities it is the margin of the answer's score over the best other.
    """
    scores, ids = logits(predictions, kind), predictions.ids[kind]
    right = ids == y_true
    evaluation = evaluate_predictions(y_true, ids, scores, class_names)
    uncalibrated = as_answered = calibrated = curve = places = None
    if scores is not None and predictions.score_kind == "probabilities":
        probabilities = predictions.scores[kind]
        uncalibrated = float(-of_classes(scores, y_true).mean())
        error, confident = calibration_scores(y_true, ids, probabilities)
        evaluation = replace(evaluation, calibration_error=error, confident_accuracy=confident)
        confidence = of_classes(probabilities, ids)
        as_answered = reliability(right, confidence)
        curve = risk_coverage(right, confidence, "probability")
    elif scores is not None:
        curve = risk_coverage(right, margin(scores, ids), "margin")
    if scores is not None and len(y_true) >= N_FOLDS:
        calibrated = reliability(right, np.exp(of_classes(calibrate(y_true, scores)[0], ids)))
    if superclass_of is not None and kind == CLASSES:
        places = error_places(y_true, ids, superclass_of)
    if predictions.score_kind != "decisions":
        evaluation = replace(evaluation, hinge_loss=None)
    return ModelScores(
        **vars(evaluation),
        uncalibrated_log_loss=uncalibrated,
        reliability=as_answered,
        calibrated_reliability=calibrated,
        risk_coverage=curve,
        error_places=places,
    )


def logits(predictions: Predictions, kind: str) -> Scores | None:
    """Return what a temperature divides: logarithms of probabilities, or scores as they are."""
    scores = predictions.scores.get(kind)
    if scores is None or predictions.score_kind != "probabilities":
        return scores
    return np.log(np.maximum(scores, _LEAST_PROBABILITY))
