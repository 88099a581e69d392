"""From models and test images to the content of the report."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from svmcifar.cnn.image_network import ImageNetwork
from svmcifar.compare.conclusions import conclude
from svmcifar.compare.limitations import find_limitations
from svmcifar.compare.model_entries import distinct_names, ensemble_entry, network_entry, svm_entry
from svmcifar.compare.predictions import (
    Ids,
    Predictions,
    combine_networks,
    predict_by_network,
    predict_by_svm,
)
from svmcifar.compare.report_content import (
    CONFIDENCE,
    Comparison,
    DataDescription,
    Disagreements,
    ImagePredictions,
    ModelEntry,
    PairedTest,
    PredictedClass,
)
from svmcifar.compare.scores import ModelScores, score_predictions
from svmcifar.compare.time_to_accuracy import time_to_accuracy
from svmcifar.compute.environment import describe_environment, utc_now
from svmcifar.data.dataset import SUPERCLASSES, Dataset, Split
from svmcifar.metrics.paired_tests import bootstrap_difference, count_pairs, mcnemar_p
from svmcifar.model.classifier import ImageClassifier

_N_GRID = 9
_N_DISAGREEMENTS = 27

PredictionsById = Mapping[str, Predictions]


def ask_models(
    networks: Sequence[ImageNetwork],
    svm: ImageClassifier,
    dataset: Dataset,
    test: Split,
    ensemble: str | None = None,
) -> dict[str, Predictions]:
    """Let networks and an SVM predict the same images.

    Parameters
    ----------
    networks : sequence of ImageNetwork
        At least one, of the data set's classes.
    svm : ImageClassifier
        Of the data set's classes or superclasses.
    dataset : Dataset
        What `test` comes from.
    test : Split
    ensemble : {"sum", "vote"}, optional
        Let the networks predict together, too.

    Returns
    -------
    dict of str to Predictions
        By model id: "cnn", "cnn2", ... as given, "ensemble", "svm".
    """
    superclass_of = _superclass_of(dataset)
    predictions = {
        model_id: predict_by_network(network, test.images, superclass_of)
        for model_id, network in zip(network_ids(networks), networks, strict=True)
    }
    if ensemble is not None:
        predictions["ensemble"] = combine_networks(list(predictions.values()), ensemble)
    return predictions | {"svm": predict_by_svm(svm, test.images, superclass_of)}


def describe_models(
    networks: Sequence[ImageNetwork],
    svm: ImageClassifier,
    svm_path: Path,
    predictions: PredictionsById,
    *,
    ensemble: str | None = None,
    notes: Mapping[str, str] | None = None,
) -> list[ModelEntry]:
    """Describe what each model is, what it costs and how it was made.

    Parameters
    ----------
    networks : sequence of ImageNetwork
    svm : ImageClassifier
    svm_path : Path
        Its file.
    predictions : dict of str to Predictions
        What `ask_models` returned for these models.
    ensemble : {"sum", "vote"}, optional
    notes : mapping of str to str, optional
        By model id: where a model comes from, if nobody named it.

    Returns
    -------
    list of ModelEntry
        In the order of `predictions`, without the accuracy per megabyte.
    """
    notes = notes or {}
    ids, names = network_ids(networks), distinct_names(networks)
    entries = [
        network_entry(network, predictions[model_id], name, model_id, notes.get(model_id))
        for network, model_id, name in zip(networks, ids, names, strict=True)
    ]
    if ensemble is not None:
        entries.append(ensemble_entry(entries, predictions["ensemble"], ensemble))
    return [*entries, svm_entry(svm, predictions["svm"], svm_path, notes.get("svm"))]


def network_ids(networks: Sequence[Any]) -> list[str]:
    """Return the ids of networks in a report: "cnn", "cnn2", "cnn3" and so on."""
    return [f"cnn{number}" if number > 1 else "cnn" for number in range(1, len(networks) + 1)]


def compare_predictions(
    models: Sequence[ModelEntry],
    predictions: PredictionsById,
    dataset: Dataset,
    test: Split,
    command: str = "",
) -> Comparison:
    """Score the predictions, compare them, and draw conclusions.

    Parameters
    ----------
    models : sequence of ModelEntry
        What `describe_models` returned.
    predictions : dict of str to Predictions
        What `ask_models` returned.
    dataset : Dataset
        What `test` comes from.
    test : Split
    command : str
        What the user typed, for the record.

    Returns
    -------
    Comparison
        Without the names of the report's files.
    """
    kinds, superclass_of = dataset.label_kinds, _superclass_of(dataset)
    truth = {kind: test.labels[kind] for kind in kinds}
    class_names = {kind: list(dataset.class_names(kind)) for kind in kinds}
    scores = {
        kind: {
            model_id: score_predictions(truth[kind], predicted, kind, class_names[kind])
            for model_id, predicted in predictions.items()
            if kind in predicted.ids
        }
        for kind in kinds
    }

    def show(indices: Iterable[int]) -> list[ImagePredictions]:
        return [_show_image(i, test, truth, predictions, class_names) for i in indices]

    comparison = Comparison(
        title=f"CNN versus SVM on {dataset.label}",
        created=utc_now(),
        command=command,
        **describe_environment(),
        data=DataDescription(
            label=dataset.label,
            synthetic=dataset.is_synthetic,
            md5s=dataset.md5s,
            split=test.name,
            n_images=len(test.images),
        ),
        class_names=class_names,
        superclass_of=None if superclass_of is None else superclass_of.tolist(),
        models=[_with_accuracy_per_mb(entry, scores) for entry in models],
        scores=scores,
        paired={kind: _compare_pairs(truth[kind], predictions, kind) for kind in kinds},
        time_to_accuracy=time_to_accuracy(models, scores),
        disagreements=_find_disagreements(truth, predictions, kinds[0], show),
        grid=show(range(min(_N_GRID, len(test.images)))),
    )
    return replace(
        comparison, conclusion=conclude(comparison), limitations=find_limitations(comparison)
    )


def _superclass_of(dataset: Dataset) -> Ids | None:
    return dataset.superclass_of if SUPERCLASSES in dataset.label_kinds else None


def _with_accuracy_per_mb(
    entry: ModelEntry, scores: Mapping[str, Mapping[str, ModelScores]]
) -> ModelEntry:
    """Add the percentage of right predictions per million bytes of the model."""
    megabytes = entry.cost.n_bytes / 1e6
    ratios = {
        kind: 100 * of_kind[entry.id].accuracy / megabytes if entry.id in of_kind else None
        for kind, of_kind in scores.items()
    }
    return replace(entry, cost=replace(entry.cost, accuracy_per_mb=ratios))


def _compare_pairs(y_true: Ids, predictions: PredictionsById, kind: str) -> list[PairedTest]:
    """Compare all networks with the SVM, then the networks with one another."""
    ids = {model_id: p.ids[kind] for model_id, p in predictions.items() if kind in p.ids}
    networks = [model_id for model_id in ids if model_id not in ("ensemble", "svm")]
    pairs = [(a, "svm") for a in ids if a != "svm"] if "svm" in ids else []
    tests = []
    for a, b in (*pairs, *combinations(networks, 2)):
        counts = count_pairs(y_true, ids[a], ids[b])
        low, high = bootstrap_difference(counts, CONFIDENCE)
        tests.append(PairedTest(a, b, counts, mcnemar_p(counts), low, high))
    return tests


def _find_disagreements(
    truth: Mapping[str, Ids],
    predictions: PredictionsById,
    kind: str,
    show: Callable[[Iterable[int]], list[ImagePredictions]],
) -> Disagreements:
    """Find the first images on which the leading network and the SVM fare differently."""
    lead = "ensemble" if "ensemble" in predictions else "cnn"
    right_a, right_b = (predictions[m].ids[kind] == truth[kind] for m in (lead, "svm"))
    only_a, only_b, both_wrong = (
        np.flatnonzero(group)[:_N_DISAGREEMENTS].tolist()
        for group in (right_a & ~right_b, right_b & ~right_a, ~right_a & ~right_b)
    )
    images = show(sorted([*only_a, *only_b, *both_wrong]))
    return Disagreements(lead, "svm", kind, only_a, only_b, both_wrong, images)


def _show_image(
    index: int,
    test: Split,
    truth: Mapping[str, Ids],
    predictions: PredictionsById,
    class_names: Mapping[str, Sequence[str]],
) -> ImagePredictions:
    """Name every model's predictions for an image."""
    return ImagePredictions(
        index=index,
        filename=test.filenames[index],
        true={kind: class_names[kind][ids[index]] for kind, ids in truth.items()},
        predicted={
            model_id: {
                kind: PredictedClass(
                    class_names[kind][ids[index]], bool(ids[index] == truth[kind][index])
                )
                for kind, ids in p.ids.items()
            }
            for model_id, p in predictions.items()
        },
    )
