"""The shape of an image."""

from typing import NamedTuple


class ImageShape(NamedTuple):
    """Shape of an image as a row has it: one plane of pixels a channel."""

    channels: int
    height: int
    width: int

    @property
    def n_values(self) -> int:
        """Values of one image."""
        return self.channels * self.height * self.width
