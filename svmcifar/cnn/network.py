"""The interface of every architecture."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from torch import nn

from svmcifar.compute.image_shape import ImageShape


class Network(nn.Module, ABC):
    """A network from normalised images (n_images, *image_shape), float32, to logits.

    A new architecture is a subclass in a file of its own, and a line in
    `svmcifar.cnn.architectures.ARCHITECTURES`.

    Parameters
    ----------
    width : int
        Channels of the first convolution.
    n_classes : int

    Attributes
    ----------
    image_shape : ImageShape
        The images that it takes.
    layers : str
        Names of its layers, for errors.
    """

    image_shape: ClassVar[ImageShape]
    layers: ClassVar[str]

    @abstractmethod
    def __init__(self, width: int, n_classes: int) -> None:
        super().__init__()

    @classmethod
    @abstractmethod
    def sizes_in(cls, state: Mapping[str, Any]) -> tuple[int, int] | None:
        """Return width and number of classes from the first and the last layer, None without them.

        `recognise` compares all names and shapes afterwards.
        """
