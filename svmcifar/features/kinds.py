"""The table of features and of the transformers that model files may hold.

A transformer's module is imported when one is built, so that help is instant.
"""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from svmcifar.errors import InputError

# The name of its step in a pipeline, and its transformer: uint8 images to float32 features, fitted
# on training images, written for the host and a device.
KINDS = {
    "raw": ("pixels", "svmcifar.features.extract.pixels.RawPixels"),
    "hog": ("hog", "svmcifar.features.extract.hog.HOG"),
    "patches": ("patches", "svmcifar.features.extract.patches.PatchFeatures"),
}
# Kinds whose parameter "layers" may be 2: the name of that step, and its transformer.
_SECOND_LAYERS = {
    "patches": ("layer2", "svmcifar.features.extract.second_layer.SecondLayerPatches"),
}
# Their parameters that the second layer takes too.
_SHARED_BY_LAYERS = ("n_filters", "cells", "n_patches")
_OTHER_STEPS = (
    "svmcifar.features.extract.even_odd.EvenOddFeatures",
    "svmcifar.features.extract.feature_union.FeatureStack",
    "svmcifar.features.reduce.component_scaling.ComponentScaling",
    "svmcifar.features.reduce.even_odd.EvenOddPCA",
    "svmcifar.features.reduce.even_odd.EvenOddScaler",
    "svmcifar.features.reduce.kernel_ridge.KernelRidgeScores",
    "svmcifar.features.reduce.ridge_scores.RidgeScores",
    "svmcifar.features.reduce.standardize.BatchStandardScaler",
    "svmcifar.features.reduce.unit_rows.UnitRows",
    "svmcifar.features.reduce.wide_pca.WidePCA",
)
# All transformers by class name; `svmcifar.features` exports them.
TRANSFORMERS = {
    path.rpartition(".")[2]: path
    for path in (
        *(path for _, path in (*KINDS.values(), *_SECOND_LAYERS.values())),
        *_OTHER_STEPS,
    )
}
# The types that a file with a pipeline may hold.
TRUSTED = [f"svmcifar.features.{name}" for name in TRANSFORMERS]
# Their names in files of older releases.
RENAMED = {
    f"svmcifar.features.{path}": f"svmcifar.features.{path.partition('.')[2]}"
    for path in (
        "hog.HOG", "patches.PatchFeatures", "pixels.RawPixels", "ridge_scores.RidgeScores",
        "stack.FeatureStack", "standardize.BatchStandardScaler", "whiten.ComponentScaling",
        "wide_pca.WidePCA",
    )
}  # fmt: skip
# Parameters that are no settings: of all transformers (see `svmcifar.features.pipeline`), or known.
_SET_ELSEWHERE = {"random_state", "n_jobs", "image_shape"}


def make_transformers(
    kinds: Sequence[str], parameters: Mapping[str, Mapping[str, Any]] | None = None
) -> list[tuple[str, Any]]:
    """Build the named transformers of kinds of features, not fitted, in the same order.

    Parameters by kind; the others have the transformer's default.  "patch_size" may be a list of
    sizes, each with filters of its own; with 2 "layers" of patches, features of a second layer
    with as many filters and patches, and such cells, follow.  Raise InputError if there is no kind,
    one is unknown or repeated, or a parameter is of another kind, unknown or invalid.
    """
    if not kinds or len(set(kinds)) < len(kinds) or not set(kinds) <= set(KINDS):
        raise InputError(
            f"Features must be one or more of {', '.join(KINDS)}, each once. "
            f"Got {', '.join(kinds) or 'none'} instead."
        )
    parameters = parameters or {}
    for kind, unused in parameters.items():
        if unused and kind not in kinds:
            raise InputError(
                f"Settings of features have no effect without these features. "
                f"Got {', '.join(unused)} of {kind!r} with the features {', '.join(kinds)}. "
                f"Add the features or leave the settings out."
            )
    return [
        transformer for kind in kinds for transformer in _of_kind(kind, parameters.get(kind, {}))
    ]


def _of_kind(kind: str, parameters: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Build the transformers of a kind."""
    own = dict(parameters)
    n_layers = own.pop("layers", 1) if kind in _SECOND_LAYERS else 1
    if n_layers not in (1, 2):
        raise InputError(f"Layers of {kind} must be 1 or 2. Got {n_layers!r} instead.")
    transformers = [
        (name, _make_transformer(kind, of_one)) for name, of_one in _split_sizes(kind, own)
    ]
    if n_layers == 2:
        name, path = _SECOND_LAYERS[kind]
        shared = {key: own[key] for key in _SHARED_BY_LAYERS if key in own}
        second = load_class(path)(**shared)
        second.check_parameters()
        transformers.append((name, second))
    return transformers


def _split_sizes(kind: str, parameters: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return name and parameters of each transformer of a kind, one for each patch size."""
    name, sizes = KINDS[kind][0], parameters.get("patch_size")
    if not isinstance(sizes, list | tuple):
        return [(name, parameters)]
    if not sizes or len(set(sizes)) < len(sizes):
        raise InputError(
            f"Sizes of patches must be one or more, each once. "
            f"Got {', '.join(map(str, sizes)) or 'none'} instead."
        )
    return [(f"{name}{size}", {**parameters, "patch_size": size}) for size in sizes]


def load_class(path: str) -> Any:
    """Import a class by the path of its module and its name."""
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)


def _make_transformer(kind: str, parameters: Mapping[str, Any]) -> Any:
    """Build one transformer; raise InputError if a parameter is unknown or invalid."""
    transformer = load_class(KINDS[kind][1])()
    known = [name for name in transformer.get_params() if name not in _SET_ELSEWHERE]
    known += ["layers"] * (kind in _SECOND_LAYERS)
    if unknown := [name for name in parameters if name not in known]:
        raise InputError(
            f"Settings of the features {kind!r} must be of {', '.join(known) or 'none'}. "
            f"Got {', '.join(unknown)} instead."
        )
    transformer.set_params(**parameters)
    if hasattr(transformer, "check_parameters"):
        transformer.check_parameters()
    return transformer
