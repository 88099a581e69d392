"""The reference network."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from svmcifar.cnn.network import Network
from svmcifar.compute.image_shape import ImageShape

_SIDE = 2**5  # height and width are halved five times, to one pixel


class ReferenceNetwork(Network):
    """Eleven 3 x 3 convolutions with three residual blocks, in proportion to the first's width.

    Its parameters have the names and, at width 64, the shapes of the reference network, so
    that a state dict saved by one loads into the other.
    """

    image_shape = ImageShape(channels=3, height=_SIDE, width=_SIDE)
    layers = "convolution1 to convolution_5, reslayer1 to 3, classifier"

    def __init__(self, width: int, n_classes: int) -> None:
        super().__init__(width, n_classes)
        last = width * 257 // 16  # 1028 at width 64
        self.convolution1 = _convolution(self.image_shape.channels, width)
        self.convolution2 = _convolution(width, 2 * width, pool=True)
        self.reslayer1 = _residual(2 * width)
        self.convolution_3 = _convolution(2 * width, 4 * width, pool=True)
        self.convolution_4 = _convolution(4 * width, 8 * width, pool=True)
        self.reslayer2 = _residual(8 * width)
        self.convolution_5 = _convolution(8 * width, last, pool=True)
        self.reslayer3 = _residual(last)
        self.classifier = nn.Sequential(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(last, n_classes))

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits (n_images, n_classes) of normalised images."""
        x = self.convolution2(self.convolution1(images))
        x = self.reslayer1(x) + x
        x = self.convolution_4(self.convolution_3(x))
        x = self.reslayer2(x) + x
        x = self.convolution_5(x)
        x = self.reslayer3(x) + x
        return self.classifier(x)

    @classmethod
    def sizes_in(cls, state: Mapping[str, Any]) -> tuple[int, int] | None:
        """Return width and number of classes, from the first and the last layer."""
        first, last = state.get("convolution1.0.weight"), state.get("classifier.2.weight")
        if isinstance(first, Tensor) and isinstance(last, Tensor) and first.ndim and last.ndim:
            return first.shape[0], last.shape[0]
        return None


def _convolution(n_in: int, n_out: int, pool: bool = False) -> nn.Sequential:
    layers = [nn.Conv2d(n_in, n_out, 3, padding=1), nn.BatchNorm2d(n_out), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, *([nn.MaxPool2d(2)] if pool else []))


def _residual(n_channels: int) -> nn.Sequential:
    return nn.Sequential(_convolution(n_channels, n_channels), _convolution(n_channels, n_channels))
