"""From models and test images to the content of the report."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import chain, combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from svmcifar.cnn.image_network import ImageNetwork
from svmcifar.compare.conclusions import conclude
from svmcifar.compare.limitations import find_limits
from svmcifar.compare.model_entries import distinct_names, ensemble_entry, network_entry, svm_entry
from svmcifar.compare.predictions import (
    Answers,
    Ids,
    answer_by_network,
    answer_by_svm,
    combine_networks,
)
from svmcifar.compare.scores import score_answers
from svmcifar.compare.time_to_accuracy import time_to_accuracy
from svmcifar.compute.environment import describe_environment, utc_now
from svmcifar.data.dataset import Dataset, Split
from svmcifar.metrics.paired_tests import (
    N_RESAMPLES,
    SEED,
    bootstrap_difference,
    count_pairs,
    mcnemar_p,
)
from svmcifar.model.classifier import ImageClassifier

FORMAT_NUMBER = 1

_LABEL_KINDS = ("coarse", "fine")
_N_GRID = 9
_N_DISAGREEMENTS = 27
_CONFIDENCE = 0.95

AnswersById = dict[str, Answers]
Entries = list[dict[str, Any]]


def ask_models(
    networks: Sequence[ImageNetwork],
    svm: ImageClassifier,
    images: NDArray[np.uint8],
    coarse_of_fine: Ids,
    ensemble: str | None = None,
) -> AnswersById:
    """Let networks and an SVM answer the same images.

    Parameters
    ----------
    networks : sequence of ImageNetwork
        At least one, of the data set's fine classes.
    svm : ImageClassifier
        Of the data set's classes, fine or coarse.
    images : ndarray of shape (n_images, 3072), uint8
    coarse_of_fine : ndarray of shape (n_fine,), int64
        Superclass id of each fine class id.
    ensemble : {"sum", "vote"}, optional
        Let the networks answer together, too.

    Returns
    -------
    dict of str to Answers
        By model id: "cnn", "cnn2", ... as given, "ensemble", "svm".
    """
    answers: AnswersById = {
        model_id: answer_by_network(network, images, coarse_of_fine)
        for model_id, network in zip(network_ids(networks), networks, strict=True)
    }
    if ensemble is not None:
        answers["ensemble"] = combine_networks(list(answers.values()), ensemble)
    answers["svm"] = answer_by_svm(svm, images, coarse_of_fine)
    return answers


def describe_models(
    networks: Sequence[ImageNetwork],
    svm: ImageClassifier,
    svm_path: Path,
    answers: AnswersById,
    *,
    ensemble: str | None = None,
    notes: Mapping[str, str] | None = None,
) -> Entries:
    """Say of each model what it is, what it costs and how it was made.

    Parameters
    ----------
    networks : sequence of ImageNetwork
    svm : ImageClassifier
    svm_path : Path
        Its file.
    answers : dict of str to Answers
        As `ask_models` gives them for these models.
    ensemble : {"sum", "vote"}, optional
    notes : mapping of str to str, optional
        By model id: where a model comes from, if nobody named it.

    Returns
    -------
    list of dict
        In the order of `answers`.
    """
    notes = notes or {}
    ids, names = network_ids(networks), distinct_names(networks)
    entries = [
        network_entry(network, answers[model_id], name, model_id, notes.get(model_id))
        for network, model_id, name in zip(networks, ids, names, strict=True)
    ]
    if ensemble is not None:
        entries.append(ensemble_entry(entries, answers["ensemble"], ensemble))
    return [*entries, svm_entry(svm, answers["svm"], svm_path, notes.get("svm"))]


def network_ids(networks: Sequence[Any]) -> list[str]:
    """Give networks their ids: "cnn", "cnn2", "cnn3" and so on.

    Parameters
    ----------
    networks : sequence

    Returns
    -------
    list of str
    """
    return [f"cnn{number}" if number > 1 else "cnn" for number in range(1, len(networks) + 1)]


def compare_answers(
    entries: Entries,
    answers: AnswersById,
    dataset: Dataset,
    test: Split,
    coarse_of_fine: Ids,
    command: str = "",
) -> dict[str, Any]:
    """Score the answers, compare them, and draw conclusions.

    Parameters
    ----------
    entries : list of dict
        As `describe_models` gives them.
    answers : dict of str to Answers
        As `ask_models` gives them.
    dataset : Dataset
        What `test` comes from.
    test : Split
    coarse_of_fine : ndarray of shape (n_fine,), int64
    command : str
        What the user typed, for the record.

    Returns
    -------
    dict
        JSON-ready content of the report, but for the names of its files.
    """
    names = {kind: list(dataset.class_names(kind)) for kind in dataset.label_kinds}
    scores = {
        kind: {
            model_id: score_answers(_truth(test, kind), answer, kind, names[kind])
            for model_id, answer in answers.items()
            if getattr(answer, kind) is not None
        }
        for kind in _LABEL_KINDS
    }
    entries = [_with_accuracy_per_mb(entry, scores) for entry in entries]
    content: dict[str, Any] = {
        "format": FORMAT_NUMBER,
        "title": f"CNN versus SVM on {dataset.label}",
        "created": utc_now(),
        **describe_environment(),
        "command": command,
        "data": {
            "label": dataset.label,
            "synthetic": dataset.is_synthetic,
            "md5s": dataset.md5s,
            "split": test.name,
            "n_images": len(test.images),
        },
        "classes": names | {"coarse_of_fine": coarse_of_fine.tolist()},
        "models": entries,
        "scores": scores,
        "paired": {kind: _compare_pairs(test, answers, kind) for kind in _LABEL_KINDS},
        "time_to_accuracy": time_to_accuracy(entries, scores),
        "disagreements": _find_disagreements(test, answers, names),
        "grid": _show_answers(test, answers, names, range(min(_N_GRID, len(test.images)))),
    }
    content["conclusion"] = conclude(content)
    content["limits"] = find_limits(content)
    return content


def _truth(test: Split, kind: str) -> Ids:
    return test.labels[kind]


def _with_accuracy_per_mb(entry: dict[str, Any], scores: dict[str, Any]) -> dict[str, Any]:
    """Add the percentage of right answers per million bytes of the model."""
    megabytes = entry["cost"]["n_bytes"] / 1e6
    ratios = {
        kind: 100 * scores[kind][entry["id"]]["accuracy"] / megabytes
        if entry["id"] in scores[kind]
        else None
        for kind in _LABEL_KINDS
    }
    return entry | {"cost": entry["cost"] | {"accuracy_per_mb": ratios}}


def _compare_pairs(test: Split, answers: AnswersById, kind: str) -> list[dict[str, Any]]:
    """Compare all networks with the SVM, then the networks with one another."""
    able = [model_id for model_id, answer in answers.items() if getattr(answer, kind) is not None]
    networks = [model_id for model_id in able if model_id not in ("ensemble", "svm")]
    pairs = [(a, "svm") for a in able if a != "svm"] if "svm" in able else []
    pairs += combinations(networks, 2)
    return [
        _compare_pair(
            _truth(test, kind), a, b, getattr(answers[a], kind), getattr(answers[b], kind)
        )
        for a, b in pairs
    ]


def _compare_pair(y_true: Ids, a: str, b: str, y_a: Ids, y_b: Ids) -> dict[str, Any]:
    counts = count_pairs(y_true, y_a, y_b)
    low, high = bootstrap_difference(counts, _CONFIDENCE)
    return {
        "a": a,
        "b": b,
        "n": counts.n,
        **asdict(counts),
        "mcnemar_p": mcnemar_p(counts),
        "mcnemar_method": "exact binomial test on the images that only one model has right",
        "difference": {
            "value": counts.difference,
            "low": low,
            "high": high,
            "confidence": _CONFIDENCE,
            "method": f"paired bootstrap, {N_RESAMPLES} resamples, seed {SEED}",
        },
    }


def _find_disagreements(
    test: Split, answers: AnswersById, names: dict[str, list[str]]
) -> dict[str, Any]:
    """List the first images on which the leading network and the SVM fare differently."""
    lead = "ensemble" if "ensemble" in answers else "cnn"
    cnn, svm = (answers[model_id].coarse == test.coarse for model_id in (lead, "svm"))
    groups = {"only_cnn": cnn & ~svm, "only_svm": svm & ~cnn, "both_wrong": ~cnn & ~svm}
    first = {name: np.flatnonzero(hit)[:_N_DISAGREEMENTS].tolist() for name, hit in groups.items()}
    images = _show_answers(test, answers, names, sorted(chain.from_iterable(first.values())))
    return {"a": lead, "b": "svm", "coarse": first, "images": images}


def _show_answers(
    test: Split, answers: AnswersById, names: dict[str, list[str]], indices: Iterable[int]
) -> list[dict[str, Any]]:
    """Name every model's answers to some images."""
    return [
        {
            "index": i,
            "filename": test.filenames[i],
            "true_fine": names["fine"][test.fine[i]],
            "true_coarse": names["coarse"][test.coarse[i]],
            "answers": {
                model_id: {
                    "coarse": names["coarse"][answer.coarse[i]],
                    "coarse_right": bool(answer.coarse[i] == test.coarse[i]),
                    "fine": None if answer.fine is None else names["fine"][answer.fine[i]],
                    "fine_right": None
                    if answer.fine is None
                    else bool(answer.fine[i] == test.fine[i]),
                }
                for model_id, answer in answers.items()
            },
        }
        for i in indices
    ]
