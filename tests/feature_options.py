"""Settings of training that concern features, and two kinds of features that are quick.

PCA of all pixels and histograms takes long: where components are asked for, features are few.
"""

from contextlib import contextmanager

import pytest
from sklearn.base import BaseEstimator, TransformerMixin

from svmcifar.compute.arrays import get_namespace
from svmcifar.features import kinds
from svmcifar.features.extract.hog import HOG
from svmcifar.features.kinds import KINDS

ALL = {"kinds": ("means", "cells"), "n_components": 20, "whiten": 0.5, "augment": "flip"}
SCORES = {**ALL, "ridge_scores": 0.8, "ridge_components": 40, "augment": "flip-shift"}
PATCH_SCORES = {
    "kinds": ("patches",),
    "parameters": {"patches": {"n_filters": 6, "n_patches": 500, "patch_size": [6, 8]}},
    "n_components": 30,
    "whiten": 0.5,
    "ridge_scores": 0.8,
}
KERNEL_SCORES = {**ALL, "ridge_scores": 0.8, "ridge_kernel": "rbf"}
OPTIONS = {
    "hog": {"kinds": ("hog",)},
    "raw + hog": {"kinds": ("raw", "hog")},
    "patches": {
        "kinds": ("patches",),
        "parameters": {"patches": {"n_filters": 8, "n_patches": 500}},
    },
    "whiten": {"kinds": ("means",), "n_components": 20, "whiten": 0.5},
    "flip": {"augment": "flip"},
    "flip-shift": {"kinds": ("means", "cells"), "augment": "flip-shift"},
    "scores": {"kinds": ("means",), "ridge_scores": 0.8},
    "scores of patches": PATCH_SCORES,
    "scores of a kernel": KERNEL_SCORES,
    "two layers": {
        "kinds": ("patches",),
        "parameters": {"patches": {"n_filters": 8, "n_patches": 600, "layers": 2}},
        "n_components": 20,
        "augment": "flip",
    },
    "all": ALL,
    "all with scores": SCORES,
}


class Means(TransformerMixin, BaseEstimator):
    """Mean colours of 8 x 8 pixels: 48 features."""

    def fit(self, images, y=None):
        return self

    def transform(self, images):
        xp = get_namespace(images)
        squares = xp.reshape(xp.astype(images, xp.float32), (-1, 12, 8, 4, 8))
        return xp.reshape(xp.mean(squares, axis=(2, 4)), (-1, 48))

    def count_features(self, n_pixels):
        return 48


class Cells(HOG):
    """Histograms of large cells: 36 features."""

    def __init__(self):
        super().__init__(pixels_per_cell=(16, 16))


@contextmanager
def quick_features():
    """Put the two into the table of kinds, and model files may hold them."""
    with pytest.MonkeyPatch.context() as patch:
        for kind in (Means, Cells):
            name = kind.__name__.lower()
            patch.setitem(KINDS, name, (name, f"{__name__}.{kind.__name__}"))
        trusted = [*kinds.TRUSTED, KINDS["means"][1], KINDS["cells"][1]]
        patch.setattr(kinds, "TRUSTED", trusted)
        yield
