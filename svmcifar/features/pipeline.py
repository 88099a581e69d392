"""The feature pipeline: pixels, standardised, optionally reduced by PCA."""

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.pipeline import Pipeline
from sklearn.utils import gen_batches

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


def fit_features(pipeline: Pipeline, images: NDArray[np.uint8]) -> Pipeline:
    """Fit the pipeline on training images.

    Parameters
    ----------
    pipeline : Pipeline
        As `make_feature_pipeline` gives it.
    images : ndarray of shape (n_images, n_pixels), uint8

    Returns
    -------
    Pipeline
        The same, fitted.

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
    return pipeline.fit(images)


def compute_features(pipeline: Pipeline, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Compute features a batch of images at a time.

    Parameters
    ----------
    pipeline : Pipeline
        Fitted.
    images : ndarray of shape (n_images, n_pixels), uint8

    Returns
    -------
    ndarray of shape (n_images, n_features), float32
    """
    # The width is known only from what the last step gives.
    width = pipeline.transform(images[:1]).shape[1]
    features = np.empty((len(images), width), dtype=np.float32)
    for rows in gen_batches(len(images), _BATCH_ROWS):
        features[rows] = pipeline.transform(images[rows])
    return features
