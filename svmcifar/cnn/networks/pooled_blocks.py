"""Networks of blocks that each halve the image: SimpleCNN, and the one of five blocks."""

from torch import Tensor, nn

from svmcifar.cnn.networks.layers import flat_size
from svmcifar.compute.image_shape import ImageShape

_UNITS = 512


class PooledBlocks(nn.Module):
    """Blocks of a padded 3 x 3 convolution, batch normalisation, ReLU and max-pool.

    A hidden layer of 512 units with ReLU follows.

    Parameters
    ----------
    image_shape : ImageShape
    n_classes : int
    channels : tuple of int
        Of each block.
    """

    def __init__(self, image_shape: ImageShape, n_classes: int, channels: tuple[int, ...]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        n_in = image_shape.channels
        for n_out in channels:
            layers += [
                nn.Conv2d(n_in, n_out, 3, padding=1), nn.BatchNorm2d(n_out), nn.ReLU(),
                nn.MaxPool2d(2),
            ]  # fmt: skip
            n_in = n_out
        self.blocks = nn.Sequential(*layers, nn.Flatten())
        self.hidden = nn.Sequential(
            nn.Linear(flat_size(self.blocks, image_shape), _UNITS), nn.ReLU()
        )
        self.classifier = nn.Linear(_UNITS, n_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits (n_images, n_classes) of normalised images."""
        return self.classifier(self.hidden(self.blocks(images)))


class SimpleCNN(PooledBlocks):
    """Four blocks: 32, 64, 128 and 256 channels."""

    def __init__(self, image_shape: ImageShape, n_classes: int) -> None:
        super().__init__(image_shape, n_classes, (32, 64, 128, 256))


class FiveBlocks(PooledBlocks):
    """Five blocks: 64, 128, 256, 512 and 512 channels."""

    def __init__(self, image_shape: ImageShape, n_classes: int) -> None:
        super().__init__(image_shape, n_classes, (64, 128, 256, 512, 512))
