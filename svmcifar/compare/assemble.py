"""From models and test images to the content of the report."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from svmcifar.cnn.image_network import ImageNetwork
from svmcifar.compare.comparison import (
    CONFIDENCE,
    ClassTest,
    Comparison,
    DataDescription,
    Disagreements,
    ImagePredictions,
    ModelEntry,
    PairedTest,
    PredictedClass,
    SuperclassAnswers,
)
from svmcifar.compare.conclusions import conclude
from svmcifar.compare.limitations import find_limitations
from svmcifar.compare.mixtures import mix_models
from svmcifar.compare.model_entries import distinct_names, ensemble_entry, network_entry, svm_entry
from svmcifar.compare.predictions import (
    Ids,
    Predictions,
    combine_networks,
    predict_by_network,
    predict_by_svm,
    superclasses_by_rule,
)
from svmcifar.compare.robustness import Robustness
from svmcifar.compare.scores import score_predictions
from svmcifar.compare.seeds import group_by_seed
from svmcifar.compare.time_to_accuracy import time_to_accuracy
from svmcifar.compute.environment import describe_environment, utc_now
from svmcifar.data.dataset import CLASSES, SUPERCLASSES, Dataset, Split
from svmcifar.metrics.evaluation import evaluate_predictions
from svmcifar.metrics.paired_tests import (
    bootstrap_difference,
    count_pairs,
    count_pairs_by_class,
    holm_correction,
    mcnemar_p,
)
from svmcifar.model.classifier import ImageClassifier

_N_GRID = 9
_N_DISAGREEMENTS = 27

PredictionsById = Mapping[str, Predictions]


def ask_models(
    networks: Sequence[ImageNetwork],
    svms: Sequence[ImageClassifier],
    dataset: Dataset,
    test: Split,
    ensemble: str | None = None,
) -> dict[str, Predictions]:
    """Predict a split of `dataset` by networks, SVMs and, by "sum" or "vote", an ensemble.

    Return predictions by model id: "cnn", "cnn2", ... in the given order, "ensemble" of all
    networks, "svm", "svm2", ...
    """
    superclass_of = _superclass_of(dataset)
    predictions = {
        model_id: predict_by_network(network, test.images, superclass_of)
        for model_id, network in zip(model_ids("cnn", networks), networks, strict=True)
    }
    if ensemble is not None:
        predictions["ensemble"] = combine_networks(list(predictions.values()), ensemble)
    return predictions | {
        model_id: predict_by_svm(svm, test.images, superclass_of)
        for model_id, svm in zip(model_ids("svm", svms), svms, strict=True)
    }


def describe_models(
    networks: Sequence[ImageNetwork],
    svms: Sequence[tuple[ImageClassifier, Path]],
    predictions: PredictionsById,
    dataset: Dataset,
    *,
    ensemble: str | None = None,
    notes: Mapping[str, str] | None = None,
) -> list[ModelEntry]:
    """Describe the models of `ask_models` in its order.

    Each SVM comes with its file.  `notes` say where a model that the user did not name comes from,
    by model id.
    """
    notes = notes or {}
    names = distinct_names([f"CNN {network.name}" for network in networks])
    n_images = dataset.count_images("train") if networks else 0
    entries = [
        network_entry(network, predictions[model_id], name, model_id, notes.get(model_id), n_images)
        for network, model_id, name in zip(networks, model_ids("cnn", networks), names, strict=True)
    ]
    if ensemble is not None:
        entries.append(ensemble_entry(entries, predictions["ensemble"], ensemble))
    names = distinct_names([f"SVM {path.stem}" for _, path in svms])
    if len(svms) == 1:
        names = [f"SVM ({svms[0][0].label_kind})"]
    return entries + [
        svm_entry(svm, predictions[model_id], path, name, model_id, notes.get(model_id))
        for (svm, path), model_id, name in zip(svms, model_ids("svm", svms), names, strict=True)
    ]


def model_ids(kind: str, models: Sequence[Any]) -> list[str]:
    """Return the ids of the models of a kind in a report: "cnn", "cnn2", "cnn3" and so on."""
    return [f"{kind}{number}" if number > 1 else kind for number in range(1, len(models) + 1)]


def compare_predictions(
    models: Sequence[ModelEntry],
    predictions: PredictionsById,
    dataset: Dataset,
    test: Split,
    command: str = "",
    robustness: Robustness | None = None,
) -> Comparison:
    """Score and compare the predictions of `ask_models`, and draw conclusions.

    `models` come from `describe_models`; `command` is what the user typed, for the record;
    `robustness` is that of the same models.  The result does not yet name the report's files.
    """
    kinds, superclass_of = dataset.label_kinds, _superclass_of(dataset)
    truth = {kind: test.labels[kind] for kind in kinds}
    class_names = {kind: list(dataset.class_names(kind)) for kind in kinds}
    scores = {
        kind: {
            model_id: score_predictions(
                truth[kind], predicted, kind, class_names[kind], superclass_of
            )
            for model_id, predicted in predictions.items()
            if kind in predicted.ids
        }
        for kind in kinds
    }
    ids = {
        kind: {i: p.ids[kind] for i, p in predictions.items() if kind in p.ids} for kind in kinds
    }
    describe = partial(_describe_image, test, predictions, class_names)
    kind_of = {entry.id: entry.kind for entry in models}
    comparison = Comparison(
        title=f"{_title_of(kind_of)} on {dataset.label}",
        created=utc_now(),
        command=command,
        **describe_environment(),
        data=DataDescription(
            label=dataset.label,
            synthetic=dataset.is_synthetic,
            original=dataset.original,
            md5s=dataset.md5s,
            split=test.name,
            n_images=len(test.images),
        ),
        class_names=class_names,
        superclass_of=None if superclass_of is None else superclass_of.tolist(),
        models=list(models),
        scores=scores,
        paired={kind: _compare_pairs(truth[kind], ids[kind], kind_of) for kind in kinds},
        superclasses=(
            []
            if superclass_of is None
            else [
                _answer_by_rule(rule, predictions, superclass_of, truth, class_names, kind_of)
                for rule in ("mapped", "summed")
            ]
        ),
        seeds=group_by_seed(models, scores),
        time_to_accuracy=time_to_accuracy(models, scores),
        disagreements=_find_disagreements(test, predictions, kinds[0], kind_of, describe),
        grid=[describe(i) for i in range(min(_N_GRID, len(test.images)))],
        mixtures=mix_models(truth, predictions, _mixed_pairs(models), superclass_of),
        robustness=robustness,
    )
    return replace(
        comparison, conclusion=conclude(comparison), limitations=find_limitations(comparison)
    )


def _superclass_of(dataset: Dataset) -> Ids | None:
    return dataset.superclass_of if SUPERCLASSES in dataset.label_kinds else None


def _title_of(kind_of: Mapping[str, str]) -> str:
    return "CNN versus SVM" if "cnn" in kind_of.values() else "SVMs compared"


def _answer_by_rule(
    rule: str,
    predictions: PredictionsById,
    superclass_of: Ids,
    truth: Mapping[str, Ids],
    class_names: Mapping[str, Sequence[str]],
    kind_of: Mapping[str, str],
) -> SuperclassAnswers:
    """Score and compare all models' superclasses by one rule."""
    y_true, names = truth[SUPERCLASSES], class_names[SUPERCLASSES]
    ids = {
        model_id: superclasses_by_rule(predicted, rule, truth[CLASSES], superclass_of)
        for model_id, predicted in predictions.items()
    }
    scores = {i: evaluate_predictions(y_true, of_model, None, names) for i, of_model in ids.items()}
    return SuperclassAnswers(rule, scores, _compare_pairs(y_true, ids, kind_of))


def _compare_pairs(
    y_true: Ids, ids: Mapping[str, Ids], kind_of: Mapping[str, str]
) -> list[PairedTest]:
    """Compare networks and ensembles with each SVM, then SVMs, then networks with one another."""
    svms, networks = ([i for i in ids if kind_of[i] == of] for of in ("svm", "cnn"))
    with_svm = [(a, b) for b in svms for a in ids if kind_of[a] != "svm"]
    tests = []
    for a, b in (*with_svm, *combinations(svms, 2), *combinations(networks, 2)):
        counts = count_pairs(y_true, ids[a], ids[b])
        low, high = bootstrap_difference(counts, CONFIDENCE)
        by_class = tuple(_compare_classes(y_true, ids[a], ids[b]))
        tests.append(PairedTest(a, b, counts, mcnemar_p(counts), low, high, by_class))
    return tests


def _compare_classes(y_true: Ids, a: Ids, b: Ids) -> Iterator[ClassTest]:
    """Compare two models on each class that has images."""
    by_class = count_pairs_by_class(y_true, a, b, int(y_true.max()) + 1)
    seen = [(class_id, counts) for class_id, counts in enumerate(by_class) if counts]
    p = [mcnemar_p(counts) for _, counts in seen]
    for (class_id, counts), of_class, holm_p in zip(seen, p, holm_correction(p), strict=True):
        yield ClassTest(class_id, counts, of_class, float(holm_p))


def _mixed_pairs(models: Sequence[ModelEntry]) -> list[tuple[str, str]]:
    """Return the ids of each network or ensemble with each SVM."""
    svms = [entry.id for entry in models if entry.kind == "svm"]
    return [(entry.id, svm) for entry in models if entry.kind != "svm" for svm in svms]


def _find_disagreements(
    test: Split,
    predictions: PredictionsById,
    kind: str,
    kind_of: Mapping[str, str],
    describe: Callable[[int], ImagePredictions],
) -> Disagreements:
    """Find the first images that only one of two rivals has right, or neither.

    They are the ensemble, or the first network, and the first SVM; without a network the first two
    SVMs.
    """
    ranks = ("ensemble", "cnn", "svm")
    a = min(kind_of, key=lambda model_id: ranks.index(kind_of[model_id]))
    b = next(i for i, of in kind_of.items() if of == "svm" and i != a)
    right_a, right_b = (predictions[m].ids[kind] == test.labels[kind] for m in (a, b))
    only_a, only_b, both_wrong = (
        np.flatnonzero(group)[:_N_DISAGREEMENTS].tolist()
        for group in (right_a & ~right_b, right_b & ~right_a, ~right_a & ~right_b)
    )
    images = [describe(i) for i in sorted([*only_a, *only_b, *both_wrong])]
    return Disagreements(a, b, kind, only_a, only_b, both_wrong, images)


def _describe_image(
    test: Split,
    predictions: PredictionsById,
    class_names: Mapping[str, Sequence[str]],
    index: int,
) -> ImagePredictions:
    """Name an image's true classes and every model's predictions."""
    true = {kind: names[test.labels[kind][index]] for kind, names in class_names.items()}
    predicted = {
        model_id: {
            kind: PredictedClass(
                class_names[kind][ids[index]], bool(ids[index] == test.labels[kind][index])
            )
            for kind, ids in p.ids.items()
        }
        for model_id, p in predictions.items()
    }
    return ImagePredictions(index, test.filenames[index], true, predicted)
