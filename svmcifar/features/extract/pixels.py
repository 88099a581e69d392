"""Raw pixels as features."""

from typing import Any

from sklearn.base import BaseEstimator, TransformerMixin

from svmcifar.compute.arrays import get_namespace
from svmcifar.features.extract.image_rows import checked_images


class RawPixels(TransformerMixin, BaseEstimator):
    """Turn 8-bit pixels into float32 numbers from 0 to 1.

    Stateless: `fit` learns nothing.
    """

    __module__ = "svmcifar.features"  # as in model files, wherever the code lies

    __sklearn_is_fitted__ = lambda self: True  # noqa: E731 (scikit-learn's protocol)

    def fit(self, images: Any, y: Any = None) -> "RawPixels":
        """Do nothing."""
        return self

    def count_features(self, n_pixels: int) -> int:
        """Return the number of features of an image."""
        return n_pixels

    def transform(self, images: Any) -> Any:
        """Divide images, of shape (n_images, n_pixels), uint8, by 255, on their device.

        Raise InputError if they are not two-dimensional uint8.
        """
        images = checked_images(images, "RawPixels")
        xp = get_namespace(images)
        pixels = xp.astype(images, xp.float32)
        pixels /= 255.0
        return pixels
