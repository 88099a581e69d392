"""A network that was read from a file, whatever computes it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from svmcifar.cnn.model_card import Normalisation
from svmcifar.errors import CheckpointError, InputError

IMAGE_SHAPE = (3, 32, 32)
_N_VALUES = 3072


class OpenedNetwork(NamedTuple):
    """What a runtime tells of a file; the fields are those of `ImageNetwork`.

    ``normalisation`` is None where the file does not hold it.
    """

    architecture: str
    n_classes: int
    n_parameters: int
    runtime: str
    normalisation: Normalisation | None
    batch_size: int
    compute_logits: Callable[[NDArray[np.float32]], NDArray[np.float32]]


@dataclass(frozen=True)
class ImageNetwork:
    """A network ready to classify images.

    Attributes
    ----------
    path : Path
        File that it comes from.
    name : str
        The file's name without suffix.
    architecture : str
        For example "reference, width 16, 100 classes".
    n_classes : int
    n_parameters : int
        Learned weights; running statistics of batch normalisation do not count.
    n_bytes : int
        Size of the file.
    sha256 : str
        Of the file, in hexadecimal.
    card : dict or None
        The card beside the file, as `svmcifar.cnn.model_card.read_card` gives it.
    runtime : str
        What computes it, for example "PyTorch 2.13.0".
    normalisation : Normalisation
    batch_size : int
        Images that `compute_logits` takes at once.
    compute_logits : callable
        From normalised images (n_images, 3, 32, 32), float32, to logits
        (n_images, n_classes), float32.
    """

    path: Path
    name: str
    architecture: str
    n_classes: int
    n_parameters: int
    n_bytes: int
    sha256: str
    card: dict[str, Any] | None
    runtime: str
    normalisation: Normalisation
    batch_size: int
    compute_logits: Callable[[NDArray[np.float32]], NDArray[np.float32]]

    def predict_proba(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute the probability of each class.

        Parameters
        ----------
        images : ndarray of shape (n_images, 3072), uint8
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
            If the network answers with something that is not finite.
        """
        if images.dtype != np.uint8 or images.ndim != 2 or images.shape[1] != _N_VALUES:
            raise InputError(
                f"Images must be uint8 rows of {_N_VALUES} values. "
                f"Got {images.dtype} of shape {images.shape} instead."
            )
        probabilities = np.empty((len(images), self.n_classes), dtype=np.float32)
        for start in range(0, len(images), self.batch_size):
            run = slice(start, start + self.batch_size)
            logits = self.compute_logits(normalise(images[run], self.normalisation))
            if not np.isfinite(logits).all():
                raise CheckpointError(
                    f"{self.path}: a network must answer with finite numbers, got others; "
                    "its weights are damaged or its training diverged: train it again"
                )
            probabilities[run] = softmax(logits, axis=1)
        return probabilities


def normalise(images: NDArray[np.uint8], normalisation: Normalisation) -> NDArray[np.float32]:
    """Scale to 0 ... 1, subtract each colour's mean, divide by its standard deviation.

    Parameters
    ----------
    images : ndarray of shape (n_images, 3072), uint8
        Channel-first rows.
    normalisation : Normalisation

    Returns
    -------
    ndarray of shape (n_images, 3, 32, 32), float32
    """
    mean, std = (np.array(part, np.float32)[:, None, None] for part in normalisation)
    pixels = images.reshape(-1, *IMAGE_SHAPE).astype(np.float32)
    pixels /= np.float32(255)
    pixels -= mean
    pixels /= std
    return pixels
