"""Filters learned from the patches of training images."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import MiniBatchKMeans
from sklearn.utils import gen_batches

from svmcifar.compute.image_shape import ImageShape
from svmcifar.compute.threads import single_threaded_blas

_BATCH_ROWS = 10_000
_KMEANS_BATCH_ROWS = 8192
_KMEANS_EPOCHS = 10

Array = NDArray[Any]
FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Whitening:
    """A linear map that decorrelates patches (ZCA)."""

    mean: FloatArray  # subtracted first, of shape (n_values,)
    transform: FloatArray  # symmetric, of shape (n_values, n_values)

    def apply(self, patches: Array) -> FloatArray:
        """Whiten patches of shape (n_patches, n_values)."""
        return (patches - self.mean) @ self.transform


def sample_patches(
    images: Array, shape: ImageShape, size: int, n_patches: int, rng: np.random.Generator
) -> Array:
    """Draw patches of size x size pixels, with replacement; values by channel, row and column."""
    planes = images.reshape(-1, *shape)
    windows = np.lib.stride_tricks.sliding_window_view(planes, (size, size), axis=(2, 3))
    image = rng.integers(len(images), size=n_patches)
    positions = [[shape.height - size + 1], [shape.width - size + 1]]
    y, x = rng.integers(positions, size=(2, n_patches))
    return windows[image, :, y, x].reshape(n_patches, -1)


def normalise_contrast(patches: Array, epsilon: float) -> NDArray[np.float32]:
    """Subtract the mean of each patch and divide by its standard deviation.

    `epsilon` is added to the variance; a patch without any contrast becomes 0 in any case.
    """
    normalised = np.empty(patches.shape, dtype=np.float32)
    for rows in gen_batches(len(patches), _BATCH_ROWS):
        centred = patches[rows] - patches[rows].mean(axis=1, keepdims=True)
        deviation = np.sqrt(np.square(centred).mean(axis=1, keepdims=True) + epsilon)
        normalised[rows] = centred / np.where(deviation > 0, deviation, 1.0)
    return normalised


def fit_whitening(patches: Array, epsilon: float) -> Whitening:
    """Fit the zero-phase whitening (ZCA) of patches.

    Its transform is ``V (E + epsilon)^(-1/2) V'``, where ``V E V'`` is the covariance.
    """
    mean = patches.mean(axis=0, dtype=np.float64)
    covariance = np.zeros((patches.shape[1], patches.shape[1]))
    for rows in gen_batches(len(patches), _BATCH_ROWS):
        centred = patches[rows] - mean
        covariance += centred.T @ centred
    covariance /= len(patches)
    eigenvalues, vectors = np.linalg.eigh(covariance)
    # Rounding may leave eigenvalues of 0 a little below.
    return Whitening(mean, vectors / np.sqrt(np.maximum(eigenvalues, 0.0) + epsilon) @ vectors.T)


def learn_filters(
    images: Array,
    shape: ImageShape,
    *,
    kind: str,
    n_filters: int,
    size: int,
    n_patches: int,
    contrast_epsilon: float,
    zca_epsilon: float,
    seed: int,
    first_centres: str = "k-means++",
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Learn filters and bias from training images of shape (n_images, n_values).

    See `svmcifar.features.extract.patches.PatchFeatures`; `first_centres` are those of clusters,
    "k-means++" or "random".  For a normalised patch
    ``filters @ patch + bias`` are the inner products of the learned patches, ZCA-whitened and of
    length 1, with the whitened patch.  They have shapes (n_filters, n_channels * size * size) and
    (n_filters,), float32.
    """
    rng = np.random.default_rng(seed)
    patches = sample_patches(images, shape, size, n_patches, rng)
    patches = normalise_contrast(patches, contrast_epsilon)
    with single_threaded_blas():  # so that sums do not depend on the number of processors
        whitening = fit_whitening(patches, zca_epsilon)
        if kind == "random":
            patches = patches[rng.choice(n_patches, n_filters, replace=False)]
        directions = _directions(patches, whitening)
        if kind == "kmeans":
            directions = _cluster_centres(directions, n_filters, seed, first_centres)
        filters = directions @ whitening.transform
        bias = -(filters @ whitening.mean)
    return filters.astype(np.float32), bias.astype(np.float32)


def _directions(patches: Array, whitening: Whitening) -> NDArray[np.float32]:
    """Whiten patches and scale each to length 1; zeros stay."""
    directions = np.empty(patches.shape, dtype=np.float32)
    for rows in gen_batches(len(patches), _BATCH_ROWS):
        directions[rows] = _scale_to_length_1(whitening.apply(patches[rows]))
    return directions


def _scale_to_length_1(vectors: Array) -> Array:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(norms > 0, norms, 1.0)


def _cluster_centres(
    directions: Array, n_clusters: int, seed: int, first_centres: str = "k-means++"
) -> Array:
    """Cluster vectors of length 1; return the centres, scaled to length 1 too."""
    kmeans = MiniBatchKMeans(
        n_clusters,
        init=first_centres,
        batch_size=_KMEANS_BATCH_ROWS,
        max_iter=_KMEANS_EPOCHS,
        # Early stopping goes by a sum whose rounding depends on the number of threads.
        max_no_improvement=None,
        tol=0.0,
        n_init=1,
        random_state=seed,
    )
    return _scale_to_length_1(kmeans.fit(directions).cluster_centers_)
