"""Scores of a model's answers, by the same rules for networks and SVMs."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from svmcifar.compare.predictions import Answers, Ids
from svmcifar.metrics.evaluation import evaluate_predictions

# Below this a float32 probability is 0, and its logarithm no number.
_LEAST_PROBABILITY = float(np.finfo(np.float32).tiny)


def score_answers(
    y_true: Ids, answers: Answers, kind: str, class_names: Sequence[str]
) -> dict[str, Any]:
    """Score a model's answers.

    The log loss is that of `svmcifar.metrics.losses.temperature_log_loss` for
    every model: a network's log-probabilities get a temperature in the same
    way as an SVM's decision values, so neither is at an advantage.

    Parameters
    ----------
    y_true : ndarray of shape (n_images,), int64
    answers : Answers
    kind : {"coarse", "fine"}
        The labels of `y_true`, which the model must have answers for.
    class_names : sequence of str

    Returns
    -------
    dict
        `svmcifar.metrics.evaluation.Evaluation.to_dict`, and ``uncalibrated_log_loss``:
        of the probabilities as they are, None where there are none.  The
        ``hinge_loss`` is None but for decision values, since it depends on
        their unit.
    """
    predicted, scores = getattr(answers, kind), getattr(answers, f"{kind}_scores")
    uncalibrated = None
    if answers.score_kind == "probabilities":
        scores = np.log(np.maximum(scores, _LEAST_PROBABILITY))
        own = np.take_along_axis(scores, y_true[:, None], axis=1)
        uncalibrated = float(-own.mean())
    result = evaluate_predictions(y_true, predicted, scores, class_names).to_dict()
    if answers.score_kind != "decisions":
        result["hinge_loss"] = None
    return result | {"uncalibrated_log_loss": uncalibrated}
