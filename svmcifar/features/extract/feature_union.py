"""Concatenation of several kinds of features."""

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import gen_batches

from svmcifar.compute.arrays import get_device, get_namespace, is_host

# Bounds the memory of a batch besides the result.
_BATCH_ROWS = 5000


class FeatureStack(TransformerMixin, BaseEstimator):
    """Concatenate the features of several transformers.

    scikit-learn's FeatureUnion holds every result while NumPy concatenates them; here they are
    written into the output a batch at a time, on a device too.

    Parameters
    ----------
    transformers : list of (str, transformer)
        Names and transformers, from images to float32 features.

    Examples
    --------
    >>> import numpy as np
    >>> from svmcifar.features.extract.hog import HOG
    >>> from svmcifar.features.extract.pixels import RawPixels
    >>> stack = FeatureStack([("pixels", RawPixels()), ("hog", HOG(pixels_per_cell=(2, 2)))])
    >>> stack.fit_transform(np.zeros((5, 192), dtype=np.uint8)).shape
    (5, 516)
    """

    __module__ = "svmcifar.features"  # as in model files, wherever the code lies

    def __init__(self, transformers: list[tuple[str, Any]]) -> None:
        self.transformers = transformers

    def fit(self, images: Any, y: Any = None) -> "FeatureStack":
        """Fit each transformer on images, of shape (n_images, n_pixels), uint8."""
        for _, transformer in self.transformers:
            transformer.fit(images)
        return self

    def count_features(self, n_pixels: int) -> int:
        """Return the number of features of an image."""
        return sum(transformer.count_features(n_pixels) for _, transformer in self.transformers)

    def transform(self, images: Any) -> Any:
        """Compute the features of images, uint8, on their device.

        The result has shape (n_images, n_features), float32: those of the first transformer first.
        """
        if is_host(images):
            images = np.asarray(images)
        xp, n_images = get_namespace(images), images.shape[0]
        widths = [one.transform(images[:1, :]).shape[1] for _, one in self.transformers]
        shape = (n_images, sum(widths))
        features = xp.empty(shape, dtype=xp.float32, device=get_device(images))
        for rows in gen_batches(n_images, _BATCH_ROWS):
            start = 0
            for (_, transformer), width in zip(self.transformers, widths, strict=True):
                features[rows, start : start + width] = transformer.transform(images[rows, :])
                start += width
        return features
