"""The reference network, and how its state dict is recognised."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from svmcifar.cnn.image_network import IMAGE_SHAPE
from svmcifar.errors import CheckpointError

REFERENCE_WIDTH = 64


@dataclass(frozen=True)
class Architecture:
    """What a state dict says of the network that it belongs to.

    Attributes
    ----------
    name : {"reference"}
    width : int
        Channels of the first convolution; 64 in the reference.
    n_classes : int
    """

    name: str
    width: int
    n_classes: int

    def __str__(self) -> str:
        return f"{self.name}, width {self.width}, {self.n_classes} classes"


class ReferenceNetwork(nn.Module):
    """Eleven 3 x 3 convolutions with three residual blocks, for 32 x 32 images.

    Its parameters have the names and, at width 64, the shapes of the reference
    network, so that a state dict saved by one loads into the other.

    Parameters
    ----------
    width : int, default=64
        Channels of the first convolution; the others follow in proportion.
    n_classes : int, default=100
    """

    def __init__(self, width: int = REFERENCE_WIDTH, n_classes: int = 100) -> None:
        super().__init__()
        last = width * 257 // 16  # 1028 at width 64
        self.convolution1 = _convolution(IMAGE_SHAPE[0], width)
        self.convolution2 = _convolution(width, 2 * width, pool=True)
        self.reslayer1 = _residual(2 * width)
        self.convolution_3 = _convolution(2 * width, 4 * width, pool=True)
        self.convolution_4 = _convolution(4 * width, 8 * width, pool=True)
        self.reslayer2 = _residual(8 * width)
        self.convolution_5 = _convolution(8 * width, last, pool=True)
        self.reslayer3 = _residual(last)
        self.classifier = nn.Sequential(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(last, n_classes))

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits.

        Parameters
        ----------
        images : Tensor of shape (n_images, 3, 32, 32), float32
            Normalised.

        Returns
        -------
        Tensor of shape (n_images, n_classes)
        """
        x = self.convolution2(self.convolution1(images))
        x = self.reslayer1(x) + x
        x = self.convolution_4(self.convolution_3(x))
        x = self.reslayer2(x) + x
        x = self.convolution_5(x)
        x = self.reslayer3(x) + x
        return self.classifier(x)


def _convolution(n_in: int, n_out: int, pool: bool = False) -> nn.Sequential:
    layers = [nn.Conv2d(n_in, n_out, 3, padding=1), nn.BatchNorm2d(n_out), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, *([nn.MaxPool2d(2)] if pool else []))


def _residual(n_channels: int) -> nn.Sequential:
    return nn.Sequential(_convolution(n_channels, n_channels), _convolution(n_channels, n_channels))


def recognise(state: Mapping[str, Any]) -> Architecture:
    """Tell from a state dict which network it belongs to.

    Parameters
    ----------
    state : mapping of str to Tensor

    Returns
    -------
    Architecture

    Raises
    ------
    CheckpointError
        If the names or shapes are those of no known network.
    """
    first, last = state.get("convolution1.0.weight"), state.get("classifier.2.weight")
    if not (isinstance(first, Tensor) and isinstance(last, Tensor) and first.ndim and last.ndim):
        raise _unknown(f"{len(state)} entries, first {next(iter(state), 'none')!r}")
    found = Architecture("reference", first.shape[0], last.shape[0])
    with torch.device("meta"):
        expected = ReferenceNetwork(found.width, found.n_classes).state_dict()
    for name, value in state.items():
        if not isinstance(value, Tensor):
            raise _unknown(f"{name!r} of type {type(value).__name__}, which is no tensor")
    for name in {**expected, **state}:
        wanted, got = _shape(expected.get(name)), _shape(state.get(name))
        if wanted != got:
            raise _unknown(f"{name!r} of shape {got} where {found} has {wanted}")
    return found


def _shape(value: Any) -> str:
    return str(tuple(value.shape)) if isinstance(value, Tensor) else "none"


def _unknown(got: str) -> CheckpointError:
    return CheckpointError(
        "A state dict must be that of a known network: the reference network (convolution1 to "
        f"convolution_5, reslayer1 to 3, classifier) of any width. Got {got} instead."
    )
