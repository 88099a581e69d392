"""A second layer of patches: of maps of the responses of a first one."""

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from svmcifar.compute.arrays import get_device, get_namespace, is_host, move_beside, to_host
from svmcifar.compute.image_shape import ImageShape
from svmcifar.compute.threads import count_workers, single_threaded_blas
from svmcifar.errors import InputError
from svmcifar.features.extract.image_rows import batches, checked_images, resolve_shape
from svmcifar.features.extract.patch_filters import learn_filters
from svmcifar.features.extract.patch_responses import (
    PatchFilters,
    batch_features,
    host_features,
    run_tasks,
    write_features,
)
from svmcifar.features.parameters import validate_parameters

# The first layer: patches of 5 x 5 pixels, thresholds of 0.5, averages over 2 x 2 positions.
_MAP_PATCH_SIZE = 5
_MAP_THRESHOLD = 0.5
_MAP_POOLING = 2
# Each of its principal channels is divided by its standard deviation to this power.
_CHANNEL_POWER = 0.5
# The second: patches of 3 x 3 values of all channels, thresholds of 1, a grid of 3 x 3 cells.
_PATCH_SIZE = 3
_THRESHOLD = 1.0
_POOLING = 3
_POWER = 0.5
# Added to the variances of patches of pixels, and of maps, as in PatchFeatures.
_PIXEL_EPSILON = 10.0
_MAP_EPSILON = 0.1
_ZCA_EPSILON = 0.1
# Channels, and then filters, are learned from the maps of this many images.
_CHANNEL_IMAGES = 1000
_FILTER_IMAGES = 10_000
# Bounds the memory of maps before they are reduced.
_CHANNEL_BATCH_IMAGES = 128
# Variances of less are rounding errors of 0.
_TINY = 1e-6
# Images of one step on a device: 0.7 GB of maps and patches.
_DEVICE_BATCH_IMAGES = 128

Array = NDArray[Any]


class SecondLayerPatches(TransformerMixin, BaseEstimator):
    """Pooled responses to patches of maps, which are responses to patches of pixels.

    The first layer is that of `PatchFeatures`, with patches of 5 x 5 pixels, a threshold of 0.5,
    and roots of averages over 2 x 2 positions, which are values of maps.
    The leading principal components of all maps at a position, each divided by the root of its
    standard deviation, are the channels of an image whose 3 x 3 patches are then treated as
    `PatchFeatures` treats those of pixels, with a threshold of 1 and a grid of 3 x 3 cells.

    Parameters
    ----------
    n_filters : int, default=1500
        Number of filters of the second layer.
    n_maps : int, default=512
        Number of filters of the first layer; each gives two maps, for positive and for negative
        responses.
    n_channels : int, default=96
        Principal components of the maps that are kept, at most 2 n_maps.
    cells : {"apart", "overlapping"}, default="apart"
        Of the grid of 3 x 3, as those of `PatchFeatures`, and the averages that are maps.
    n_patches : int, default=100_000
        Patches that whitening and filters of a layer are learned from, at least as many as filters.
    n_jobs : int, default=None
        Threads of `transform` on the host; None for all processors (or OMP_NUM_THREADS), -1 for
        all.  Features do not depend on it.
    random_state : int, default=0
        Random seed of images, patches and clusters.
    image_shape : tuple of int, default=None
        Channels, height and width of the images; None for square ones of three colours.

    Attributes
    ----------
    map_filters_ : ndarray of shape (n_maps, n_image_channels * 25), float32
    map_bias_ : ndarray of shape (n_maps,), float32
    channels_ : ndarray of shape (2 * n_maps, n_channels), float32
        From maps to channels.
    offset_ : ndarray of shape (n_channels,), float32
        Channels of the mean of the maps, which is subtracted.
    filters_ : ndarray of shape (n_filters, n_channels * 9), float32
    bias_ : ndarray of shape (n_filters,), float32

    References
    ----------
    A. Coates, A. Ng, "Selecting receptive fields in deep networks", NIPS 2011.

    B. Knyazev, E. Barth, T. Martinetz, "Recursive autoconvolution for unsupervised learning of
    convolutional neural networks", IJCNN 2017.

    Examples
    --------
    >>> import numpy as np
    >>> images = np.random.default_rng(0).integers(0, 256, (5, 768), dtype=np.uint8)
    >>> layer = SecondLayerPatches(n_filters=10, n_maps=8, n_channels=6, n_patches=1000)
    >>> layer.fit_transform(images).shape
    (5, 180)
    """

    __module__ = "svmcifar.features"  # as in model files, wherever the code lies

    _parameter_constraints = {  # noqa: RUF012 (scikit-learn's own form)
        "n_filters": [Interval(Integral, 1, None, closed="left")],
        "n_maps": [Interval(Integral, 1, None, closed="left")],
        "n_channels": [Interval(Integral, 1, None, closed="left")],
        "cells": [StrOptions({"apart", "overlapping"})],
        "n_patches": [Interval(Integral, 1, None, closed="left")],
        "n_jobs": [Integral, None],
        "random_state": [Interval(Integral, 0, None, closed="left")],
        "image_shape": [tuple, list, None],
    }
    cells = "apart"  # newer than the oldest model files, which leave it out

    def __init__(
        self,
        *,
        n_filters: int = 1500,
        n_maps: int = 512,
        n_channels: int = 96,
        cells: str = "apart",
        n_patches: int = 100_000,
        n_jobs: int | None = None,
        random_state: int = 0,
        image_shape: Sequence[int] | None = None,
    ) -> None:
        self.n_filters = n_filters
        self.n_maps = n_maps
        self.n_channels = n_channels
        self.cells = cells
        self.n_patches = n_patches
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.image_shape = image_shape

    def fit(self, images: Any, y: Any = None) -> "SecondLayerPatches":
        """Learn both layers from at least one image; parameters and errors as of `transform`."""
        self.check_parameters()
        images = to_host(checked_images(images, "SecondLayerPatches"))
        shape = self._checked_shape(images)
        if len(images) == 0:
            raise InputError(
                "SecondLayerPatches must be fitted on at least 1 image. Got 0 instead."
            )
        rng = np.random.default_rng(int(self.random_state))
        self.map_filters_, self.map_bias_ = self._learn(
            images, shape, self.n_maps, _MAP_PATCH_SIZE, _PIXEL_EPSILON
        )
        first, n_workers = self._first_layer(images), count_workers(self.n_jobs)
        self._fit_channels(_draw(images, _CHANNEL_IMAGES, rng), first, n_workers)
        images = _draw(images, _FILTER_IMAGES, rng)
        maps_shape = self._maps_shape(first)
        maps = np.empty((len(images), maps_shape.n_values), dtype=np.float32)

        def write(rows: slice) -> None:
            maps[rows] = self._maps(images[rows], first)

        run_tasks(len(images), write, n_workers)
        self.filters_, self.bias_ = self._learn(
            maps, maps_shape, self.n_filters, _PATCH_SIZE, _MAP_EPSILON
        )
        return self

    def transform(self, images: Any) -> Any:
        """Compute the pooled responses of the second layer.

        Parameters
        ----------
        images : array-like of shape (n_images, n_pixels), uint8
            Rows of one plane a channel, by `image_shape`, on the host or on a device.

        Returns
        -------
        array of shape (n_images, 18 * n_filters), float32
            On the same device, in the order of those of `PatchFeatures`.

        Raises
        ------
        InputError
            If the images are not such rows, or a parameter is invalid.
        """
        check_is_fitted(self)
        self.check_parameters()
        images = checked_images(images, "SecondLayerPatches")
        first = self._first_layer(images)
        second = self._second_layer(images, first)
        xp, shape = get_namespace(images), (images.shape[0], second.n_features)
        features = xp.empty(shape, dtype=xp.float32, device=get_device(images))
        if is_host(images):

            def write(rows: slice) -> None:
                write_features(self._maps(images[rows], first), second, features[rows])

            run_tasks(len(images), write, count_workers(self.n_jobs))
        else:
            for rows in batches(images.shape[0], _DEVICE_BATCH_IMAGES):
                features[rows, :] = self.transform_batch(images[rows, :])
        return features

    def transform_batch(self, images: Any) -> Any:
        """Compute the features of a batch of images by the array API, as `transform` does."""
        first = self._first_layer(images)
        maps = self._to_channels(batch_features(images, first))
        return batch_features(maps, self._second_layer(images, first))

    def count_features(self, n_pixels: int) -> int:
        """Return the number of features of an image."""
        return 2 * int(self.n_filters) * _POOLING**2

    def check_parameters(self) -> None:
        """Raise InputError if a parameter is invalid."""
        validate_parameters(self)
        most = max(self.n_filters, self.n_maps)
        if self.n_patches < most:
            raise InputError(
                f"The 'n_patches' parameter of SecondLayerPatches must be at least {most}, the "
                f"filters of a layer. Got {self.n_patches!r} instead."
            )
        if self.n_channels > 2 * self.n_maps:
            raise InputError(
                f"The 'n_channels' parameter of SecondLayerPatches must be at most 2 n_maps="
                f"{2 * self.n_maps!r}. Got {self.n_channels!r} instead."
            )

    def _checked_shape(self, images: Any) -> ImageShape:
        """Return the shape of images; raise InputError if they are too small."""
        shape = resolve_shape(self.image_shape, images.shape[1], "SecondLayerPatches")
        least = _MAP_PATCH_SIZE - 1 + _MAP_POOLING * (_PATCH_SIZE - 1 + _POOLING)
        if min(shape.height, shape.width) < least:
            raise InputError(
                f"Images for SecondLayerPatches must have at least {least} rows and columns. "
                f"Got {shape.height} x {shape.width} instead."
            )
        return shape

    def _learn(
        self, images: Array, shape: ImageShape, n_filters: int, size: int, epsilon: float
    ) -> tuple[Array, Array]:
        """Learn the filters and bias of a layer."""
        return learn_filters(
            images,
            shape,
            kind="kmeans",
            n_filters=int(n_filters),
            size=size,
            n_patches=int(self.n_patches),
            contrast_epsilon=epsilon,
            zca_epsilon=_ZCA_EPSILON,
            seed=int(self.random_state),
            # k-means++ takes many times as long as all that follows, for patches so large.
            first_centres="random",
        )

    def _first_layer(self, images: Any) -> PatchFilters:
        """Return the first layer, with its arrays on the device of images."""
        shape = self._checked_shape(images)
        return PatchFilters(
            filters=move_beside(self.map_filters_, images),
            bias=move_beside(self.map_bias_, images),
            shape=shape,
            size=_MAP_PATCH_SIZE,
            contrast_epsilon=_PIXEL_EPSILON,
            threshold=_MAP_THRESHOLD,
            # As many cells each way, for images that are not square too.
            pooling=(min(shape.height, shape.width) - _MAP_PATCH_SIZE + 1) // _MAP_POOLING,
            power=_POWER,
            overlaps=self.cells == "overlapping",
        )

    def _second_layer(self, images: Any, first: PatchFilters) -> PatchFilters:
        """Return the second layer, with its arrays on the device of images."""
        return PatchFilters(
            filters=move_beside(self.filters_, images),
            bias=move_beside(self.bias_, images),
            shape=self._maps_shape(first),
            size=_PATCH_SIZE,
            contrast_epsilon=_MAP_EPSILON,
            threshold=_THRESHOLD,
            pooling=_POOLING,
            power=_POWER,
            overlaps=self.cells == "overlapping",
        )

    def _maps_shape(self, first: PatchFilters) -> ImageShape:
        return ImageShape(int(self.n_channels), first.pooling, first.pooling)

    def _fit_channels(self, images: Array, first: PatchFilters, n_workers: int) -> None:
        """Fit the principal components of the maps of images at a position."""
        n_maps = 2 * int(self.n_maps)
        sums, squares = np.zeros(n_maps), np.zeros((n_maps, n_maps))
        for batch in batches(len(images), _CHANNEL_BATCH_IMAGES):
            values = np.empty((len(images[batch]), first.n_features), dtype=np.float32)
            host_features(images[batch], first, values, n_workers)
            values = values.reshape(-1, n_maps)
            with single_threaded_blas():  # so that sums do not depend on the number of processors
                sums += values.sum(axis=0, dtype=np.float64)
                squares += values.T @ values
        n_values = len(images) * first.pooling**2
        mean = sums / n_values
        with single_threaded_blas():
            variances, vectors = np.linalg.eigh(squares / n_values - np.outer(mean, mean))
        kept = slice(None, -int(self.n_channels) - 1, -1)
        divisors = np.maximum(variances[kept], _TINY) ** (_CHANNEL_POWER / 2)
        channels = vectors[:, kept] / divisors
        self.channels_ = channels.astype(np.float32)
        self.offset_ = (mean @ channels).astype(np.float32)

    def _maps(self, images: Array, first: PatchFilters) -> Array:
        """Compute the channels of a few images on the host, in the calling thread."""
        values = np.empty((len(images), first.n_features), dtype=np.float32)
        write_features(images, first, values)
        return self._to_channels(values)

    def _to_channels(self, values: Any) -> Any:
        """Reduce maps to channels; a row is an image of them, one channel after the other."""
        xp, channels = get_namespace(values), move_beside(self.channels_, values)
        positions = xp.reshape(values, (values.shape[0], -1, channels.shape[0]))
        reduced = positions @ channels - move_beside(self.offset_, values)
        return xp.reshape(xp.permute_dims(reduced, (0, 2, 1)), (values.shape[0], -1))


def _draw(images: Array, n_most: int, rng: np.random.Generator) -> Array:
    """Draw images at random, at most so many, in their order."""
    if len(images) <= n_most:
        return images
    return images[np.sort(rng.choice(len(images), n_most, replace=False))]
