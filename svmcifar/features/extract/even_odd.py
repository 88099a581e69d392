"""Features of images and of their mirror images, as even and odd parts."""

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from svmcifar.compute.arrays import get_device, get_namespace, is_host
from svmcifar.features.extract.image_rows import batches, mirror

# Bounds the memory of a batch besides the result.
_BATCH_ROWS = 1000


class EvenOddFeatures(TransformerMixin, BaseEstimator):
    """Even and odd parts of features under mirroring.

    Of the features f of an image x and its mirror image Mx the even part is (f(x) + f(Mx)) / 2 and
    the odd part (f(x) - f(Mx)) / 2.  Those of Mx are the same but for the sign of the odd part.

    Parameters
    ----------
    source : transformer
        From images, (n_images, n_pixels), uint8, to float32 features; each image's are its own.

    Examples
    --------
    >>> import numpy as np
    >>> from svmcifar.features.extract.pixels import RawPixels
    >>> images = np.repeat(np.array([[0, 255, 51, 51]], dtype=np.uint8), 3, axis=0).reshape(1, 12)
    >>> EvenOddFeatures(RawPixels()).fit_transform(images)[:, [0, 1, 2, 12, 13, 14]]
    array([[ 0.5,  0.5,  0.2, -0.5,  0.5,  0. ]], dtype=float32)
    """

    __module__ = "svmcifar.features"  # as in model files, wherever the code lies

    def __init__(self, source: Any) -> None:
        self.source = source

    def fit(self, images: Any, y: Any = None) -> "EvenOddFeatures":
        """Fit the source on images, of shape (n_images, n_pixels), uint8."""
        self.source.fit(images)
        return self

    def count_features(self, n_pixels: int) -> int:
        """Return the number of features of an image, twice those of the source."""
        return 2 * self.source.count_features(n_pixels)

    def transform(self, images: Any) -> Any:
        """Compute the parts of images, uint8, on their device.

        The result has shape (n_images, 2 * n_source_features), float32: all even parts, then all
        odd ones.  Raise InputError if the images are not rows of three square planes.
        """
        if is_host(images):
            images = np.asarray(images)
        xp, n_images = get_namespace(images), images.shape[0]
        width = self.source.transform(images[:1, :]).shape[1]
        shape = (n_images, 2 * width)
        parts = xp.empty(shape, dtype=xp.float32, device=get_device(images))
        for rows in batches(n_images, _BATCH_ROWS):
            own = self.source.transform(images[rows, :])
            mirrored = self.source.transform(mirror(images[rows, :]))
            parts[rows, :width] = (own + mirrored) * 0.5
            parts[rows, width:] = (own - mirrored) * 0.5
        return parts
