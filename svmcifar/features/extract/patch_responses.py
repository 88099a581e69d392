"""Pooled responses of filters to all patches: a CPU path in numba, a GPU path by the array API."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from svmcifar.compute.arrays import get_namespace, move_beside
from svmcifar.compute.image_shape import ImageShape
from svmcifar.compute.threads import worker_pool
from svmcifar.features.extract.image_rows import batches
from svmcifar.features.extract.patch_kernels import (
    normalised_patches,
    normalised_real_patches,
    pool_rectified,
)

# The responses of this many filters to one image are one matrix product, pooled while they are in
# the processor cache.  Fixed, so that rounding does not depend on the number of workers.
_TILE_FILTERS = 256
# Images of one task on the host: enough to hide the cost of starting it.
_TASK_IMAGES = 32
# Images of one step on a device: 0.6 GB of patches of 6 x 6 and their responses.
_DEVICE_BATCH_IMAGES = 256

Array = NDArray[Any]


@dataclass(frozen=True)
class PatchFilters:
    """Filters, on the host or on a device, and the parameters of rectification and pooling.

    See `svmcifar.features.extract.patches.PatchFeatures`.
    """

    filters: Any  # of shape (n_filters, n_channels * size * size), float32
    bias: Any  # of shape (n_filters,), float32
    shape: ImageShape
    size: int  # rows and columns of a patch
    contrast_epsilon: float
    threshold: float
    pooling: int
    power: float
    overlaps: bool

    @property
    def n_positions(self) -> tuple[int, int]:
        """Rows and columns of the positions of a patch on the image."""
        return self.shape.height - self.size + 1, self.shape.width - self.size + 1

    @property
    def n_features(self) -> int:
        """Number of features of an image."""
        return 2 * self.filters.shape[0] * self.pooling**2

    def weights(self) -> list[NDArray[np.float32]]:
        """Return the weights of rows, and of columns, of positions in each cell.

        Of shape (pooling, n_rows) and (pooling, n_columns); those of a cell add up to 1.
        """
        of_cells = _overlapping if self.overlaps else _apart
        weights = [of_cells(n, self.pooling) for n in self.n_positions]
        return [(w / w.sum(axis=1, keepdims=True)).astype(np.float32) for w in weights]

    def bounds(self) -> tuple[Any, Any]:
        """Return the thresholds of each filter's products, high and low, minus the bias."""
        return self.threshold - self.bias, -self.threshold - self.bias

    def tiles(self) -> Iterator[slice]:
        """Yield slices of the filters."""
        return batches(self.filters.shape[0], _TILE_FILTERS)


def _apart(n_positions: int, n_cells: int) -> Array:
    """Return 1 for the positions of each cell, as evenly as may be, and 0 for the others."""
    edges = -(-np.arange(n_cells + 1) * n_positions // n_cells)
    positions = np.arange(n_positions)
    return 1.0 * ((positions >= edges[:-1, None]) & (positions < edges[1:, None]))


def _overlapping(n_positions: int, n_cells: int) -> Array:
    """Return weights that fall linearly from a cell's centre to those of its neighbours."""
    centres = np.arange(n_cells) + 0.5
    places = (np.arange(n_positions) + 0.5) * (n_cells / n_positions)
    return np.maximum(1.0 - np.abs(places - centres[:, None]), 0.0)


def host_features(images: Array, model: PatchFilters, out: Array, n_workers: int) -> None:
    """Write features of images, (n_images, n_pixels), to `out`, on the host in threads."""
    run_tasks(len(images), lambda rows: write_features(images[rows], model, out[rows]), n_workers)


def run_tasks(n_images: int, task: Callable[[slice], None], n_workers: int) -> None:
    """Run a task on a few images at a time, in threads of which each has one of BLAS."""
    with worker_pool(n_workers) as pool:
        try:
            for _ in pool.map(task, batches(n_images, _TASK_IMAGES)):
                pass
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def write_features(images: Array, model: PatchFilters, out: Array) -> None:
    """Write the features of a few images, one after the other, in the calling thread."""
    n_positions, n_filters = math.prod(model.n_positions), model.filters.shape[0]
    patches = np.empty((model.filters.shape[1], n_positions), dtype=np.float32)
    buffer = np.empty(n_positions * min(_TILE_FILTERS, n_filters), dtype=np.float32)
    high, low = model.bounds()
    down, right = model.weights()
    normalised = normalised_patches if images.dtype == np.uint8 else normalised_real_patches
    for image, features in zip(images.reshape(-1, *model.shape), out, strict=True):
        normalised(image, model.size, model.contrast_epsilon, patches)
        cells = features.reshape(model.pooling, model.pooling, 2, n_filters)
        for tile in model.tiles():
            n_tile = tile.stop - tile.start
            responses = buffer[: n_positions * n_tile].reshape(n_positions, n_tile)
            np.matmul(patches.T, model.filters[tile].T, out=responses)
            pooled = np.empty((model.pooling, model.pooling, 2, n_tile), dtype=np.float32)
            pool_rectified(responses, high[tile], low[tile], down, right, pooled)
            pooled **= model.power
            cells[..., tile] = pooled


def device_features(images: Any, model: PatchFilters, out: Any) -> None:
    """Write features of images to `out`, all on one device, by the array API."""
    for rows in batches(images.shape[0], _DEVICE_BATCH_IMAGES):
        out[rows, :] = batch_features(images[rows, :], model)


def batch_features(images: Any, model: PatchFilters) -> Any:
    """Compute the features of a batch by the array API, (n_images, n_features), float32."""
    xp = get_namespace(images, model.filters)
    high, low = model.bounds()
    patches = _device_patches(images, model)
    parts = [
        _device_pooled(patches @ model.filters[tile, :].T, high[tile], low[tile], model)
        for tile in model.tiles()
    ]
    pooled = xp.concat(parts, axis=2)
    return xp.reshape(pooled**model.power, (-1, model.n_features))


def _device_patches(images: Any, model: PatchFilters) -> Any:
    """Return every patch of images, normalised as in `normalised_patches`.

    Of shape (n_images, n_rows, n_columns, n_values), float32.
    """
    xp = get_namespace(images)
    size, n_values = model.size, model.filters.shape[1]
    n_rows, n_columns = model.n_positions
    if images.dtype == xp.uint8:
        pixels = xp.astype(images, xp.int64)
    else:  # sums of squares cancel, unless the pixels are near 0
        pixels = xp.astype(images, xp.float64)
        pixels = pixels - xp.mean(pixels, axis=1, keepdims=True)
    planes = xp.reshape(pixels, (-1, *model.shape))
    windows = [
        planes[:, :, a : a + n_rows, b : b + n_columns] for a in range(size) for b in range(size)
    ]
    values = xp.reshape(xp.stack(windows, axis=2), (-1, n_values, n_rows, n_columns))
    values = xp.permute_dims(values, (0, 2, 3, 1))
    sums = xp.sum(values, axis=3, keepdims=True)
    spread = n_values * xp.sum(values * values, axis=3, keepdims=True) - sums * sums
    variances = xp.astype(spread, xp.float64) + n_values**2 * model.contrast_epsilon
    has_contrast = variances > 0
    scales = xp.astype(has_contrast, xp.float64) / xp.sqrt(xp.where(has_contrast, variances, 1.0))
    return xp.astype(n_values * values - sums, xp.float32) * xp.astype(scales, xp.float32)


def _device_pooled(responses: Any, high: Any, low: Any, model: PatchFilters) -> Any:
    """Average as in `pool_rectified`; of shape (n_images, pooling * pooling * 2, n_filters)."""
    xp = get_namespace(responses)
    above = xp.maximum(responses - high, xp.zeros_like(high))
    below = xp.maximum(low - responses, xp.zeros_like(low))
    down, right = (move_beside(weights, responses) for weights in model.weights())
    (n_rows, n_columns), n_filters = model.n_positions, high.shape[0]
    sides = []
    for side in (above, below):
        rows = down @ xp.reshape(side, (-1, n_rows, n_columns * n_filters))
        sides.append(right @ xp.reshape(rows, (-1, model.pooling, n_columns, n_filters)))
    return xp.reshape(xp.stack(sides, axis=3), (-1, 2 * model.pooling**2, n_filters))
