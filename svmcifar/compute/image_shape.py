"""The shape of images that lie in rows, one colour plane after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class ImageShape(NamedTuple):
    """Channels, height and width of an image, in the order in which a row holds them."""

    channels: int
    height: int
    width: int

    @property
    def n_values(self) -> int:
        """Length of a row."""
        return self.channels * self.height * self.width

    def to_pictures(self, rows: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Copy rows (n_images, n_values) to pictures (n_images, height, width, channels).

        Examples
        --------
        >>> import numpy as np
        >>> red = np.repeat(np.array([[255, 0, 0]], dtype=np.uint8), 4, axis=1)
        >>> ImageShape(3, 2, 2).to_pictures(red)[0, 1, 0].tolist()
        [255, 0, 0]
        """
        return rows.reshape(-1, *self).transpose(0, 2, 3, 1).copy()
