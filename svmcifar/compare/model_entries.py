"""The report's entries for models: name, costs, and how each was made."""

import hashlib
from collections.abc import Iterable, Sequence
from itertools import accumulate
from pathlib import Path
from statistics import median
from typing import Any

from svmcifar.cnn.image_network import ImageNetwork
from svmcifar.compare.comparison import Cost, LearningCurve, ModelEntry
from svmcifar.compare.machines import Machine, machine_of_card, shared
from svmcifar.compare.predictions import Predictions
from svmcifar.compare.training_terms import common_terms, network_terms, svm_terms
from svmcifar.compute.environment import processor_name
from svmcifar.compute.threads import count_workers
from svmcifar.data.dataset import CLASSES, SUPERCLASSES, kind_words
from svmcifar.features.augmentation import describe_views
from svmcifar.features.pipeline import step_names
from svmcifar.json_values import finite
from svmcifar.model.classifier import ImageClassifier
from svmcifar.svm.backends.registry import BACKENDS
from svmcifar.svm.fit_report import kernel_parameters
from svmcifar.text import one_line

# Long lists of a card that the report has in another place.
_SHOWN_ELSEWHERE = {"history", "classes"}
# Images of a network's learning curve, the better measure first.
_CURVES = {
    "validation": "validation images",
    "train": "augmented training images, while learning",
}
# Keys of the accuracies in a card's history, after the key of the images.
_ACCURACIES = {SUPERCLASSES: f"{SUPERCLASSES}_accuracy", CLASSES: "accuracy"}


def network_entry(
    network: ImageNetwork,
    predictions: Predictions,
    name: str,
    model_id: str,
    note: str | None,
    n_images: int,
) -> ModelEntry:
    """Describe a network; `n_images` are the training images of the data set."""
    card = finite(network.card or {})
    normalised = network.normalised and f"; images normalised {network.normalised}"
    is_summed = network.label_kind == CLASSES and SUPERCLASSES in predictions.ids
    summed = "; probabilities summed per superclass" if is_summed else ""
    return ModelEntry(
        id=model_id,
        kind="cnn",
        name=name,
        description=f"CNN: {network.architecture}{normalised}{summed}",
        labels=network.label_kind,
        file=network.path.name,
        sha256=network.sha256,
        runtime=network.runtime,
        terms=network_terms(network, n_images),
        cost=Cost(
            training_s=card.get("training_s"),
            training_cpu_s=card.get("training_cpu_s"),
            **_epochs(card.get("history", [])),
            training_hardware=card.get("device"),
            training_machine=machine_of_card(card),
            **_inference_cost(predictions, f"{processor_name()}, {network.runtime}"),
            n_bytes=network.n_bytes,
            n_parameters=network.n_parameters,
        ),
        curve=_learning_curve(card.get("history", []), predictions.ids),
        made={key: value for key, value in card.items() if key not in _SHOWN_ELSEWHERE},
        note=note,
    )


def ensemble_entry(members: Sequence[ModelEntry], predictions: Predictions, how: str) -> ModelEntry:
    """Describe an ensemble of networks, which costs what they cost together."""
    costs = [member.cost for member in members]
    rule = {
        "sum": "the largest sum of probabilities",
        "vote": "the most votes, ties broken by the sum of probabilities",
    }[how]
    return ModelEntry(
        id="ensemble",
        kind="ensemble",
        name=f"Ensemble of {len(members)} CNNs ({how})",
        description=f"{', '.join(m.name for m in members)}: {rule}",
        labels=CLASSES if CLASSES in predictions.ids else SUPERCLASSES,
        runtime=_joined(m.runtime for m in members),
        terms=common_terms(m.terms for m in members),
        cost=Cost(
            training_s=_total([c.training_s for c in costs]),
            training_cpu_s=_total([c.training_cpu_s for c in costs]),
            training_hardware=_joined(c.training_hardware for c in costs),
            training_machine=shared([c.training_machine for c in costs]),
            **_inference_cost(predictions, _joined(c.inference_hardware for c in costs)),
            n_bytes=sum(c.n_bytes for c in costs),
            n_parameters=_total([c.n_parameters for c in costs]),
        ),
        made={"members": [m.id for m in members], "rule": how},
    )


def svm_entry(
    model: ImageClassifier,
    predictions: Predictions,
    path: Path,
    name: str,
    model_id: str,
    note: str | None,
) -> ModelEntry:
    """Describe an SVM and its file.

    Training time includes the features, and the size of a slim file the support vectors that it
    takes from the data set.  The manifest's training rows are replaced by their number.
    """
    manifest = model.manifest
    training, fit, times = manifest.training, manifest.fit, manifest.times
    rows = training.rows
    features = step_names(model.features)
    augmented = f", of {views}" if (views := describe_views(model.augment)) else ""
    classes = f"{len(model.class_names)} {kind_words(model.label_kind, predictions.ids)[1]}"
    if model.label_kind == CLASSES and SUPERCLASSES in predictions.ids:
        classes += ", mapped up to superclasses"
    n_bytes = path.stat().st_size
    if manifest.slim:
        n_bytes += model.svc.support_vectors_.nbytes
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    workers = f"{count_workers(model.svc.n_jobs)} threads"
    kernel = "RBF" if model.svc.kernel == "rbf" else model.svc.kernel
    values = {"C": model.svc.C, **kernel_parameters(model.svc)}
    settings = ", ".join(f"{key} = {value:.6g}" for key, value in values.items())
    return ModelEntry(
        id=model_id,
        kind="svm",
        name=name,
        description=(
            f"Exact one-vs-one {kernel}-kernel SVM: {settings}; "
            f"{' > '.join(features)}, {fit.n_features:,} features{augmented}; {classes}"
        ),
        labels=model.label_kind,
        features=features,
        file=path.name,
        sha256=sha256,
        content_hash=manifest.content_hash,
        runtime=f"svmcifar, {workers}",
        terms=svm_terms(model),
        cost=Cost(
            training_s=times["features_s"] + times["fit_s"],
            training_cpu_s=_total([times.get("features_cpu_s"), times.get("fit_cpu_s")]),
            training_machine=Machine(
                None if BACKENDS[fit.backend].uses_gpu else manifest.host["processor"],
                manifest.host.get("cores"),
                _whole(times.get("n_threads")),
            ),
            training_hardware=(
                f"{manifest.host['processor']}, backend {fit.backend}"
                + (", features found in the cache" if times.get("features_found") else "")
            ),
            features_s=predictions.features_s,
            **_inference_cost(predictions, f"{processor_name()}, {workers}"),
            n_bytes=n_bytes,
            n_support_vectors=fit.n_support,
        ),
        made=manifest.to_dict() | {"training": training.to_dict() | {"rows": rows and len(rows)}},
        note=note,
    )


def distinct_names(names: Iterable[str]) -> list[str]:
    """Return names as one line each, numbered where they are alike."""
    distinct: list[str] = []
    for first in map(one_line, names):
        name, number = first, 2
        while name in distinct:
            name, number = f"{first} ({number})", number + 1
        distinct.append(name)
    return distinct


def _inference_cost(predictions: Predictions, hardware: str | None) -> dict[str, Any]:
    n_images = len(next(iter(predictions.ids.values())))
    return {
        "inference_s": predictions.inference_s,
        "inference_cpu_s": predictions.inference_cpu_s,
        "inference_load": predictions.load,
        "images_per_s": n_images / predictions.inference_s,
        "inference_hardware": hardware,
    }


def _epochs(history: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return number of epochs and the median seconds of one, as far as a card has them."""
    seconds = [s for epoch in history if isinstance(s := epoch.get("seconds"), int | float)]
    return {"epochs": len(history) or None, "epoch_s": median(seconds) if seconds else None}


def _learning_curve(
    history: Sequence[dict[str, Any]], kinds: Iterable[str]
) -> LearningCurve | None:
    """Read accuracy against seconds of training, on held-out images if there are any."""
    for measured, images in _CURVES.items():
        keys = {kind: f"{measured}_{_ACCURACIES[kind]}" for kind in kinds}
        columns: dict[str, list[Any]] = {
            key: [epoch.get(key) for epoch in history] for key in ("seconds", *keys.values())
        }
        if history and all(isinstance(v, int | float) for c in columns.values() for v in c):
            return LearningCurve(
                images=images,
                held_out=measured == "validation",
                seconds=tuple(accumulate(columns["seconds"])),
                accuracy={kind: tuple(columns[key]) for kind, key in keys.items()},
            )
    return None


def _whole(number: float | None) -> int | None:
    return None if number is None else int(number)


def _total(values: Sequence[Any]) -> Any:
    """Return the sum, None if a value is unknown."""
    return None if None in values else sum(values)


def _joined(texts: Iterable[str | None]) -> str | None:
    return "; ".join(dict.fromkeys(text for text in texts if text)) or None
