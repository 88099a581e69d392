"""A network that was read from a file, whatever computes it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from svmcifar.cnn.model_card import Normalisation
from svmcifar.compute.image_shape import ImageShape
from svmcifar.errors import CheckpointError, InputError


class OpenedNetwork(NamedTuple):
    """What a runtime reads from a file: fields of `ImageNetwork`.

    The number of parameters is None where the file does not hold it.
    """

    architecture: str
    n_classes: int
    n_parameters: int | None
    runtime: str
    normalisation: Normalisation
    batch_size: int
    compute_logits: Callable[[NDArray[np.float32]], NDArray[np.float32]]


@dataclass(frozen=True)
class ImageNetwork:
    """A network ready to classify images.

    Attributes
    ----------
    path : Path
        The file.
    name : str
        Its name without suffix.
    architecture : str
        For example "reference, width 16, 10 classes".
    n_classes : int
    n_parameters : int or None
        Learned weights, without the running statistics of batch normalisation; None
        where neither the file nor its model card holds the number.
    n_bytes : int
        Size of the file.
    sha256 : str
        Of the file, in hexadecimal.
    card : dict or None
        The model card, as `svmcifar.cnn.model_card.read_card` returns it.
    runtime : str
        What computes it, for example "PyTorch 2.13.0".
    image_shape : ImageShape
    normalisation : Normalisation
    batch_size : int
        Images that `compute_logits` takes at once.
    compute_logits : callable
        From normalised images (n_images, *image_shape), float32, to logits
        (n_images, n_classes), float32.
    """

    path: Path
    name: str
    architecture: str
    n_classes: int
    n_parameters: int | None
    n_bytes: int
    sha256: str
    card: dict[str, Any] | None
    runtime: str
    image_shape: ImageShape
    normalisation: Normalisation
    batch_size: int
    compute_logits: Callable[[NDArray[np.float32]], NDArray[np.float32]]

    def predict_proba(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute the probability of each class.

        Parameters
        ----------
        images : ndarray of shape (n_images, image_shape.n_values), uint8
            Channel-first rows.

        Returns
        -------
        ndarray of shape (n_images, n_classes), float32
            Rows sum to 1.

        Raises
        ------
        InputError
            If `images` has another shape or type.
        CheckpointError
            If a logit is not finite.
        """
        n_values = self.image_shape.n_values
        if images.dtype != np.uint8 or images.ndim != 2 or images.shape[1] != n_values:
            raise InputError(
                f"Images must be uint8 rows of {n_values} values. "
                f"Got {images.dtype} of shape {images.shape} instead."
            )
        probabilities = np.empty((len(images), self.n_classes), dtype=np.float32)
        for start in range(0, len(images), self.batch_size):
            batch = slice(start, start + self.batch_size)
            pixels = normalise(images[batch].reshape(-1, *self.image_shape), self.normalisation)
            logits = self.compute_logits(pixels)
            if not np.isfinite(logits).all():
                raise CheckpointError(
                    f"{self.path}: a network must answer with finite numbers, got others; "
                    "its weights are damaged or its training diverged: train it again"
                )
            probabilities[batch] = softmax(logits, axis=1)
        return probabilities


def normalise(images: NDArray[np.uint8], normalisation: Normalisation) -> NDArray[np.float32]:
    """Scale (n_images, 3, height, width) to 0 ... 1, and standardise each colour."""
    mean, std = (np.array(part, np.float32)[:, None, None] for part in normalisation)
    pixels = images.astype(np.float32)
    pixels /= np.float32(255)
    pixels -= mean
    pixels /= std
    return pixels
