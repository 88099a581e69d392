"""Scores of a model's predictions, by the same rules for networks and SVMs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from svmcifar.compare.predictions import Ids, Predictions
from svmcifar.metrics.calibration import calibration_scores
from svmcifar.metrics.evaluation import Evaluation, evaluate_predictions

# The smallest normal float32: below it a network's probability may be 0.
_LEAST_PROBABILITY = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True, eq=False)
class ModelScores(Evaluation):
    """Every score of a model on one kind of labels."""

    uncalibrated_log_loss: float | None  # of the probabilities as they are; None without any


def score_predictions(
    y_true: Ids, predictions: Predictions, kind: str, class_names: Sequence[str]
) -> ModelScores:
    """Score a model's predictions of one kind of labels.

    The log loss is that of `svmcifar.metrics.losses.temperature_log_loss`, for the logarithms of
    probabilities as for decision values.  The hinge loss, which depends on the unit of the scores,
    is None but for decision values.
    """
    scores, uncalibrated = predictions.scores.get(kind), None
    if scores is not None and predictions.score_kind == "probabilities":
        scores = np.log(np.maximum(scores, _LEAST_PROBABILITY))
        uncalibrated = float(-np.take_along_axis(scores, y_true[:, None], axis=1).mean())
    ids = predictions.ids[kind]
    evaluation = evaluate_predictions(y_true, ids, scores, class_names)
    if uncalibrated is not None:
        error, confident = calibration_scores(y_true, ids, predictions.scores[kind])
        evaluation = replace(evaluation, calibration_error=error, confident_accuracy=confident)
    if predictions.score_kind != "decisions":
        evaluation = replace(evaluation, hinge_loss=None)
    return ModelScores(**vars(evaluation), uncalibrated_log_loss=uncalibrated)
