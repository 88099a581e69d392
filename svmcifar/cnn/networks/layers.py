"""What the small networks have in common."""

import torch
from torch import nn

from svmcifar.compute.image_shape import ImageShape


@torch.no_grad()
def flat_size(layers: nn.Module, image_shape: ImageShape) -> int:
    """Return the number of values that layers make of an image."""
    layers.eval()
    size = layers(torch.zeros(1, *image_shape)).numel()
    layers.train()
    return size
