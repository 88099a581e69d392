"""Pooled responses to learned patches as features."""

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from svmcifar.compute.arrays import (
    get_device,
    get_dtype,
    get_namespace,
    is_host,
    move_beside,
    to_host,
)
from svmcifar.compute.image_shape import ImageShape
from svmcifar.compute.threads import count_workers
from svmcifar.errors import InputError
from svmcifar.features.extract.image_rows import real_images, resolve_shape
from svmcifar.features.extract.patch_filters import learn_filters
from svmcifar.features.extract.patch_responses import PatchFilters, device_features, host_features
from svmcifar.features.parameters import validate_parameters


class PatchFeatures(TransformerMixin, BaseEstimator):
    """Pooled responses to patches learned from the training images, by Coates and Ng.

    Every patch of an image is normalised (minus its mean, by its standard deviation), whitened
    (ZCA) and multiplied with filters of length 1: cluster centres of normalised and whitened
    patches of the training images, or such patches themselves.  A response is rectified above the
    threshold, and its negative likewise; both are averaged over each cell of a grid on the image,
    and features are a power of the averages.

    Parameters
    ----------
    n_filters : int, default=2000
        Number of filters.
    patch_size : int, default=6
        Rows and columns of a patch, in pixels.
    pooling : int, default=3
        Rows and columns of the grid of cells.  A patch of 6 x 6 pixels has 27 x 27 positions:
        where they do not divide evenly, some cells have one more row or column than others.
    cells : {"apart", "overlapping"}, default="apart"
        Positions count in one cell; or in those around them, by weights that fall linearly from a
        cell's centre to the centres of its neighbours.
    threshold : float, default=1.0
        Responses between minus this and this count as 0; >= 0.
    power : float, default=0.5
        Exponent of the averages, > 0 and at most 1.
    filters : {"kmeans", "random"}, default="kmeans"
        Cluster centres, or patches drawn at random, which is faster.
    contrast_epsilon : float, default=10.0
        Added to the variance of a patch when it is normalised, >= 0.  Of pixels from 0 to 255:
        images that are not bytes count as if those of `fit` ranged from 0 to 255.
    zca_epsilon : float, default=0.1
        Added to the variances of normalised patches along their principal axes when they are
        whitened, > 0.
    n_patches : int, default=200_000
        Patches that whitening and filters are learned from, at least `n_filters`.
    n_jobs : int, default=None
        Threads of `transform` on the host; None for all processors (or OMP_NUM_THREADS), -1 for
        all.  Features do not depend on it.
    random_state : int, default=0
        Random seed of the patches and the clusters.
    image_shape : tuple of int, default=None
        Channels, height and width of the images; None for square ones of three colours.

    Attributes
    ----------
    filters_ : ndarray of shape (n_filters, n_channels * patch_size * patch_size), float32
        With the whitening in them; a patch's values are in the order of channels, rows, columns.
    bias_ : ndarray of shape (n_filters,), float32
    value_range_ : float or None
        Largest less smallest value of the images of `fit`; None if they were bytes.

    Notes
    -----
    With the response ``r = filters_ @ patch + bias_`` to a normalised patch features are
    ``mean(max(r - threshold, 0))^power`` and ``mean(max(-r - threshold, 0))^power``.

    On the host a row of features does not depend on the others, to the bit.  `transform` needs
    little more memory than its result: 2,000 filters and a grid of 3 x 3 give 36,000 features,
    144 kB an image.

    References
    ----------
    A. Coates, A. Ng, "The importance of encoding versus training with sparse coding and vector
    quantization", ICML 2011.

    L. Thiry, M. Arbel, E. Belilovsky, E. Oyallon, "The unreasonable effectiveness of patches in
    deep convolutional kernels methods", ICLR 2021.

    Examples
    --------
    >>> import numpy as np
    >>> images = np.random.default_rng(0).integers(0, 256, (5, 768), dtype=np.uint8)
    >>> PatchFeatures(n_filters=10, n_patches=1000).fit_transform(images).shape
    (5, 180)
    >>> grey = PatchFeatures(n_filters=10, n_patches=1000, image_shape=(1, 16, 12))
    >>> grey.fit_transform(np.random.default_rng(0).random((5, 192))).shape
    (5, 180)
    """

    __module__ = "svmcifar.features"  # as in model files, wherever the code lies

    _parameter_constraints = {  # noqa: RUF012 (scikit-learn's own form)
        "n_filters": [Interval(Integral, 1, None, closed="left")],
        "patch_size": [Interval(Integral, 1, None, closed="left")],
        "pooling": [Interval(Integral, 1, None, closed="left")],
        "cells": [StrOptions({"apart", "overlapping"})],
        "threshold": [Interval(Real, 0.0, None, closed="left")],
        "power": [Interval(Real, 0.0, 1.0, closed="right")],
        "filters": [StrOptions({"random", "kmeans"})],
        "contrast_epsilon": [Interval(Real, 0.0, None, closed="left")],
        "zca_epsilon": [Interval(Real, 0.0, None, closed="neither")],
        "n_patches": [Interval(Integral, 1, None, closed="left")],
        "n_jobs": [Integral, None],
        "random_state": [Interval(Integral, 0, None, closed="left")],
        "image_shape": [tuple, list, None],
    }
    # Newer than the oldest model files, which leave them out, as content hashes do.
    image_shape = None
    cells = "apart"
    value_range_: float | None = None

    def __init__(
        self,
        *,
        n_filters: int = 2000,
        patch_size: int = 6,
        pooling: int = 3,
        cells: str = "apart",
        threshold: float = 1.0,
        power: float = 0.5,
        filters: str = "kmeans",
        contrast_epsilon: float = 10.0,
        zca_epsilon: float = 0.1,
        n_patches: int = 200_000,
        n_jobs: int | None = None,
        random_state: int = 0,
        image_shape: Sequence[int] | None = None,
    ) -> None:
        self.n_filters = n_filters
        self.patch_size = patch_size
        self.pooling = pooling
        self.cells = cells
        self.threshold = threshold
        self.power = power
        self.filters = filters
        self.contrast_epsilon = contrast_epsilon
        self.zca_epsilon = zca_epsilon
        self.n_patches = n_patches
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.image_shape = image_shape

    def fit(self, images: Any, y: Any = None) -> "PatchFeatures":
        """Learn filters from at least one image; parameters and errors as of `transform`."""
        self.check_parameters()
        images = to_host(real_images(images, "PatchFeatures"))
        shape = self._checked_shape(images)
        if len(images) == 0:
            raise InputError("PatchFeatures must be fitted on at least 1 image. Got 0 instead.")
        is_bytes = images.dtype == np.uint8
        self.value_range_ = None if is_bytes else float(images.max()) - float(images.min())
        self.filters_, self.bias_ = learn_filters(
            images,
            shape,
            kind=self.filters,
            n_filters=int(self.n_filters),
            size=int(self.patch_size),
            n_patches=int(self.n_patches),
            contrast_epsilon=self._epsilon(),
            zca_epsilon=float(self.zca_epsilon),
            seed=int(self.random_state),
        )
        return self

    def transform(self, images: Any) -> Any:
        """Compute the pooled responses.

        Parameters
        ----------
        images : array-like of shape (n_images, n_pixels), of real numbers
            Rows of one plane a channel, by `image_shape`, on the host or on a device; bytes if
            those of `fit` were.

        Returns
        -------
        array of shape (n_images, 2 * n_filters * pooling * pooling), float32
            On the same device.  An image's features are those of its cells from left to right and
            top to bottom; a cell's those of all filters for positive responses, then those for
            negative ones.

        Raises
        ------
        InputError
            If the images are not such rows, or a parameter is invalid or not that of `fit`.
        """
        check_is_fitted(self)
        self.check_parameters()
        images = real_images(images, "PatchFeatures")
        if (get_dtype(images) == np.uint8) != (self.value_range_ is None):
            raise InputError(
                f"Images for PatchFeatures must be bytes if those of fit were, and else not: their "
                f"values would mean something else. Got {images.dtype}. Convert them alike."
            )
        model = self.filters_beside(images)
        xp, shape = get_namespace(images), (images.shape[0], model.n_features)
        features = xp.empty(shape, dtype=xp.float32, device=get_device(images))
        if is_host(images):
            host_features(images, model, features, count_workers(self.n_jobs))
        else:
            device_features(images, model, features)
        return features

    def count_features(self, n_pixels: int) -> int:
        """Return the number of features of an image."""
        return 2 * int(self.n_filters) * int(self.pooling) ** 2

    def check_parameters(self) -> None:
        """Raise InputError if a parameter is invalid."""
        validate_parameters(self)
        if self.n_patches < self.n_filters:
            raise InputError(
                f"The 'n_patches' parameter of PatchFeatures must be at least n_filters="
                f"{self.n_filters!r}. Got {self.n_patches!r} instead."
            )

    def _epsilon(self) -> float:
        """Return what is added to variances, in the unit of the images."""
        scale = 1.0 if self.value_range_ is None else self.value_range_ / 255
        return float(self.contrast_epsilon) * scale**2

    def _checked_shape(self, images: Any) -> ImageShape:
        """Return the shape of images; raise InputError if patches or cells do not fit it."""
        shape = resolve_shape(self.image_shape, images.shape[1], "PatchFeatures")
        side = min(shape.height, shape.width)
        if self.patch_size > side:
            raise InputError(
                f"The 'patch_size' parameter of PatchFeatures must be at most {side}, the "
                f"rows or columns of an image. Got {self.patch_size!r} instead."
            )
        if shape.channels * self.patch_size**2 == 1:
            raise InputError(
                "Patches of PatchFeatures must be of two or more values, whose contrast is what "
                "counts. Got patch_size=1 with grey images. Make it larger."
            )
        n_side = side - self.patch_size + 1
        if self.pooling > n_side:
            raise InputError(
                f"The 'pooling' parameter of PatchFeatures must be at most {n_side}, the positions "
                f"of {self.patch_size} x {self.patch_size} pixels along an image. "
                f"Got {self.pooling!r} instead."
            )
        return shape

    def filters_beside(self, images: Any) -> PatchFilters:
        """Return filters and settings, with arrays on the device of images."""
        shape = self._checked_shape(images)
        expected = (self.n_filters, shape.channels * self.patch_size**2)
        if self.filters_.shape != expected or self.bias_.shape != expected[:1]:
            raise InputError(
                f"PatchFeatures must be fitted with the n_filters and patch_size that it has. Got "
                f"filters_ of shape {self.filters_.shape} instead of {expected}. Fit it again."
            )
        return PatchFilters(
            filters=move_beside(self.filters_, images),
            bias=move_beside(self.bias_, images),
            shape=shape,
            # Plain numbers: NumPy's would promote float32 arrays to float64.
            size=int(self.patch_size),
            contrast_epsilon=self._epsilon(),
            threshold=float(self.threshold),
            pooling=int(self.pooling),
            power=float(self.power),
            overlaps=self.cells == "overlapping",
        )
