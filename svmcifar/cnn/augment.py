"""Data augmentation of a batch of training images, on tensors."""

import math

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

CROP_PADDING = 4
ROTATION_DEGREES = 10.0
BRIGHTNESS = CONTRAST = SATURATION = 0.2
HUE = 0.1
# Shares of the rotation in each kind of augmentation; None changes nothing.
AUGMENTATIONS = {"standard": 1.0, "flip-shift": 0.0, "none": None}
_GRAY = (0.299, 0.587, 0.114)


def augment_batch(
    images: Tensor, generator: torch.Generator, kind: str = "standard", jitter: float = 1.0
) -> Tensor:
    """Augment each image: random shift, mirroring, rotation and colour jitter.

    From (n_images, 3, height, width), uint8, to the same shape, float32 from 0 to 1;
    the generator is on the images' device.  `kind` is a key of `AUGMENTATIONS`: "flip-shift" leaves
    out the rotation, "none" everything.  `jitter` is the share of the usual colour jitter.
    """
    pixels, rotation = images.float() / 255, AUGMENTATIONS[kind]
    if rotation is None:
        return pixels
    moved = move_pixels(pixels, generator, rotation)
    return jitter_colours(moved, generator, jitter) if jitter else moved


def move_pixels(images: Tensor, generator: torch.Generator, rotation: float = 1.0) -> Tensor:
    """Rotate, mirror (with probability 1/2) and shift images in one affine transform.

    Nearest neighbour, angles up to 10 degrees (or a share of that, `rotation`) and whole pixels up
    to 4, each way, with reflection at the borders.
    """
    n, _, height, width = images.shape
    angle = math.radians(rotation * ROTATION_DEGREES) * _symmetric(n, generator)
    mirror = 1.0 - 2.0 * _integers(2, n, generator)
    shift = _integers(2 * CROP_PADDING + 1, 2 * n, generator).reshape(n, 2) - CROP_PADDING
    # Maps coordinates of the result to those of the image, both from -1 to 1.
    cos, sin = torch.cos(angle), torch.sin(angle)
    matrix = torch.stack([mirror * cos, -mirror * sin, sin, cos], dim=1).reshape(n, 2, 2)
    offset = 2 * shift / torch.tensor([width, height], device=images.device)
    theta = torch.cat([matrix, offset[:, :, None]], dim=2)
    grid = affine_grid(theta, list(images.shape), align_corners=False)
    return grid_sample(images, grid, mode="nearest", padding_mode="reflection", align_corners=False)


def jitter_colours(images: Tensor, generator: torch.Generator, strength: float = 1.0) -> Tensor:
    """Jitter brightness, contrast, saturation and hue, in an order drawn for the batch.

    Factors are drawn for each image: from 0.8 to 1.2, and up to a tenth of the
    circle each way for the hue, or a share of these changes, `strength`.  Values are from 0 to 1.
    """
    changes = [
        lambda x, r: _blend(x, 0.0, 1 + strength * BRIGHTNESS * r),
        lambda x, r: _blend(
            x, _gray(x).mean(dim=(2, 3), keepdim=True), 1 + strength * CONTRAST * r
        ),
        lambda x, r: _blend(x, _gray(x), 1 + strength * SATURATION * r),
        lambda x, r: turn_hue(x, strength * HUE * r),
    ]
    order = torch.randperm(len(changes), generator=generator, device=generator.device)
    for k in order.tolist():
        images = changes[k](images, _symmetric(len(images), generator)[:, None, None, None])
    return images


def turn_hue(images: Tensor, turn: Tensor) -> Tensor:
    """Rotate the HSV hue of images from 0 to 1.

    `turn`, in parts of the full circle, broadcasts with (n_images, 1, height, width).
    """
    red, green, blue = images.unbind(1)
    value = images.amax(dim=1)
    chroma = value - images.amin(dim=1)
    # In sixths of the circle: red is 0, green 2, blue 4.
    sector = torch.where(
        value == red,
        green - blue,
        torch.where(value == green, blue - red, red - green),
    ) / chroma.clamp(min=1e-8)
    sector += torch.where(value == red, 0.0, torch.where(value == green, 2.0, 4.0))
    sector += 6 * turn.squeeze(1)
    places = torch.tensor([5.0, 3.0, 1.0], device=images.device)[:, None, None]
    k = torch.remainder(places + sector[:, None], 6)
    return value[:, None] - chroma[:, None] * torch.minimum(k, 4 - k).clamp(0, 1)


def _gray(images: Tensor) -> Tensor:
    weights = torch.tensor(_GRAY, device=images.device)[:, None, None]
    return (images * weights).sum(dim=1, keepdim=True)


def _blend(images: Tensor, other: Tensor | float, factor: Tensor) -> Tensor:
    return (factor * images + (1 - factor) * other).clamp(0, 1)


def _symmetric(n: int, generator: torch.Generator) -> Tensor:
    """Draw from the uniform distribution on [-1, 1)."""
    return 2 * torch.rand(n, generator=generator, device=generator.device) - 1


def _integers(high: int, n: int, generator: torch.Generator) -> Tensor:
    """Draw integers from 0 to high - 1, as float32."""
    return torch.randint(high, (n,), generator=generator, device=generator.device).float()
