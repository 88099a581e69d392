"""Classifiers as older releases trained them: views as rows, decision values averaged."""

from dataclasses import replace

import numpy as np

from svmcifar import RBFSVC
from svmcifar.features.fitting import fit_transform_features
from svmcifar.features.pipeline import make_feature_pipeline
from svmcifar.svm.fit_report import describe_fit


def as_before(model, dataset, svc=None):
    """A classifier with a model's settings, trained on the same images as they were once."""
    training, train = model.manifest.training, dataset.read_split("train")
    selected = train if training.rows is None else train.take(np.array(training.rows))
    features = make_feature_pipeline(replace(training.features, augment=None), seed=training.seed)
    X = fit_transform_features(
        features, selected.images, selected.classes, augment=model.augment, seed=training.seed
    )
    y = selected.labels[model.label_kind]
    n_views = len(X) // len(y)
    svc = (svc or RBFSVC()).fit(X, np.repeat(y, n_views), n_views=n_views)
    manifest = replace(model.manifest, fit=describe_fit(svc))
    return replace(model, features=features, svc=svc, manifest=manifest)
