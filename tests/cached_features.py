"""A feature cache in tests: problems of a second at most, and what was computed for them."""

import warnings
from contextlib import contextmanager

import numpy as np
import pytest

from svmcifar.features import fitting
from svmcifar.features.cache import FeatureCache
from svmcifar.features.fitting import compute_features, compute_training_features, fit_features
from svmcifar.features.pipeline import make_feature_pipeline, set_workers
from svmcifar.features.settings import FeatureSettings

LIMIT_BYTES = 10**8
MEANS = {"kinds": ("means",)}
SMALL = {"kinds": ("means",), "n_components": 5, "whiten": 0.5}
PATCHES = {"n_filters": 4, "filters": "random", "n_patches": 50, "patch_size": 4, "pooling": 2}


def random_images(n_images=30, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n_images, 3072), dtype=np.uint8)


def open_at(folder, **settings):
    """A cache that keeps whatever it computes."""
    return FeatureCache(folder, **({"limit_bytes": LIMIT_BYTES, "least_s": 0.0} | settings))


class Computing:
    """Fits and computes by a cache, or without one, and lists what was not found there."""

    def __init__(self, cache=None):
        self.cache = cache
        self.done = []

    def fit(self, images, n_jobs=None, seed=0, **settings):
        pipeline = make_feature_pipeline(FeatureSettings(**settings), seed=seed)
        set_workers(pipeline, n_jobs)
        if self.cache is None:
            return fit_features(pipeline, images)

        def compute():
            self.done.append("fit")
            return fit_features(pipeline, images)

        assert self.cache.fit(pipeline, images, compute) is pipeline
        return pipeline

    def features(self, pipeline, images, augment=None, *, in_training=False):
        compute = fitting._compute_views

        def record(*args):
            self.done.append("features")
            return compute(*args)

        features = compute_training_features if in_training else compute_features
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fitting, "_compute_views", record)
            return features(pipeline, images, augment=augment, cache=self.cache)


@contextmanager
def warned(times):
    """Count the warnings of a block; yield their texts, each of which must be one line."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        texts = []
        yield texts
    texts += [str(warning.message) for warning in caught]
    assert len(texts) == times, texts
    assert not any("\n" in text for text in texts)
