"""From a data set to a trained image classifier."""

from time import perf_counter
from typing import Any

import numpy as np

from svmcifar.compute.arrays import to_device, wait_for
from svmcifar.compute.environment import describe_environment, utc_now
from svmcifar.data.dataset import Dataset, Split
from svmcifar.data.sampling import draw_rows
from svmcifar.features.build import make_feature_pipeline, set_workers
from svmcifar.features.cache import FeatureCache
from svmcifar.features.pipeline import fit_transform_features
from svmcifar.features.settings import RAW_PIXELS, FeatureSettings
from svmcifar.json_values import plain
from svmcifar.model.classifier import ImageClassifier
from svmcifar.model.manifest import describe_fit
from svmcifar.svm.backends.registry import choose_backend
from svmcifar.svm.estimator import RBFSVC


def train_classifier(
    dataset: Dataset,
    train: Split,
    svc: RBFSVC,
    features: FeatureSettings = RAW_PIXELS,
    *,
    label_kind: str = "coarse",
    limit: int | None = None,
    seed: int = 0,
    preset: str | None = None,
    cache: FeatureCache | None = None,
) -> ImageClassifier:
    """Fit features and SVM on the training split.

    Features are fitted on the images that the SVM is trained on, without mirror or shifted images;
    class scores on all views of them.

    With a backend that works on the GPU the images are sent there once, as bytes, and
    features, kernel and pairs are worked out there.

    Parameters
    ----------
    dataset : Dataset
        Where `train` comes from, for the manifest.
    train : Split
    svc : RBFSVC
        Not fitted yet; it is fitted in place.
    features : FeatureSettings, optional
        Raw pixels by default.
    label_kind : {"coarse", "fine"}, default="coarse"
        Train on the 20 superclasses or on the 100 fine classes.
    limit : int, optional
        Train on this many images, drawn at random, the same number (give or
        take one) of each fine class; all by default.
    seed : int, default=0
        Of that draw and of all that features draw.
    preset : str, optional
        Name of the preset that settings come from, for the manifest.
    cache : FeatureCache, optional
        Where features are looked for and kept.  If any were found there, the manifest says so
        (``features_found``) beside the seconds that passed.

    Returns
    -------
    ImageClassifier
        With its manifest filled in but for what saving adds.

    Raises
    ------
    InputError
        If there are fewer images or features than `limit` or `n_components`
        ask for, or another setting is not what it may be.
    BackendUnavailableError
        If the backend does not work on this machine.
    """
    started = utc_now()
    pipeline = make_feature_pipeline(features, seed=seed)
    set_workers(pipeline, svc.n_jobs)
    rows = None if limit is None else draw_rows(train.classes, limit, seed)
    images: Any = train.images if rows is None else train.images[rows]
    labels = train.labels[label_kind]
    y = labels if rows is None else labels[rows]

    clock = perf_counter()
    n_found = cache.n_found if cache else 0
    if choose_backend(svc.backend).uses_gpu:
        images = to_device(images)
    # Class scores of superclass models come from fine classes too: they know more.
    fine = train.classes if rows is None else train.classes[rows]
    X = fit_transform_features(
        pipeline, images, fine, augment=features.augment, seed=seed, cache=cache
    )
    del images  # its place on the GPU is needed
    wait_for(X)
    features_s = perf_counter() - clock
    clock = perf_counter()
    svc.fit(X, np.repeat(y, X.shape[0] // len(y)))  # a label for each view of an image
    fit_s = perf_counter() - clock

    manifest = {
        "created": started,
        **describe_environment(),
        "data": {
            "label": dataset.label,
            "synthetic": dataset.is_synthetic,
            "md5s": dataset.md5s,
        },
        "training": {
            "label_kind": label_kind,
            "parameters": plain(svc.get_params()),
            "preset": preset,
            **plain(features.to_manifest()),
            "feature_dtype": "float32",
            "rows": None if rows is None else rows.tolist(),
            "seed": seed,
        },
        "fit": describe_fit(svc),
        "times": {
            "features_s": features_s,
            **({"features_found": True} if cache and cache.n_found > n_found else {}),
            "fit_s": fit_s,
        },
    }
    return ImageClassifier(
        features=pipeline,
        svc=svc,
        label_kind=label_kind,
        class_names=list(dataset.class_names(label_kind)),
        coarse_of_fine=dataset.superclass_of.tolist(),
        augment=features.augment,
        manifest=manifest,
    )
