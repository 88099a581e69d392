"""Raw pixels as features."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin

from svmcifar.errors import InputError


class RawPixels(TransformerMixin, BaseEstimator):
    """Turn 8-bit pixels into float32 numbers from 0 to 1.

    Stateless: `fit` learns nothing.
    """

    __sklearn_is_fitted__ = lambda self: True  # noqa: E731 (scikit-learn's protocol)

    def fit(self, images: ArrayLike, y: Any = None) -> "RawPixels":
        """Do nothing."""
        return self

    def transform(self, images: ArrayLike) -> NDArray[np.float32]:
        """Divide by 255.

        Parameters
        ----------
        images : array-like of shape (n_images, n_pixels), uint8

        Returns
        -------
        ndarray of shape (n_images, n_pixels), float32

        Raises
        ------
        InputError
            If the images are not two-dimensional uint8.
        """
        images = np.asarray(images)
        if images.dtype != np.uint8 or images.ndim != 2:
            raise InputError(
                f"Images must be uint8 of shape (n_images, n_pixels). "
                f"Got {images.dtype} of shape {images.shape} instead."
            )
        return np.divide(images, np.float32(255), dtype=np.float32)
