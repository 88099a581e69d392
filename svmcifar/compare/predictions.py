"""Predictions of each model for the same images, on every kind of labels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from svmcifar.cnn.image_network import ImageNetwork
from svmcifar.compute.stopwatch import Stopwatch
from svmcifar.data.dataset import CLASSES, LABEL_KINDS, SUPERCLASSES
from svmcifar.data.superclasses import answer_superclasses, sum_by_superclass
from svmcifar.metrics.ensembles import combine_scores
from svmcifar.metrics.losses import calibrated_probabilities
from svmcifar.model.classifier import ImageClassifier

Ids = NDArray[np.int64]
Scores = NDArray[np.float64]

_WARM_UP_IMAGES = 256


@dataclass(frozen=True, eq=False)
class Predictions:
    """A model's predictions for every image, by kind of labels, and the time that they took.

    A model of superclasses alone has no ids of classes, and the superclasses of an SVM of classes
    have no scores unless it has probabilities.  An SVM's ids are its votes', whatever its scores.
    """

    ids: Mapping[str, Ids]  # (n_images,)
    scores: Mapping[str, Scores]  # (n_images, n_classes)
    score_kind: str  # "probabilities", "votes" (plus mean probabilities) or "decisions" (an SVM's)
    inference_s: float  # seconds for all images, features included
    inference_cpu_s: float  # seconds of the processor, of all threads together
    load: float | None  # load average of the machine just before; None where it is not known
    features_s: float | None = None  # seconds of these for an SVM's features


def predict_by_network(
    network: ImageNetwork, images: NDArray[np.uint8], superclass_of: Ids | None
) -> Predictions:
    """Time a network's predictions, after a few images to warm up.

    `superclass_of` has the superclass id of each class; None where there are no superclasses.
    """
    network.predict_proba(images[:_WARM_UP_IMAGES])
    clock = Stopwatch()
    probabilities = network.predict_proba(images).astype(np.float64)
    spent = clock.wall_s, clock.cpu_s, clock.load
    scores = {network.label_kind: probabilities}
    if network.label_kind == CLASSES and superclass_of is not None:
        scores[SUPERCLASSES] = sum_by_superclass(probabilities, superclass_of)
    return _ranked(scores, "probabilities", *spent)


def predict_by_svm(
    model: ImageClassifier, images: NDArray[np.uint8], superclass_of: Ids | None
) -> Predictions:
    """Time an SVM's predictions without its cache, after a few images to warm up.

    Classes are mapped up to superclasses; probabilities are summed, decision values cannot be.
    """
    model = replace(model, cache=None)
    model.predict(images[:_WARM_UP_IMAGES])
    clock = Stopwatch()
    features = model.compute_features(images)
    features_s = clock.wall_s
    predicted, decisions, probabilities = model.predict_features_with_probabilities(features)
    spent = clock.wall_s, clock.cpu_s, clock.load, features_s
    ids = {model.label_kind: predicted}
    if model.label_kind == CLASSES and superclass_of is not None:
        ids[SUPERCLASSES] = superclass_of[predicted]
    if probabilities is None:
        scores = {model.label_kind: decisions}
        return Predictions(ids, scores, "decisions", *spent)
    scores = {model.label_kind: probabilities}
    if SUPERCLASSES in ids and superclass_of is not None and model.label_kind == CLASSES:
        scores[SUPERCLASSES] = sum_by_superclass(probabilities, superclass_of)
    return Predictions(ids, scores, "probabilities", *spent)


def superclasses_by_rule(
    predictions: Predictions, rule: str, classes: Ids, superclass_of: Ids
) -> Ids:
    """Return a model's superclasses by a rule of `answer_superclasses`, shape (n_images,).

    A model that was trained on superclasses answers them by itself, whatever the rule.  Decision
    values are calibrated before they are summed, with the true `classes` of other images; votes of
    an ensemble are summed as they are.
    """
    if CLASSES not in predictions.ids:
        return predictions.ids[SUPERCLASSES]
    scores = predictions.scores[CLASSES]
    if rule == "summed" and predictions.score_kind == "decisions":
        scores = calibrated_probabilities(classes, scores)
    return answer_superclasses(rule, predictions.ids[CLASSES], scores, superclass_of)


def combine_networks(members: Sequence[Predictions], how: str) -> Predictions:
    """Combine networks' predictions; the time is that of all of them.

    "sum" is the argmax of the summed probabilities, "vote" the majority with ties broken by that
    sum; superclasses are voted on by themselves, and alone if a network knows no others.
    """
    scores = {}
    for kind in members[0].ids:
        if not all(kind in m.ids for m in members):
            continue
        own = [m.scores[kind] for m in members]
        scores[kind] = combine_scores(own, [m.ids[kind] for m in members], how)
    score_kind = "probabilities" if how == "sum" else "votes"
    loads = [m.load for m in members if m.load is not None]
    return _ranked(
        scores,
        score_kind,
        sum(m.inference_s for m in members),
        sum(m.inference_cpu_s for m in members),
        max(loads, default=None),
    )


def _ranked(
    scores: Mapping[str, Scores],
    score_kind: str,
    inference_s: float,
    inference_cpu_s: float,
    load: float | None,
) -> Predictions:
    """Predict the argmax of the scores, with kinds in their usual order."""
    ordered = {kind: scores[kind] for kind in LABEL_KINDS if kind in scores}
    ids = {kind: of_kind.argmax(axis=1) for kind, of_kind in ordered.items()}
    return Predictions(ids, ordered, score_kind, inference_s, inference_cpu_s, load)
