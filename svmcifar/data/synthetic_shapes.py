"""What the synthetic data set shows: 20 shape families, each in 5 of 10 finishes.

A shape is a function of two coordinates, an approximate signed distance to its outline, negative
inside; it fills roughly the square from -1 to 1.  A finish is a function of the same coordinates,
and of that distance: the opacity of the accent colour over the body colour.

Only ``+ - * /``, square roots, comparisons and rounding are used: IEEE 754 rounds them exactly, so
that every machine draws the same bytes.
"""

from collections.abc import Callable
from functools import reduce
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SIDE_PX = 32

N_DICE = 96
"""Uniform random numbers for the layout and the colours of one image."""

N_WORDS = N_DICE + 3 * SIDE_PX * SIDE_PX // 8
"""Random 64-bit words for one image: its uniform numbers, then a byte of noise per value."""

Plane = NDArray[np.floating]
"""One float32 per pixel of a batch of images, shape (n_images, 32, 32)."""


def _both(*shapes: Plane) -> Plane:
    """Return the intersection of shapes."""
    return reduce(np.maximum, shapes)


def _either(*shapes: Plane) -> Plane:
    """Return the union of shapes."""
    return reduce(np.minimum, shapes)


def _disc(u: Plane, v: Plane, x: float = 0.0, y: float = 0.0, radius: float = 0.95) -> Plane:
    return np.sqrt((u - x) * (u - x) + (v - y) * (v - y)) - radius


def _box(u: Plane, v: Plane, x: float, y: float, half_width: float, half_height: float) -> Plane:
    return _both(abs(u - x) - half_width, abs(v - y) - half_height)


def _heart(u: Plane, v: Plane) -> Plane:
    lobes = _disc(abs(u), v, 0.45, -0.35, 0.5)
    return _either(lobes, _both(abs(u) * 0.75 + v * 0.66 - 0.6, -0.1 - v))


def _star(u: Plane, v: Plane) -> Plane:
    # A pentagram is the set of points outside at most one of five half-planes.
    worst = second = np.full_like(u, -2.0)
    for x, y in ((0, 1), (0.951, 0.309), (0.588, -0.809), (-0.588, -0.809), (-0.951, 0.309)):
        side = u * x + v * y - 0.38
        second = np.maximum(second, np.minimum(worst, side))
        worst = np.maximum(worst, side)
    return second


def _arrow(u: Plane, v: Plane) -> Plane:
    head = _both(abs(u) * 0.707 - v * 0.707 - 0.707, v + 0.15)
    return _either(head, _box(u, v, 0, 0.4, 0.28, 0.6))


_SHAPES: dict[str, Callable[[Plane, Plane], Plane]] = {
    "arrow": _arrow,
    "bar_pair": lambda u, v: _box(abs(u), v, 0.55, 0, 0.27, 1),
    "bow_tie": lambda u, v: _both(abs(v) - 0.95, abs(u) * 0.78 - abs(v) * 0.62 - 0.06),
    "chevron": lambda u, v: _both(abs(v - abs(u) + 0.4) * 0.707 - 0.3, abs(u) - 1),
    "clover": lambda u, v: _disc(abs(u), abs(v), 0.45, 0.45, 0.46),
    "corner": lambda u, v: _either(_box(u, v, -0.55, 0, 0.35, 0.95), _box(u, v, 0, 0.6, 0.9, 0.35)),
    "crescent": lambda u, v: _both(_disc(u, v, radius=1.0), -_disc(u, v, 0.5, 0, 0.8)),
    "disc": _disc,
    "dome": lambda u, v: _both(_disc(u, v, 0, 0.45, 1.1), v - 0.45),
    "dumbbell": lambda u, v: _either(_disc(abs(u), v, 0.62, 0, 0.42), _box(u, v, 0, 0, 0.6, 0.17)),
    "heart": _heart,
    "hexagon": lambda u, v: _both(abs(u) - 0.85, abs(u) * 0.5 + abs(v) * 0.866 - 0.85),
    "lozenge": lambda u, v: abs(u) * 0.84 + abs(v) * 0.54 - 0.56,
    "plus_sign": lambda u, v: _either(_box(u, v, 0, 0, 1, 0.33), _box(u, v, 0, 0, 0.33, 1)),
    "ring": lambda u, v: abs(_disc(u, v, radius=0.75)) - 0.25,
    "square": lambda u, v: _box(u, v, 0, 0, 0.85, 0.85),
    "star": _star,
    "tee": lambda u, v: _either(_box(u, v, 0, -0.6, 0.95, 0.32), _box(u, v, 0, 0.2, 0.3, 0.8)),
    "triangle": lambda u, v: _both(v - 0.8, abs(u) * 0.875 - v * 0.484 - 0.5),
    "zigzag": lambda u, v: _either(
        _box(u, v, -0.35, -0.6, 0.6, 0.28),
        _box(u, v, 0, 0, 0.25, 0.85),
        _box(u, v, 0.35, 0.6, 0.6, 0.28),
    ),
}


def _alternate(x: Plane) -> NDArray[np.bool_]:
    """Return a square wave of period one."""
    return x - np.floor(x) < 0.5


def _dots(u: Plane, v: Plane) -> NDArray[np.bool_]:
    return _disc(u - np.floor(u), v - np.floor(v), 0.5, 0.5, 0.3) < 0


class Finish(NamedTuple):
    """How a shape is painted: the opacity of its accent, and the usual accent colour."""

    accent: Callable[[Plane, Plane, Plane], NDArray]
    colour: int


FINISHES: dict[str, Finish] = {
    "banded": Finish(lambda u, v, depth: _alternate(v * 1.6 + 0.25), 0xF5F0E0),
    "checked": Finish(lambda u, v, depth: _alternate(u * 1.3) == _alternate(v * 1.3), 0x202428),
    "dotted": Finish(lambda u, v, depth: _dots(u * 1.5, v * 1.5), 0xF2D22E),
    "halved": Finish(lambda u, v, depth: u > 0, 0x3C8CE0),
    "quartered": Finish(lambda u, v, depth: (u > 0) == (v > 0), 0xE86A9C),
    "rimmed": Finish(lambda u, v, depth: depth > -0.16, 0x202428),
    "shaded": Finish(lambda u, v, depth: np.clip(v * 0.5 + 0.5, 0, 1), 0x101828),
    "solid": Finish(lambda u, v, depth: np.zeros_like(u), 0x000000),
    "striped": Finish(lambda u, v, depth: _alternate(u * 1.6 + 0.25), 0xF5F0E0),
    "targeted": Finish(lambda u, v, depth: _alternate(_disc(u, v) * 1.8), 0xD83A2C),
}
"""The ten finishes by name; colours are 0xRRGGBB."""


class Family(NamedTuple):
    """A superclass: the usual colours of its shape, five of the ten finishes."""

    body: int
    backdrop: int
    finishes: str


FAMILIES: dict[str, Family] = {
    "arrow": Family(0xC8503C, 0x8AA6C8, "banded checked halved shaded solid"),
    "bar_pair": Family(0x6C6CA8, 0x6C8468, "banded dotted halved quartered striped"),
    "bow_tie": Family(0x8A5A34, 0xA8C0B0, "banded halved quartered shaded striped"),
    "chevron": Family(0x7C4AA0, 0xB8B090, "checked dotted quartered solid striped"),
    "clover": Family(0x4C9A3C, 0x6E8A5A, "checked halved rimmed solid targeted"),
    "corner": Family(0xB08040, 0x7E7E86, "dotted halved quartered rimmed targeted"),
    "crescent": Family(0xE0C858, 0x34406A, "banded dotted quartered shaded solid"),
    "disc": Family(0xD88838, 0x88B4D8, "banded halved rimmed shaded solid"),
    "dome": Family(0x9AA8B0, 0xC8A878, "checked halved quartered rimmed striped"),
    "dumbbell": Family(0x505860, 0xB0A8A0, "checked quartered shaded solid striped"),
    "heart": Family(0xC83858, 0xD0B0B8, "dotted rimmed shaded solid targeted"),
    "hexagon": Family(0xD0A830, 0x5A6A40, "dotted quartered rimmed striped targeted"),
    "lozenge": Family(0x3CA0A8, 0x906878, "banded halved rimmed shaded targeted"),
    "plus_sign": Family(0xC83C3C, 0xC8D0D0, "checked rimmed solid striped targeted"),
    "ring": Family(0x3C6CC0, 0x9A9468, "banded checked shaded solid striped"),
    "square": Family(0x9C5C4C, 0x7894A8, "banded dotted quartered shaded targeted"),
    "star": Family(0xE8D860, 0x2C3858, "checked dotted quartered striped targeted"),
    "tee": Family(0x48785C, 0xC0B4A0, "banded checked halved rimmed striped"),
    "triangle": Family(0x3C9078, 0xC8A070, "banded dotted halved rimmed targeted"),
    "zigzag": Family(0xB04890, 0x50787C, "checked dotted shaded solid targeted"),
}
"""The 20 families by the name of their shape (of `_SHAPES`); colours are 0xRRGGBB."""


class _Dice:
    """Random numbers for a batch of images, consumed one per image at a time."""

    def __init__(self, words: NDArray[np.uint64]) -> None:
        # 53 bits make a uniform float64 without rounding, as in numpy.random.
        self._uniform = ((words >> np.uint64(11)) * 2.0**-53).astype(np.float32)
        self._n_used = 0

    def roll(self, low: float, high: float) -> Plane:
        """Return one number in [low, high] per image, shape (n_images, 1, 1)."""
        column = self._uniform[:, self._n_used, None, None]
        self._n_used += 1
        return column * (high - low) + low

    def colour(self, usual: int, spread: float) -> Plane:
        """Return a colour near the usual one per image, shape (n_images, 3, 1, 1)."""
        brighter = self.roll(-0.6 * spread, 0.6 * spread)
        channels = [usual >> 16, usual >> 8 & 255, usual & 255]
        tints = [self.roll(-0.7 * spread, 0.7 * spread) + channel for channel in channels]
        return np.stack([tint + brighter for tint in tints], axis=1)


def _paint(image: Plane, cover: Plane, colour: Plane) -> None:
    """Alpha-blend a colour into the images; ``cover`` (0 to 1) is its opacity."""
    image += cover[:, None] * (colour - image)


def _edge(depth: Plane, unit: Plane) -> Plane:
    """Return the coverage (0 to 1) of pixels from their distance to an outline, in units."""
    return np.clip(0.5 - depth * (unit * (SIDE_PX / 2)), 0, 1)


def _paint_clutter(
    image: Plane, x: Plane, y: Plane, dice: _Dice, reach: float, low: float, high: float
) -> None:
    """Paint one translucent ellipse or rectangle of any colour on each image."""
    half_width, half_height = dice.roll(low, high), dice.roll(low, high)
    u = (x - dice.roll(-reach, reach)) / half_width
    v = (y - dice.roll(-reach, reach)) / half_height
    depth = np.where(dice.roll(0, 1) < 0.5, _box(u, v, 0, 0, 1, 1), _disc(u, v, radius=1))
    cover = _edge(depth, np.minimum(half_width, half_height)) * dice.roll(0.4, 1)
    _paint(image, cover, dice.colour(0x808080, 110))


def draw_images(shape: str, finish: str, words: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Draw an image per row of random words, shape (n_images, N_WORDS), uint64.

    Return red, green and blue planes, shape (n_images, 3, 32, 32), uint8.
    """
    family, style = FAMILIES[shape], FINISHES[finish]
    dice = _Dice(words[:, :N_DICE])
    axis = (np.arange(SIDE_PX, dtype=np.float32) * 2 + 1) / SIDE_PX - 1
    x, y = axis[None, None, :], axis[None, :, None]

    here, there = dice.colour(family.backdrop, 110), dice.colour(family.backdrop, 110)
    slope = np.clip(x * dice.roll(-0.6, 0.6) + y * dice.roll(-0.6, 0.6) + 0.5, 0, 1)
    image = here + slope[:, None] * (there - here)
    for _ in range(4):
        _paint_clutter(image, x, y, dice, reach=1.0, low=0.1, high=0.4)

    # (1 - t^2, 2 t) / (1 + t^2) are the cosine and sine of a turn, here up to 44 degrees.
    t = dice.roll(-0.4, 0.4)
    cosine, sine = (1 - t * t) / (1 + t * t), 2 * t / (1 + t * t)
    size, stretch, flip = dice.roll(0.5, 0.8), dice.roll(0.85, 1.18), dice.roll(-1, 1)
    right, down = x - dice.roll(-0.35, 0.35), y - dice.roll(-0.35, 0.35)
    u = (cosine * right + sine * down) / (size / stretch)
    v = (cosine * down - sine * right) / (size * stretch)
    u = np.where(flip < 0, -u, u)

    depth = _SHAPES[shape](u, v)
    accent = style.accent(u, v, depth).astype(np.float32)[:, None]
    body, other = dice.colour(family.body, 60), dice.colour(style.colour, 40)
    light = 1 + right * dice.roll(-0.35, 0.35) + down * dice.roll(-0.35, 0.35)
    _paint(image, _edge(depth, size), (body + accent * (other - body)) * light[:, None])
    _paint_clutter(image, x, y, dice, reach=0.7, low=0.08, high=0.2)

    grain = np.ascontiguousarray(words[:, N_DICE:]).astype("<u8").view(np.uint8)
    noise = grain.reshape(image.shape).astype(np.float32) - 127.5
    image *= dice.roll(0.7, 1.3)[:, None]
    image += noise * (dice.roll(0.2, 1) * 0.19)[:, None]
    return np.clip(image + 0.5, 0, 255).astype(np.uint8)
