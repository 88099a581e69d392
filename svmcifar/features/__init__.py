"""Features: from images to the samples that the SVM is trained on.

The transformers are loaded on first use.
"""

from importlib import import_module
from typing import Any

_TRANSFORMERS = {
    "BatchStandardScaler": "svmcifar.features.reduce.standardize",
    "ComponentScaling": "svmcifar.features.reduce.component_scaling",
    "FeatureStack": "svmcifar.features.extract.feature_union",
    "HOG": "svmcifar.features.extract.hog",
    "PatchFeatures": "svmcifar.features.extract.patches",
    "RawPixels": "svmcifar.features.extract.pixels",
    "RidgeScores": "svmcifar.features.reduce.ridge_scores",
    "WidePCA": "svmcifar.features.reduce.wide_pca",
}

__all__ = [*_TRANSFORMERS]


def __getattr__(name: str) -> Any:
    """Load a transformer on first use."""
    if name in _TRANSFORMERS:
        return getattr(import_module(_TRANSFORMERS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the transformers, loaded or not."""
    return sorted(__all__)
