"""What commands ask of anything that predicts the classes of images."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class ImageModel(Protocol):
    """A model of images: `svmcifar.model.classifier.ImageClassifier`, or a network."""

    @property
    def label_kind(self) -> str:
        """The kind of labels that it predicts, one of `svmcifar.data.dataset.LABEL_KINDS`."""

    @property
    def class_names(self) -> Sequence[str]:
        """Names of the classes, by id."""

    @property
    def data_label(self) -> str:
        """Name of the data set that it was trained on."""

    @property
    def is_synthetic(self) -> bool:
        """Whether that is a synthetic stand-in."""

    @property
    def has_probabilities(self) -> bool:
        """Whether it predicts probabilities."""

    def predict(self, images: Any) -> NDArray[np.int64]:
        """Predict class ids (n_images,) of uint8 rows (n_images, n_values), channel first."""

    def predict_with_probabilities(
        self, images: Any
    ) -> tuple[NDArray[np.int64], NDArray[np.float64] | None, NDArray[np.float64] | None]:
        """Predict class ids, with decision values and probabilities, (n_images, n_classes) each.

        Both are None where the model has none.
        """
