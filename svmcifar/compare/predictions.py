"""What each model says about the same images, on both sets of labels."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from svmcifar.cnn.image_network import ImageNetwork
from svmcifar.model.classifier import ImageClassifier

Ids = NDArray[np.int64]
Scores = NDArray[np.float64]

_WARM_UP_IMAGES = 256


@dataclass(frozen=True, eq=False)
class Answers:
    """A model's answers to every image, and the time that they took.

    Attributes
    ----------
    coarse : ndarray of shape (n_images,), int64
        Superclass ids.
    fine : ndarray of shape (n_images,), int64, or None
        Fine class ids; None for a model that knows superclasses alone.
    coarse_scores, fine_scores : ndarray of shape (n_images, n_classes), float64, or None
        What the classes are ranked by: probabilities of a network or of summed
        networks, votes plus mean probabilities, or decision values of an SVM.
    score_kind : {"probabilities", "votes", "decisions"}
        Which of these the scores are.
    inference_s : float
        Seconds for all images, features among them; as if features had not been in a cache.
    features_s : float or None
        Seconds of these that an SVM's features took.
    """

    coarse: Ids
    fine: Ids | None
    coarse_scores: Scores | None
    fine_scores: Scores | None
    score_kind: str
    inference_s: float
    features_s: float | None = None


def answer_by_network(
    network: ImageNetwork, images: NDArray[np.uint8], coarse_of_fine: Ids
) -> Answers:
    """Ask a network, once it has answered a few images to warm up.

    Parameters
    ----------
    network : ImageNetwork
        Of fine classes.
    images : ndarray of shape (n_images, 3072), uint8
    coarse_of_fine : ndarray of shape (n_fine,), int64

    Returns
    -------
    Answers
        The probability of a superclass is the sum over its fine classes.
    """
    network.predict_proba(images[:_WARM_UP_IMAGES])
    clock = perf_counter()
    fine = network.predict_proba(images).astype(np.float64)
    inference_s = perf_counter() - clock
    coarse = sum_by_superclass(fine, coarse_of_fine)
    return Answers(
        coarse=coarse.argmax(axis=1),
        fine=fine.argmax(axis=1),
        coarse_scores=coarse,
        fine_scores=fine,
        score_kind="probabilities",
        inference_s=inference_s,
    )


def answer_by_svm(
    model: ImageClassifier, images: NDArray[np.uint8], coarse_of_fine: Ids
) -> Answers:
    """Ask an SVM, once it has answered a few images to warm up; its cache is left out.

    Parameters
    ----------
    model : ImageClassifier
    images : ndarray of shape (n_images, 3072), uint8
    coarse_of_fine : ndarray of shape (n_fine,), int64

    Returns
    -------
    Answers
        A model of fine classes has its answers mapped up; decision values
        cannot be mapped, so it has no scores for the superclasses.
    """
    model = replace(model, cache=None)  # what is timed is computed
    model.predict(images[:_WARM_UP_IMAGES])
    clock = perf_counter()
    features = model.compute_features(images)
    features_s = perf_counter() - clock
    ids, decisions = model.predict_features(features)
    inference_s = perf_counter() - clock
    is_fine = model.label_kind == "fine"
    return Answers(
        coarse=coarse_of_fine[ids] if is_fine else ids,
        fine=ids if is_fine else None,
        coarse_scores=None if is_fine else decisions,
        fine_scores=decisions if is_fine else None,
        score_kind="decisions",
        inference_s=inference_s,
        features_s=features_s,
    )


def combine_networks(members: Sequence[Answers], how: str) -> Answers:
    """Combine networks' answers.

    Parameters
    ----------
    members : sequence of Answers
        Of networks.
    how : {"sum", "vote"}
        "sum" takes the class with the largest sum of probabilities.  "vote"
        takes the one that most networks answer, and of tied ones the one with
        the largest sum; superclasses are voted on by themselves.

    Returns
    -------
    Answers
        Its time is that of all networks.
    """
    fine_answers = [m.fine for m in members]
    fine = _combine([m.fine_scores for m in members], fine_answers, how)
    coarse = _combine([m.coarse_scores for m in members], [m.coarse for m in members], how)
    return Answers(
        coarse=coarse.argmax(axis=1),
        fine=fine.argmax(axis=1),
        coarse_scores=coarse,
        fine_scores=fine,
        score_kind="probabilities" if how == "sum" else "votes",
        inference_s=sum(m.inference_s for m in members),
    )


def sum_by_superclass(fine: Scores, coarse_of_fine: Ids) -> Scores:
    """Sum the probabilities of each superclass's fine classes.

    Parameters
    ----------
    fine : ndarray of shape (n_images, n_fine)
    coarse_of_fine : ndarray of shape (n_fine,), int64

    Returns
    -------
    ndarray of shape (n_images, n_coarse), float64
    """
    membership = np.eye(coarse_of_fine.max() + 1)[coarse_of_fine]
    return fine @ membership


def _combine(scores: Sequence[Scores | None], answers: Sequence[Ids | None], how: str) -> Scores:
    """Give the mean probabilities, for a vote on top of the number of votes.

    The mean can never outweigh a vote: a class is 1 ahead in it only if it is
    every network's answer.
    """
    total = np.mean([s for s in scores if s is not None], axis=0)
    if how == "vote":
        rows = np.arange(len(total))
        for ids in answers:
            total[rows, ids] += 1.0
    return total
