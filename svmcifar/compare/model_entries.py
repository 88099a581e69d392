"""What the report says of each model: its name, its costs, and how it was made."""

import hashlib
from collections.abc import Sequence
from itertools import accumulate
from math import isfinite
from pathlib import Path
from typing import Any

from svmcifar.cnn.image_network import ImageNetwork
from svmcifar.compare.predictions import Answers
from svmcifar.compute.environment import processor_name
from svmcifar.compute.threads import count_workers
from svmcifar.features.augmentation import describe_views
from svmcifar.features.build import step_names
from svmcifar.model.classifier import ImageClassifier

# Long lists of a card that the report has in another place.
_SHOWN_ELSEWHERE = {"history", "classes"}

# What a network's accuracy was measured on while it learned; the better measure first.
_CURVES = {
    "validation": "validation images",
    "train": "augmented training images, while learning",
}


def network_entry(
    network: ImageNetwork, answers: Answers, name: str, model_id: str, note: str | None
) -> dict[str, Any]:
    """Describe a network.

    Parameters
    ----------
    network : ImageNetwork
    answers : Answers
    name : str
        For tables and legends.
    model_id : str
    note : str or None

    Returns
    -------
    dict
        JSON-ready, but for the accuracy per megabyte.
    """
    card = _finite(network.card or {})
    curve, curve_of = _learning_curve(card.get("history", []))
    return {
        "id": model_id,
        "kind": "cnn",
        "name": name,
        "description": f"CNN: {network.architecture}; probabilities summed per superclass",
        "labels": "fine",
        "file": network.path.name,
        "sha256": network.sha256,
        "content_hash": None,
        "runtime": network.runtime,
        "cost": {
            "training_s": card.get("training_s"),
            "training_hardware": card.get("device"),
            "features_s": None,
            **_inference_cost(answers, f"{processor_name()}, {network.runtime}"),
            "n_bytes": network.n_bytes,
            "n_parameters": network.n_parameters,
            "n_support_vectors": None,
        },
        "curve": curve,
        "curve_of": curve_of,
        "made": {key: card[key] for key in card if key not in _SHOWN_ELSEWHERE},
        "note": note,
    }


def ensemble_entry(members: Sequence[dict[str, Any]], answers: Answers, how: str) -> dict[str, Any]:
    """Describe the combination of networks.

    Parameters
    ----------
    members : sequence of dict
        The networks' entries; the combination costs what they cost together.
    answers : Answers
    how : {"sum", "vote"}

    Returns
    -------
    dict
        JSON-ready, but for the accuracy per megabyte.
    """
    costs = [member["cost"] for member in members]
    rule = {
        "sum": "the largest sum of probabilities",
        "vote": "the most votes, ties broken by the sum of probabilities",
    }[how]
    return {
        "id": "ensemble",
        "kind": "ensemble",
        "name": f"Ensemble of {len(members)} CNNs ({how})",
        "description": f"{', '.join(m['name'] for m in members)}: {rule}",
        "labels": "fine",
        "file": None,
        "sha256": None,
        "content_hash": None,
        "runtime": _joined(m["runtime"] for m in members),
        "cost": {
            "training_s": _total(c["training_s"] for c in costs),
            "training_hardware": _joined(c["training_hardware"] for c in costs),
            "features_s": None,
            **_inference_cost(answers, _joined(c["inference_hardware"] for c in costs)),
            "n_bytes": sum(c["n_bytes"] for c in costs),
            "n_parameters": _total(c["n_parameters"] for c in costs),
            "n_support_vectors": None,
        },
        "curve": None,
        "curve_of": None,
        "made": {"members": [m["id"] for m in members], "rule": how},
        "note": None,
    }


def svm_entry(
    model: ImageClassifier, answers: Answers, path: Path, note: str | None
) -> dict[str, Any]:
    """Describe an SVM.

    Parameters
    ----------
    model : ImageClassifier
    answers : Answers
    path : Path
        Its file.
    note : str or None

    Returns
    -------
    dict
        JSON-ready, but for the accuracy per megabyte.  Training time includes
        the features.  The size of a slim file counts the support vectors too,
        which it takes from the data set.  Instead of the training rows, if
        not all were used, it has their number.
    """
    manifest = model.manifest
    training, fit, times = manifest.training, manifest.fit, manifest.times
    rows = training.rows
    features = step_names(model.features)
    views = f", of {seen}" if (seen := describe_views(model.augment)) else ""
    is_fine = model.label_kind == "fine"
    classes = "100 fine classes, mapped up to superclasses" if is_fine else "20 superclasses"
    n_bytes = path.stat().st_size
    if manifest.slim:
        n_bytes += model.svc.support_vectors_.nbytes
    workers = f"{count_workers(model.svc.n_jobs)} threads"
    return {
        "id": "svm",
        "kind": "svm",
        "name": f"SVM ({model.label_kind})",
        "description": (
            f"Exact one-vs-one RBF-kernel SVM: C = {training.parameters['C']:g}, "
            f"gamma = {fit.gamma:.6g}; "
            f"{' > '.join(features)}, {fit.n_features} features{views}; {classes}"
        ),
        "labels": model.label_kind,
        "features": features,
        "file": path.name,
        "sha256": _file_sha256(path),
        "content_hash": manifest.content_hash,
        "runtime": f"svmcifar, {workers}",
        "cost": {
            "training_s": times["features_s"] + times["fit_s"],
            "training_hardware": (
                f"{manifest.host['processor']}, backend {fit.backend}"
                + (", features found in the cache" if times.get("features_found") else "")
            ),
            "features_s": answers.features_s,
            **_inference_cost(answers, f"{processor_name()}, {workers}"),
            "n_bytes": n_bytes,
            "n_parameters": None,
            "n_support_vectors": fit.n_support,
        },
        "curve": None,
        "curve_of": None,
        "made": manifest.to_dict()
        | {"training": training.to_dict() | {"rows": rows and len(rows)}},
        "note": note,
    }


def distinct_names(networks: Sequence[ImageNetwork]) -> list[str]:
    """Name networks by their files, with numbers where names are alike.

    Parameters
    ----------
    networks : sequence of ImageNetwork

    Returns
    -------
    list of str
    """
    names: list[str] = []
    for network in networks:
        name, number = f"CNN {network.name}", 2
        while name in names:
            name, number = f"CNN {network.name} ({number})", number + 1
        names.append(name)
    return names


def _inference_cost(answers: Answers, hardware: str | None) -> dict[str, Any]:
    return {
        "inference_s": answers.inference_s,
        "images_per_s": len(answers.coarse) / answers.inference_s,
        "inference_hardware": hardware,
    }


def _learning_curve(
    history: Sequence[dict[str, Any]],
) -> tuple[list[dict[str, float]] | None, str | None]:
    """Give accuracy against seconds of training, on held-out images where there are any."""
    for kind, images in _CURVES.items():
        keys = "seconds", f"{kind}_accuracy", f"{kind}_coarse_accuracy"
        rows = [[entry.get(key) for key in keys] for entry in history]
        if rows and all(isinstance(value, int | float) for row in rows for value in row):
            seconds, fine, coarse = zip(*rows, strict=True)
            points = zip(accumulate(seconds), fine, coarse, strict=True)
            return [{"seconds": s, "fine": f, "coarse": c} for s, f, c in points], images
    return None, None


def _finite(value: Any) -> Any:
    """Replace numbers that JSON does not know, which a card may hold, with None."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def _total(values: Any) -> float | None:
    """Add up what is known of every member, else nothing."""
    values = list(values)
    return None if None in values else sum(values)


def _joined(texts: Any) -> str | None:
    return "; ".join(dict.fromkeys(text for text in texts if text)) or None


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
