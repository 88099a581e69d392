"""A network that was read from a file, for any runtime."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.special import softmax

from svmcifar.cnn.model_card import REFERENCE_NORMALISATION, Normalisation
from svmcifar.compute.image_shape import ImageShape
from svmcifar.compute.progress import stage
from svmcifar.data.dataset import CLASSES
from svmcifar.errors import CheckpointError, InputError

# The smallest normal float32: below it a network's probability may be 0.
_LEAST_PROBABILITY = float(np.finfo(np.float32).tiny)

Compute = Callable[[Any], NDArray[np.float32]]


@dataclass(frozen=True, kw_only=True)
class OpenedNetwork:
    """What a runtime reads from a file.

    `n_parameters` counts learned weights, without the running statistics of batch
    normalisation; it is None where neither the file nor its model card holds the number.
    `compute_logits` maps up to `batch_size` images (n_images, channels, *size), normalised float32,
    or uint8 if it `takes_bytes`, to logits (n_images, n_classes), float32.  `alternatives` are
    other architectures that have the same tensors, each with what makes its `compute_logits`.
    """

    architecture: str  # for example "reference, width 16, 10 classes"
    n_classes: int
    n_parameters: int | None
    runtime: str  # for example "PyTorch 2.13.0, 2 threads"
    # None where the file does not say; the reference's is taken then, unless another is chosen.
    normalisation: Normalisation | None
    size: tuple[int, int]  # height and width of the images that it takes
    takes_bytes: bool = False  # whether it normalises images by itself
    batch_size: int
    compute_logits: Compute
    alternatives: tuple[tuple[str, Callable[[], Compute]], ...] = ()


@dataclass(frozen=True, kw_only=True)
class ImageNetwork(OpenedNetwork):
    """A network ready to classify images: path, name, size and hash are those of its file."""

    path: Path
    name: str
    n_bytes: int
    sha256: str
    card: dict[str, Any] | None
    class_names: tuple[str, ...]
    image_shape: ImageShape
    normalised: str = ""  # where its normalisation comes from
    label_kind: str = CLASSES  # of the classes that it distinguishes

    # With this it is an `svmcifar.model.image_model.ImageModel`.
    has_probabilities: ClassVar[bool] = True

    @property
    def data_label(self) -> str:
        """Name of the data set that it was trained on, by its card."""
        return str(self._data.get("label", "unknown data"))

    @property
    def is_synthetic(self) -> bool:
        """Whether that is a synthetic stand-in, by its card."""
        return self._data.get("synthetic") is True

    @property
    def _data(self) -> dict[str, Any]:
        data: dict[str, Any] = (self.card or {}).get("data", {})
        return data

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Predict the most probable class of each image, as `predict_proba`."""
        return self.predict_with_probabilities(images)[0]

    def predict_with_probabilities(
        self, images: NDArray[np.uint8]
    ) -> tuple[NDArray[np.int64], None, NDArray[np.float64]]:
        """Predict the most probable class ids, with all probabilities, none of them 0."""
        probabilities = self.predict_proba(images).astype(np.float64)
        return probabilities.argmax(axis=1), None, np.maximum(probabilities, _LEAST_PROBABILITY)

    def predict_proba(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute the probability of each class, float32 (n_images, n_classes).

        Images are channel-first rows, uint8 (n_images, image_shape.n_values): raise InputError
        for others, and CheckpointError if a logit is not finite.  They are resized, and normalised,
        as the network needs them.
        """
        n_values = self.image_shape.n_values
        if images.dtype != np.uint8 or images.ndim != 2 or images.shape[1] != n_values:
            raise InputError(
                f"Images must be uint8 rows of {n_values} values. "
                f"Got {images.dtype} of shape {images.shape} instead."
            )
        probabilities = np.empty((len(images), self.n_classes), dtype=np.float32)
        with stage(self.name, len(images), "images") as predicting:
            for start in range(0, len(images), self.batch_size):
                batch = slice(start, start + self.batch_size)
                pixels: Any = resize(images[batch].reshape(-1, *self.image_shape), self.size)
                if not self.takes_bytes:
                    pixels = normalise(pixels, self.normalisation or REFERENCE_NORMALISATION)
                logits = self.compute_logits(pixels)
                if not np.isfinite(logits).all():
                    raise CheckpointError(
                        f"{self.path}: a network must answer with finite numbers, got others; "
                        "its weights are damaged or its training diverged: train it again"
                    )
                probabilities[batch] = softmax(logits, axis=1)
                predicting.advance(len(logits))
        return probabilities


def resize(images: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize (n_images, 3, height, width) bilinearly, as torchvision does, unless they fit."""
    if images.shape[2:] == size:
        return images
    pictures = (Image.fromarray(image) for image in images.transpose(0, 2, 3, 1))
    resized = [np.asarray(p.resize(size[::-1], Image.Resampling.BILINEAR)) for p in pictures]
    return np.ascontiguousarray(np.stack(resized).transpose(0, 3, 1, 2))


def normalise(images: NDArray[np.uint8], normalisation: Normalisation) -> NDArray[np.float32]:
    """Scale (n_images, 3, height, width) to 0 ... 1, and standardise each colour."""
    mean, std = (np.array(part, np.float32)[:, None, None] for part in normalisation)
    pixels = images.astype(np.float32)
    pixels /= np.float32(255)
    pixels -= mean
    pixels /= std
    return pixels
