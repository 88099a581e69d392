"""The network whose sizes and activations `svmcifar tune-cnn` searches."""

from torch import Tensor, nn

from svmcifar.cnn.networks.layers import flat_size
from svmcifar.compute.image_shape import ImageShape
from svmcifar.errors import InputError

ACTIVATIONS = ("relu", "leaky_relu", "tanh")


class Tuned(nn.Module):
    """Two 3 x 3 convolutions without padding and a hidden layer: activation, then normalisation.

    Parameters
    ----------
    image_shape : ImageShape
    n_classes : int
    filters1, filters2, units : int
        Channels of the convolutions, and units of the hidden layer.
    activation2, activation3 : {"relu", "leaky_relu", "tanh"}
        Of the second convolution and of the hidden layer; the first convolution has ReLU.
    slope2, slope3 : float
        Slopes of "leaky_relu" below 0.
    dropout : float
        Of the hidden layer.
    """

    def __init__(
        self,
        image_shape: ImageShape,
        n_classes: int,
        filters1: int = 32,
        filters2: int = 64,
        units: int = 512,
        activation2: str = "relu",
        activation3: str = "relu",
        slope2: float = 0.1,
        slope3: float = 0.1,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(image_shape.channels, filters1, 3),
            nn.ReLU(),
            nn.BatchNorm2d(filters1),
            nn.MaxPool2d(2),
            nn.Conv2d(filters1, filters2, 3),
            _activation(activation2, slope2),
            nn.BatchNorm2d(filters2),
            nn.MaxPool2d(2),
            nn.Flatten(),
        )
        self.hidden = nn.Sequential(
            nn.Linear(flat_size(self.convolutions, image_shape), units),
            _activation(activation3, slope3),
            nn.BatchNorm1d(units),
            nn.Dropout(dropout),
        )
        self.classifier = nn.Linear(units, n_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits (n_images, n_classes) of normalised images."""
        return self.classifier(self.hidden(self.convolutions(images)))


def _activation(name: str, slope: float) -> nn.Module:
    if name not in ACTIVATIONS:
        raise InputError(
            f"An activation must be one of {', '.join(ACTIVATIONS)}. Got {name!r} instead."
        )
    return {"relu": nn.ReLU(), "leaky_relu": nn.LeakyReLU(slope), "tanh": nn.Tanh()}[name]
