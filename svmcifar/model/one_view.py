"""A classifier as steps and an SVM that predict from each image alone, as other programs do.

A classifier of an older release averages decision values over an image and its mirror image, if it
has augmentation.  They are linear in kernel values, so these can be averaged instead: `MeanKernel`
computes them, and the SVM is one of precomputed values.
"""

import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.pipeline import Pipeline

from svmcifar.errors import InputError
from svmcifar.features.augmentation import decision_views
from svmcifar.features.fitting import compute_features
from svmcifar.model.classifier import ImageClassifier
from svmcifar.svm.estimator import SVC
from svmcifar.svm.kernels.blocks import compute_kernel
from svmcifar.svm.kernels.kernel import Precision
from svmcifar.svm.prediction import choose_precision, kernel_of
from svmcifar.svm.samples import sample_blocks

# Bytes of kernel values of all views that are held besides the result.
_BATCH_BYTES = 2**26


class MeanKernel(TransformerMixin, BaseEstimator):
    """Kernel values of images with support vectors, averaged over the views of the images.

    Parameters
    ----------
    features : Pipeline
        Fitted, from uint8 image rows to float32 features.
    svc : SVC
        Fitted on the features.
    augment : str
        As of `ImageClassifier`.
    """

    __sklearn_is_fitted__ = lambda self: True  # noqa: E731 (scikit-learn's protocol)

    def __init__(self, features: Pipeline, svc: SVC, augment: str) -> None:
        self.features = features
        self.svc = svc
        self.augment = augment

    def fit(self, images: Any, y: Any = None) -> "MeanKernel":
        """Do nothing."""
        return self

    def transform(self, images: Any) -> NDArray[np.float64]:
        """Compute the values of images, (n_images, n_values), uint8, on the host.

        The result has shape (n_images, n_support_vectors).
        """
        n_views, center = len(decision_views(self.augment)), self.svc._center
        X = compute_features(self.features, images, augment=self.augment).astype(np.float64)
        support = sample_blocks(self.svc.support_vectors_.astype(np.float64), center)
        kernel = kernel_of(self.svc).at(max(Precision.FLOAT64, choose_precision(self.svc)))
        means = np.empty((len(images), len(support)))
        n_batch = max(1, _BATCH_BYTES // (8 * n_views * len(support)))
        for start in range(0, len(images), n_batch):
            samples = sample_blocks(X[n_views * start : n_views * (start + n_batch)], center)
            K = np.empty((len(samples), len(support)))
            compute_kernel(kernel, samples, support, out=K)
            means[start : start + n_batch] = K.reshape(-1, n_views, len(support)).mean(axis=1)
        return means


def as_one_view(model: Any) -> tuple[list[tuple[str, Any]], SVC]:
    """Return fitted steps and a fitted SVM of what they make, which predict as a model does.

    The model is an image classifier, whose images are uint8 rows, an `SVC`, or a `Pipeline` that
    ends in one; raise InputError if it is something else.  The kernel of a classifier that averages
    over views becomes "precomputed".
    """
    if isinstance(model, ImageClassifier):
        if model.augment is None or len(model.decision_views) == 1:
            return model.features.steps, model.svc
        kernel = MeanKernel(model.features, model.svc, model.augment)
        return [("kernel", kernel)], _precomputed(model.svc)
    steps = model.steps if isinstance(model, Pipeline) else [("svc", model)]
    if not isinstance(steps[-1][1], SVC):
        raise InputError(
            f"A model to export must be an image classifier, an SVC of svmcifar, or a pipeline "
            f"that ends in one. Got {type(model).__name__} instead."
        )
    return steps[:-1], steps[-1][1]


def _precomputed(svc: SVC) -> SVC:
    """Copy a fitted SVM as one of kernel values with its support vectors."""
    svc, n = copy.copy(svc), len(svc.support_)
    svc.__dict__.update(
        kernel="precomputed",
        support_=np.arange(n, dtype=np.int32),
        support_vectors_=np.empty((0, 0)),
        shape_fit_=(n, n),
        n_features_in_=n,
    )
    return svc


def to_sklearn(model: Any) -> Pipeline:
    """Return a model as a fitted pipeline that ends in scikit-learn's own SVC.

    Arguments and errors are those of `as_one_view`.
    """
    steps, svc = as_one_view(model)
    return Pipeline([*steps, ("svc", svc.to_sklearn())])
