"""From a data set to a trained image classifier."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from svmcifar.compute.arrays import to_device, wait_for
from svmcifar.compute.environment import describe_environment, utc_now
from svmcifar.compute.progress import stage
from svmcifar.compute.stopwatch import Stopwatch
from svmcifar.compute.threads import count_workers
from svmcifar.data.dataset import SUPERCLASSES, Dataset, Split
from svmcifar.data.sampling import draw_rows
from svmcifar.features.augmentation import training_views
from svmcifar.features.cache import FeatureCache
from svmcifar.features.fitting import fit_transform_features
from svmcifar.features.pipeline import (
    count_features,
    count_odd,
    implies_mirror_images,
    make_feature_pipeline,
    require_memory,
    set_memory_limit,
    set_workers,
)
from svmcifar.features.settings import RAW_PIXELS, FeatureSettings
from svmcifar.model.classifier import ImageClassifier
from svmcifar.model.manifest import DataSource, Manifest, Training
from svmcifar.svm.backends.registry import choose_backend
from svmcifar.svm.both_images import with_mirror_rows
from svmcifar.svm.estimator import OF_KERNELS, RBFSVC, SVC, WITHOUT_EFFECT
from svmcifar.svm.fit_report import describe_fit, kernel_parameters

# Held-out images to ask: an interval of two percentage points to both sides, in seconds.
N_HELD_OUT = 2000


def train_classifier(
    dataset: Dataset,
    train: Split,
    svc: SVC,
    features: FeatureSettings = RAW_PIXELS,
    *,
    label_kind: str = SUPERCLASSES,
    limit: int | None = None,
    seed: int = 0,
    preset: str | None = None,
    n_settings: int | None = None,
    cache: FeatureCache | None = None,
) -> ImageClassifier:
    """Select images of the training split, fit the features, fit the SVM.

    Features are fitted on the selected images, with augmentation on mirror images too, and ridge
    scores on all views.  Mirror images are samples of their own where the kernel or the backend
    cannot imply them (see `SVC.fit`).
    For a backend on the GPU the images are copied there once, as bytes, and the features are
    computed there too.

    Parameters
    ----------
    dataset : Dataset
        Where `train` comes from, for class names and manifest.
    train : Split
    svc : SVC
        Fitted in place.
    features : FeatureSettings, optional
        Raw pixels by default.
    label_kind : str, default=SUPERCLASSES
        One of `svmcifar.data.dataset.LABEL_KINDS`.
    limit : int, optional
        Number of images to draw at random, evenly over the classes; all by default.
    seed : int, default=0
        Random seed of that draw and of the features.
    preset : str, optional
        Name of the preset that settings come from, for the manifest.
    n_settings : int, optional
        Number of settings that were tried to find these, for the manifest.
    cache : FeatureCache, optional
        Cache of features; the manifest records whether any were found (``features_found``).

    Returns
    -------
    ImageClassifier
        With its manifest, but for what saving adds.

    Raises
    ------
    InputError
        If a setting is invalid, or there are too few images or features for `limit` or the
        number of components.
    BackendUnavailableError
        If the backend does not work on this machine.
    MemoryLimitError
        If no schedule of the backend fits the memory limit; before the features, unless float32
        turns out not to be precise enough.
    """
    dataset.require_kind(label_kind)
    started = utc_now()
    pipeline = make_feature_pipeline(features, seed=seed)
    set_workers(pipeline, svc.n_jobs)
    set_memory_limit(pipeline, svc.memory_limit)

    rows = None if limit is None else draw_rows(train.classes, limit, seed)
    selected = train if rows is None else train.take(rows)
    backend = choose_backend(svc.backend)
    implied = backend.implies_mirror_images and svc.kernel == "rbf"
    n_views = len(training_views(features.augment, 1, implied=implied))
    n_classes = len(np.unique(selected.classes))
    n_features = count_features(pipeline, selected.images.shape[1], n_classes)
    backend.require_memory(
        selected.labels[label_kind],
        n_views,
        n_features,
        n_jobs=svc.n_jobs,
        memory_limit=svc.memory_limit,
        n_products=2 if implied and implies_mirror_images(pipeline) else 1,
    )
    require_memory(pipeline, len(selected.images), n_classes, n_views)
    X, times = _fit_features(pipeline, selected, backend.uses_gpu, features.augment, seed, cache)
    n_odd = count_odd(pipeline)
    if implies_mirror_images(pipeline) and not (implied and n_odd):
        X, n_odd = with_mirror_rows(X, n_odd), 0
    times |= _fit_svm(svc, X, selected.labels[label_kind], n_odd)

    manifest = Manifest(
        created=started,
        **describe_environment(),
        data=DataSource(**dataset.to_record()),
        training=Training(
            label_kind=label_kind,
            parameters=_describe_parameters(svc),
            features=features,
            rows=None if rows is None else rows.tolist(),
            seed=seed,
            preset=preset,
            n_settings=n_settings,
        ),
        fit=describe_fit(svc),
        times=times,
    )
    return ImageClassifier(
        features=pipeline,
        svc=svc,
        label_kind=label_kind,
        class_names=list(dataset.class_names(label_kind)),
        superclass_of=dataset.superclass_of.tolist(),
        augment=features.augment,
        manifest=manifest,
    )


def count_held_out(
    model: ImageClassifier,
    train: Split,
    cache: FeatureCache | None = None,
    n_most: int = N_HELD_OUT,
) -> tuple[int, int] | None:
    """Count right predictions of training images that a model was not trained on.

    At most `n_most` of the images in `train`, the split that it was trained on a part of, are
    drawn, evenly over their classes.  Return how many are right and how many were asked; None if
    the model was trained on all of them.
    """
    rows = model.manifest.training.rows
    if rows is None or len(rows) == len(train.images):
        return None
    left_out = np.setdiff1d(np.arange(len(train.images)), rows)
    if len(left_out) > n_most:
        seed = model.manifest.training.seed
        left_out = left_out[draw_rows(train.classes[left_out], n_most, seed)]
    images = train.take(left_out)
    with stage("images that were left out"):
        predicted = replace(model, cache=cache).predict(images.images)
    is_right = predicted == images.labels[model.label_kind]
    return int(is_right.sum()), len(is_right)


def _fit_features(
    pipeline: Pipeline,
    split: Split,
    on_gpu: bool,
    augment: str | None,
    seed: int,
    cache: FeatureCache | None,
) -> tuple[Any, dict[str, Any]]:
    """Fit the features on a split; return the training samples, and times for the manifest."""
    clock, n_found = Stopwatch(), cache.n_found if cache else 0
    images = to_device(split.images) if on_gpu else split.images
    # Ridge scores of the classes for superclasses too: they carry more information.
    X = fit_transform_features(
        pipeline, images, split.classes, augment=augment, seed=seed, cache=cache
    )
    wait_for(X)
    times: dict[str, Any] = {"features_s": clock.wall_s, "features_cpu_s": clock.cpu_s}
    if cache and cache.n_found > n_found:
        times["features_found"] = True
    return X, times


def _describe_parameters(svc: SVC) -> dict[str, Any]:
    """Return the parameters that say something; the kernel only if it can be chosen."""
    unused = {*OF_KERNELS, "gamma"} - kernel_parameters(svc).keys()
    if not isinstance(svc, RBFSVC):
        unused.remove("kernel")
    silent = unused.union(WITHOUT_EFFECT)
    return {name: value for name, value in svc.get_params().items() if name not in silent}


def _fit_svm(svc: SVC, X: Any, y: NDArray[np.int64], n_odd: int) -> dict[str, float]:
    """Fit the SVM on all views of images with labels y; return times for the manifest."""
    clock = Stopwatch()
    n_views = X.shape[0] // len(y)
    svc.fit(X, np.repeat(y, n_views), n_views=n_views, n_odd=n_odd)
    return {
        "fit_s": clock.wall_s,
        "fit_cpu_s": clock.cpu_s,
        "n_threads": count_workers(svc.n_jobs),
    }
