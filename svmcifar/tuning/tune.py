"""Search settings for images; features are fitted on each training part alone."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from svmcifar.data.dataset import SUPERCLASSES, Split
from svmcifar.errors import InputError
from svmcifar.features.augmentation import training_views
from svmcifar.features.cache import FeatureCache
from svmcifar.features.fitting import compute_features, fit_transform_features
from svmcifar.features.pipeline import (
    count_features,
    count_odd,
    implies_mirror_images,
    make_feature_pipeline,
    require_memory,
    set_memory_limit,
    set_workers,
)
from svmcifar.features.reduce.even_odd import EvenOddPCA
from svmcifar.features.settings import RAW_PIXELS, FeatureSettings
from svmcifar.svm.backends.registry import BACKENDS
from svmcifar.svm.both_images import with_mirror_rows
from svmcifar.svm.estimator import SVC
from svmcifar.svm.path.evaluate import Part, PartMaker
from svmcifar.svm.path.grid import Grid
from svmcifar.tuning.result import SearchResult
from svmcifar.tuning.search import search_parts

Rows = NDArray[np.intp]


def tune(
    svc: SVC,
    grid: Grid,
    train: Split,
    splits: Iterable[tuple[Rows, Rows]],
    features: FeatureSettings = RAW_PIXELS,
    *,
    label_kind: str = SUPERCLASSES,
    seed: int = 0,
    cache: FeatureCache | None = None,
) -> SearchResult:
    """Search C, gamma and the number of components for images.

    On each split the features are fitted once, on the images to train on, with the largest number
    of components in the grid; smaller numbers take the first of these (for patches, whose PCA is
    randomized, up to its error).  With augmentation mirror images are samples of their own.

    Parameters
    ----------
    svc : SVC
        Its parameters but C and gamma; it is not fitted.
    grid : Grid
        Its `n_components` are of PCA: (None,), the default, for no PCA.
    train : Split
    splits : iterable of (ndarray, ndarray)
        Rows of images to train on and to score on (see `svmcifar.data.sampling`).
    features : FeatureSettings, optional
        Raw pixels by default.  Its `n_components` has no effect.
    label_kind : str, default=SUPERCLASSES
        One of `svmcifar.data.dataset.LABEL_KINDS`.
    seed : int, default=0
        Random seed of the features.
    cache : FeatureCache, optional

    Raises
    ------
    InputError
        If a setting is invalid.
    MemoryLimitError
        If not even a few kernel rows of the largest pair fit the memory limit.
    """
    features = require_searchable(features, grid)
    if features.ridge_scores:
        grid = replace(grid, n_components=(None,))  # scores and components
    images, y = train.images, train.labels[label_kind]
    splits, n_views = list(splits), len(training_views(features.augment, 1))
    pipeline = make_feature_pipeline(features, seed=seed)
    set_memory_limit(pipeline, svc.memory_limit)
    n_own = len(training_views(features.augment, 1, implied=implies_mirror_images(pipeline)))
    for fitted, _ in splits:
        n_classes = len(np.unique(train.classes[fitted]))
        n_features = count_features(pipeline, images.shape[1], n_classes)
        BACKENDS["numba"].require_memory(
            y[fitted], n_views, n_features, n_jobs=svc.n_jobs, memory_limit=svc.memory_limit
        )
        require_memory(pipeline, len(fitted), n_classes, n_own)

    def maker(fitted: Rows, held_out: Rows) -> PartMaker:
        def make() -> Part:
            pipeline = make_feature_pipeline(features, seed=seed)
            set_workers(pipeline, svc.n_jobs)
            set_memory_limit(pipeline, svc.memory_limit)
            views: Any = {"augment": features.augment, "cache": cache}
            classes = train.classes[fitted]
            X = fit_transform_features(pipeline, images[fitted], classes, seed=seed, **views)
            others = compute_features(pipeline, images[held_out], **views)
            if implies_mirror_images(pipeline):
                columns = _columns(pipeline)
                X = with_mirror_rows(X, count_odd(pipeline))[:, columns]
                others = others[:, columns]
            return Part(X, y[fitted], others, y[held_out])

        return make

    return search_parts(svc, grid, [maker(*split) for split in splits])


def _columns(pipeline: Pipeline) -> Any:
    """Return the index of features by which the first components are those of most variance."""
    *_, (_, last) = ((name, step) for name, step in pipeline.steps if name != "whiten")
    if isinstance(last, EvenOddPCA):
        return np.argsort(-last.variances_, kind="stable")
    return slice(None)


def require_searchable(features: FeatureSettings, grid: Grid) -> FeatureSettings:
    """Raise InputError if features cannot be searched with the grid's numbers of components.

    Return the settings with the largest of these.
    """
    counts = [count for count in grid.n_components if count is not None]
    if features.ridge_scores and len(grid.n_components) > 1:
        raise InputError(
            f"Class scores depend on all components: with them there must be one number of "
            f"components. Got {', '.join(map(str, grid.n_components))}. Search each by itself."
        )
    if counts and len(counts) < len(grid.n_components):
        raise InputError(
            f"Numbers of components to search must not have 'none' among them. "
            f"Got none and {', '.join(map(str, counts))}. Search without PCA apart."
        )
    for count in grid.n_components:
        replace(features, n_components=count).validate()
    return replace(features, n_components=max(counts, default=None))
