"""Images made worse: noise, blur, less contrast, a shift, each at five strengths."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from svmcifar.compute.image_shape import ImageShape

Images = NDArray[np.uint8]
Pixels = NDArray[np.float32]

_SEED = 0
# Those of Gaussian noise, Gaussian blur and contrast are CIFAR-100-C's; it has no shift.
STRENGTHS: dict[str, tuple[float, ...]] = {
    "noise": (0.04, 0.06, 0.08, 0.09, 0.10),  # standard deviation, where white is 1
    "blur": (0.4, 0.6, 0.7, 0.8, 1.0),  # standard deviation in pixels
    "contrast": (0.75, 0.5, 0.4, 0.3, 0.15),  # factor of the distance from the mean colour
    "shift": (1, 2, 3, 4, 5),  # pixels
}


def corrupt(images: Images, shape: ImageShape, name: str) -> Iterator[Images]:
    """Yield images made worse at each of the strengths `STRENGTHS` of `name`, the same every time.

    Images are channel-first rows, uint8 (n_images, n_values).  Noise is drawn for each value, the
    direction of a shift (up, down, left or right) for each image; what a shift brings in from
    outside is the image's reflection.

    References
    ----------
    D. Hendrycks and T. Dietterich, "Benchmarking neural network robustness to common corruptions
    and perturbations", ICLR 2019.
    """
    pictures = images.reshape(-1, *shape)
    for strength in STRENGTHS[name]:
        pixels = _CORRUPTIONS[name](pictures.astype(np.float32) / np.float32(255), strength)
        yield np.round(np.clip(pixels, 0, 1) * 255).astype(np.uint8).reshape(images.shape)


def _add_noise(pixels: Pixels, strength: float) -> Pixels:
    noise = np.random.default_rng(_SEED).standard_normal(pixels.shape, dtype=np.float32)
    return pixels + np.float32(strength) * noise


def _blur(pixels: Pixels, strength: float) -> Pixels:
    result: Pixels = gaussian_filter(pixels, (0, 0, strength, strength), mode="nearest")
    return result


def _lower_contrast(pixels: Pixels, strength: float) -> Pixels:
    mean = pixels.mean(axis=(2, 3), keepdims=True)
    return mean + np.float32(strength) * (pixels - mean)


def _shift(pixels: Pixels, strength: float) -> Pixels:
    by = int(strength)
    padded = np.pad(pixels, ((0, 0), (0, 0), (by, by), (by, by)), mode="symmetric")
    height, width = pixels.shape[2:]
    directions = np.random.default_rng(_SEED).integers(4, size=len(pixels))
    shifted = np.empty_like(pixels)
    for number, (top, left) in enumerate(((0, by), (2 * by, by), (by, 0), (by, 2 * by))):
        chosen = directions == number
        shifted[chosen] = padded[chosen, :, top : top + height, left : left + width]
    return shifted


_CORRUPTIONS: dict[str, Callable[[Pixels, float], Pixels]] = {
    "noise": _add_noise,
    "blur": _blur,
    "contrast": _lower_contrast,
    "shift": _shift,
}
