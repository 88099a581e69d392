"""The weak baseline: two convolutions."""

from torch import Tensor, nn

from svmcifar.cnn.networks.layers import flat_size
from svmcifar.compute.image_shape import ImageShape

_UNITS = 512


class WeakBaseline(nn.Module):
    """Two 3 x 3 convolutions without padding, and a hidden layer of 512 units.

    Each has batch normalisation and ReLU; a max-pool follows each convolution, and dropout the
    hidden layer.
    """

    def __init__(self, image_shape: ImageShape, n_classes: int, dropout: float = 0.5) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(image_shape.channels, 32, 3), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        )  # fmt: skip
        self.hidden = nn.Sequential(
            nn.Linear(flat_size(self.convolutions, image_shape), _UNITS),
            nn.BatchNorm1d(_UNITS), nn.ReLU(), nn.Dropout(dropout),
        )  # fmt: skip
        self.classifier = nn.Linear(_UNITS, n_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits (n_images, n_classes) of normalised images."""
        return self.classifier(self.hidden(self.convolutions(images)))
