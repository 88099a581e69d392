"""The feature pipeline: pixels, standardised, optionally reduced by PCA.

Images may be on a device: features are then computed there.  A fitted pipeline holds host arrays
wherever it was fitted.
"""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.decomposition import PCA
from sklearn.pipeline import Pipeline
from sklearn.utils import gen_batches

from svmcifar.arrays import (
    get_device,
    get_namespace,
    is_host,
    move_beside,
    sklearn_dispatch,
    to_host,
)
from svmcifar.errors import InputError
from svmcifar.features.pixels import RawPixels
from svmcifar.features.standardize import BatchStandardScaler

# Fixed, so that the rounding of a sample's features does not depend on who asks for them.
_BATCH_ROWS = 5000


def make_feature_pipeline(n_components: int | None = None) -> Pipeline:
    """Build the pipeline, to be fitted on training images alone.

    Parameters
    ----------
    n_components : int, optional
        Components that PCA keeps; no PCA by default.

    Returns
    -------
    Pipeline
        From uint8 images of shape (n_images, n_pixels) to float32 features.
    """
    steps = [("pixels", RawPixels()), ("standardize", BatchStandardScaler(copy=False))]
    if n_components is not None:
        steps.append(("pca", PCA(n_components, svd_solver="covariance_eigh", copy=False)))
    return Pipeline(steps)


def fit_features(pipeline: Pipeline, images: Any) -> Pipeline:
    """Fit the pipeline on training images.

    Parameters
    ----------
    pipeline : Pipeline
        As `make_feature_pipeline` gives it.
    images : array of shape (n_images, n_pixels), uint8
        On the host or on a device.

    Returns
    -------
    Pipeline
        The same, fitted, with its arrays on the host.

    Raises
    ------
    InputError
        If PCA is to keep more components than there are pixels or images.
    """
    most = min(images.shape)
    if "pca" in pipeline.named_steps and pipeline.named_steps["pca"].n_components > most:
        raise InputError(
            f"PCA can keep at most {most} components of {images.shape[0]} images of "
            f"{images.shape[1]} values. Got {pipeline.named_steps['pca'].n_components} instead."
        )
    with sklearn_dispatch(images):
        pipeline.fit(images)
    if not is_host(images):
        for _, step in pipeline.steps:
            _convert_arrays(step, _to_plain_host)
    return pipeline


def compute_features(pipeline: Pipeline, images: Any) -> Any:
    """Compute features a batch of images at a time, where the images are.

    Parameters
    ----------
    pipeline : Pipeline
        Fitted.
    images : array of shape (n_images, n_pixels), uint8
        On the host or on a device.

    Returns
    -------
    array of shape (n_images, n_features), float32
        Of the kind that the images are, and on their device.
    """
    xp = get_namespace(images)
    if not is_host(images):
        pipeline = _pipeline_beside(pipeline, images)
    with sklearn_dispatch(images):
        # The width is known only from what the last step gives.
        width = pipeline.transform(images[:1, :]).shape[1]
        features = xp.empty((images.shape[0], width), dtype=xp.float32, device=get_device(images))
        for rows in gen_batches(images.shape[0], _BATCH_ROWS):
            features[rows, :] = pipeline.transform(images[rows, :])
    return features


def _pipeline_beside(pipeline: Pipeline, images: Any) -> Pipeline:
    """Copy a fitted pipeline, with its arrays on the device that images are on."""
    steps = [(name, copy.copy(step)) for name, step in pipeline.steps]
    for _, step in steps:
        _convert_arrays(step, lambda array: move_beside(array, images))
    return Pipeline(steps)


def _convert_arrays(step: Any, convert: Callable[[Any], Any]) -> None:
    """Replace the fitted arrays of one step."""
    for name, value in list(vars(step).items()):
        if isinstance(value, np.ndarray) or not is_host(value):
            setattr(step, name, convert(value))


def _to_plain_host(array: Any) -> Any:
    """Give an array on the host; one without dimensions as the number it is on the host."""
    return to_host(array)[()]
