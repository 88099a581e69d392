"""Networks and predictions made by hand, for tests of the comparison."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.special import softmax

from svmcifar.cnn.image_network import ImageNetwork
from svmcifar.cnn.model_card import REFERENCE_NORMALISATION
from svmcifar.compare.comparison import Cost, ModelEntry
from svmcifar.compare.machines import Machine
from svmcifar.compare.predictions import Predictions
from svmcifar.compare.training_terms import TrainingTerms
from svmcifar.compute.image_shape import ImageShape
from svmcifar.data.dataset import CLASSES, SUPERCLASSES
from svmcifar.data.superclasses import sum_by_superclass


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
        class_names=tuple(f"class {i}" for i in range(100)),
        runtime="Test runtime 1.0",
        image_shape=ImageShape(3, 32, 32),
        normalisation=REFERENCE_NORMALISATION,
        size=(32, 32),
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


def predictions_of(classes, superclass_of, scores=None, kind="probabilities", superclasses=None):
    """Predictions with given class ids; the scores are sure of them unless given."""
    classes = np.asarray(classes)
    scores = softmax(5.0 * np.eye(100)[classes], axis=1) if scores is None else scores
    superclasses = superclass_of[classes] if superclasses is None else np.asarray(superclasses)
    by_kind = {CLASSES: scores}
    if kind == "probabilities":
        by_kind = {SUPERCLASSES: sum_by_superclass(scores, superclass_of), **by_kind}
    return Predictions(
        ids={SUPERCLASSES: superclasses, CLASSES: classes},
        scores=by_kind,
        score_kind=kind,
        inference_s=2.0 if kind == "probabilities" else 8.0,
        inference_cpu_s=3.0 if kind == "probabilities" else 15.0,
        load=0.5,
        features_s=None if kind == "probabilities" else 1.0,
    )


def entry_of(model_id, name, **changes):
    """What a report says of a model, as far as conclusions need it; `cost` changes that alone."""
    is_svm = model_id.startswith("svm")
    cost = Cost(
        training_s=30.0 if is_svm else 600.0,
        training_hardware="Abacus, backend numba" if is_svm else "Abacus, 2 threads",
        training_machine=Machine("Abacus", 2, 2),
        features_s=None,
        inference_s=0.8 if is_svm else 0.2,
        inference_cpu_s=1.5 if is_svm else 0.3,
        images_per_s=250.0 if is_svm else 1000.0,
        inference_hardware=None,
        n_bytes=500_000_000 if is_svm else 2_000_000,
        n_parameters=None,
        n_support_vectors=None,
    )
    entry = ModelEntry(
        id=model_id,
        kind=model_id.rstrip("0123456789"),
        name=name,
        description="",
        labels=CLASSES,
        features=["pixels", "standardize"] if is_svm else None,
        file=None,
        sha256=None,
        content_hash=None,
        runtime=None,
        terms=TrainingTerms(n_images=500, n_held_out=0, seed=0),
        cost=replace(cost, **changes.pop("cost", {})),
        curve=None,
        made={
            "data": {"md5s": {}},
            "host": {"processor": "Abacus"},
            "training": {"rows": None, "parameters": {}},
        },
        note=None,
    )
    return replace(entry, **changes)
