"""Scores of a model's predictions, by the same rules for networks and SVMs."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from svmcifar.compare.predictions import Ids, Predictions
from svmcifar.metrics.evaluation import Evaluation, evaluate_predictions

# Below this a float32 probability is 0, and its logarithm no number.
_LEAST_PROBABILITY = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True, eq=False)
class ModelScores(Evaluation):
    """Every score of a model on one kind of labels.

    Attributes
    ----------
    uncalibrated_log_loss : float or None
        Of the probabilities as they are; None where there are none.
    """

    uncalibrated_log_loss: float | None


def score_predictions(
    y_true: Ids, predictions: Predictions, kind: str, class_names: Sequence[str]
) -> ModelScores:
    """Score a model's predictions of one kind of labels.

    The log loss is that of `svmcifar.metrics.losses.temperature_log_loss` for every model: a
    network's log-probabilities get a temperature in the same way as an SVM's decision values, so
    neither is at an advantage.  The hinge loss depends on the unit of the scores: it is None but
    for decision values.
    """
    scores, uncalibrated = predictions.scores.get(kind), None
    if scores is not None and predictions.score_kind == "probabilities":
        scores = np.log(np.maximum(scores, _LEAST_PROBABILITY))
        uncalibrated = float(-np.take_along_axis(scores, y_true[:, None], axis=1).mean())
    evaluation = evaluate_predictions(y_true, predictions.ids[kind], scores, class_names)
    if predictions.score_kind != "decisions":
        evaluation = replace(evaluation, hinge_loss=None)
    values = {f.name: getattr(evaluation, f.name) for f in fields(evaluation)}
    return ModelScores(**values, uncalibrated_log_loss=uncalibrated)
