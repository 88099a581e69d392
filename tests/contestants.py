"""Networks and answers made by hand, for tests of the comparison."""

import hashlib
from pathlib import Path

import numpy as np
from scipy.special import softmax

from svmcifar.cnn.image_network import ImageNetwork
from svmcifar.cnn.model_card import REFERENCE_NORMALISATION
from svmcifar.compare.predictions import Answers, sum_by_superclass
from svmcifar.compute.image_shape import ImageShape


def make_network(path, seed=0, card=None, strength=0.05):
    """A network of one random linear layer, which may as well be asked as a real one.

    Its file holds nothing but the seed, which makes its hash.
    """
    weights = np.random.default_rng(seed).normal(size=(128, 100)).astype(np.float32)
    content = f"network {seed}".encode()
    Path(path).write_bytes(content)

    def compute_logits(pixels):
        # Without BLAS, whose threads would wait for one another on a busy machine.
        return strength * np.einsum("ip,pc->ic", pixels.reshape(len(pixels), -1)[:, ::24], weights)

    return ImageNetwork(
        path=Path(path),
        name=Path(path).stem,
        architecture="linear, 100 classes",
        n_classes=100,
        n_parameters=weights.size,
        n_bytes=1_000_000 + seed,
        sha256=hashlib.sha256(content).hexdigest(),
        card=card,
        runtime="Test runtime 1.0",
        image_shape=ImageShape(3, 32, 32),
        normalisation=REFERENCE_NORMALISATION,
        batch_size=64,
        compute_logits=compute_logits,
    )


def make_card(dataset, seconds=(10.0, 20.0, 30.0), validated=True):
    """A card with a history of three epochs."""
    kinds = ("train", "validation") if validated else ("train",)
    history = [
        {"epoch": i + 1, "seconds": s, "learning_rate": 0.1}
        | {f"{k}_accuracy": 0.1 * (i + 1) + 0.05 * (k == "train") for k in kinds}
        | {f"{k}_coarse_accuracy": 0.2 * (i + 1) + 0.05 * (k == "train") for k in kinds}
        for i, s in enumerate(seconds)
    ]
    return {
        "format": 1,
        "classes": list(dataset.class_names("fine")),
        "history": history,
        "training_s": float(sum(seconds)),
        "device": "Abacus 3000, 2 threads",
        "validation_rows": 5000 if validated else 0,
        "data": {"label": dataset.label, "md5s": dataset.md5s},
    }


def answers_of(fine, coarse_of_fine, scores=None, kind="probabilities", coarse=None):
    """Answers with given fine ids; the scores are sure of them unless given."""
    fine = np.asarray(fine)
    scores = softmax(5.0 * np.eye(100)[fine], axis=1) if scores is None else scores
    coarse_scores = sum_by_superclass(scores, coarse_of_fine)
    return Answers(
        coarse=coarse_of_fine[fine] if coarse is None else np.asarray(coarse),
        fine=fine,
        coarse_scores=coarse_scores if kind == "probabilities" else None,
        fine_scores=scores,
        score_kind=kind,
        inference_s=2.0 if kind == "probabilities" else 8.0,
        features_s=None if kind == "probabilities" else 1.0,
    )


def entry_of(model_id, name, **changes):
    """What a report says of a model, as far as conclusions need it."""
    is_svm = model_id == "svm"
    entry = {
        "id": model_id,
        "kind": "cnn" if model_id.startswith("cnn") else model_id,
        "name": name,
        "labels": "fine",
        "curve": None,
        "curve_of": None,
        "made": {"data": {"md5s": {}}, "host": {"processor": "Abacus"}, "training": {"rows": None}},
        "cost": {
            "training_s": 30.0 if is_svm else 600.0,
            "training_hardware": "Abacus, backend numba" if is_svm else "Abacus, 2 threads",
            "images_per_s": 250.0 if is_svm else 1000.0,
            "n_bytes": 500_000_000 if is_svm else 2_000_000,
        },
        "note": None,
    }
    if is_svm:
        entry["features"] = ["pixels", "standardize"]
    return entry | changes
