"""On what terms models were trained: images, augmentation, seed, precision, tuning."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from svmcifar.cnn.image_network import ImageNetwork
from svmcifar.features.augmentation import describe_views, training_views
from svmcifar.io.half_arrays import is_narrowed
from svmcifar.model.classifier import ImageClassifier

_NETWORK_VIEWS = "each epoch anew: shifts, mirror images, rotations, colours"


@dataclass(frozen=True, kw_only=True)
class TrainingTerms:
    """On what terms a model was trained; None where it is not known."""

    n_images: int | None = None  # training images, without those held out
    n_held_out: int | None = None  # training images that were kept to watch the training
    augmentation: str | None = None
    seed: int | None = None
    stored_weights: str | None = None  # their precision in the file
    n_settings: int | None = None  # settings that were tried to choose the model's


def network_terms(network: ImageNetwork, n_images: int) -> TrainingTerms:
    """Read a network's terms from its card; `n_images` are those of the data set it names.

    The precision is that of the file's size, which holds little but weights.
    """
    card, bits = network.card or {}, None
    if network.n_parameters:
        bits = f"{8 * network.n_bytes / network.n_parameters:.0f} bits a weight"
    if "recipe" not in card:
        return TrainingTerms(stored_weights=bits)
    held_out = card.get("validation_rows")
    return TrainingTerms(
        n_images=None if held_out is None else n_images - held_out,
        n_held_out=held_out,
        augmentation=_NETWORK_VIEWS,
        seed=card["recipe"].get("seed"),
        stored_weights=bits,
    )


def svm_terms(model: ImageClassifier) -> TrainingTerms:
    """Read an SVM's terms from its manifest."""
    manifest, svc = model.manifest, model.svc
    views = training_views(model.augment, 1, implied=svc.n_odd_ > 0)
    # Coefficients are never narrowed.
    vectors, coefficients = svc.support_vectors_.dtype, svc.dual_coef_.dtype
    if is_narrowed(svc.support_vectors_):
        vectors = np.dtype(np.float16)
    return TrainingTerms(
        n_images=manifest.fit.n_samples // len(views),
        n_held_out=0,
        augmentation=describe_views(model.augment) or "none",
        seed=manifest.training.seed,
        n_settings=manifest.training.n_settings,
        stored_weights=f"{vectors} support vectors, {coefficients} coefficients",
    )


def common_terms(terms: Iterable[TrainingTerms]) -> TrainingTerms:
    """Return the terms that several models share, None where they differ."""
    first, *others = (vars(of_model) for of_model in terms)
    return TrainingTerms(
        **{key: value for key, value in first.items() if all(o[key] == value for o in others)}
    )
