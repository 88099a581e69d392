"""The refinement of the weak baseline: three convolutions with pre-activation."""

from torch import Tensor, nn

from svmcifar.cnn.networks.layers import flat_size
from svmcifar.compute.image_shape import ImageShape

_UNITS = 512
# Channels, side of the kernel and dropout of each block.
_BLOCKS = ((32, 5, 0.2), (64, 3, 0.3), (128, 3, 0.4))


class Refined(nn.Module):
    """Three blocks: batch normalisation and ReLU, then a padded convolution, max-pool and dropout.

    The first convolution is 5 x 5, the others are 3 x 3; a hidden layer of 512 units follows.  ReLU
    before the first convolution drops what is darker than the mean of its colour.
    """

    def __init__(self, image_shape: ImageShape, n_classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        n_in = image_shape.channels
        for n_out, side, dropout in _BLOCKS:
            layers += [
                nn.BatchNorm2d(n_in), nn.ReLU(), nn.Conv2d(n_in, n_out, side, padding=side // 2),
                nn.MaxPool2d(2), nn.Dropout(dropout),
            ]  # fmt: skip
            n_in = n_out
        self.blocks = nn.Sequential(*layers, nn.Flatten())
        n_flat = flat_size(self.blocks, image_shape)
        self.hidden = nn.Sequential(nn.Linear(n_flat, _UNITS), nn.ReLU(), nn.Dropout(0.5))
        self.classifier = nn.Linear(_UNITS, n_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits (n_images, n_classes) of normalised images."""
        return self.classifier(self.hidden(self.blocks(images)))
