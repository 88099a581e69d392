"""SIMD loops over the patches of one image and their pooled responses.

A patch of d values with sum s and sum of squares q is normalised to

    (v - mean) / sqrt(variance + epsilon)  =  (d v - s) / sqrt(d q - s^2 + d^2 epsilon),

where all but the quotient and the root is exact if pixels are bytes.
"""

import numpy as np

from svmcifar.compute.jit import njit
from svmcifar.compute.llvm import fast_max


@njit(nogil=True, cache=True, error_model="numpy")
def _patch_sums(image, size, sums, square_sums):  # type: ignore[no-untyped-def]
    """Sum the values and squares of each patch into arrays of shape (n_rows, n_columns), int64.

    Box sums are separable: first along rows, then along columns.
    """
    n_channels, height = image.shape[:2]
    n_rows, n_columns = sums.shape
    row_sums = np.zeros((2, height, n_columns), dtype=np.int32)
    for k in range(n_channels):
        for y in range(height):
            for b in range(size):
                for x in range(n_columns):
                    value = np.int32(image[k, y, x + b])
                    row_sums[0, y, x] += value
                    row_sums[1, y, x] += value * value
    sums[:] = 0
    square_sums[:] = 0
    for y in range(n_rows):
        for a in range(size):
            for x in range(n_columns):
                sums[y, x] += row_sums[0, y + a, x]
                square_sums[y, x] += row_sums[1, y + a, x]


@njit(nogil=True, cache=True, error_model="numpy")
def normalised_patches(image, size, epsilon, out):  # type: ignore[no-untyped-def]
    """Write every patch of an image, of shape (n_channels, height, width), uint8, normalised.

    `out` has shape (n_channels * size * size, n_rows * n_columns), float32: a column is a patch of
    size x size pixels, by the row and column of its corner; a row a value of it, by channel, row
    and column.  `epsilon` is added to the variance; a patch without any contrast is 0 in any case.
    """
    n_channels = image.shape[0]
    n_rows, n_columns = image.shape[1] - size + 1, image.shape[2] - size + 1
    n_values = n_channels * size * size
    sums = np.empty((n_rows, n_columns), dtype=np.int64)
    square_sums = np.empty((n_rows, n_columns), dtype=np.int64)
    _patch_sums(image, size, sums, square_sums)
    totals = np.empty((n_rows, n_columns), dtype=np.float32)
    scales = np.zeros((n_rows, n_columns), dtype=np.float32)
    for y in range(n_rows):
        for x in range(n_columns):
            s = sums[y, x]
            spread = n_values * square_sums[y, x] - s * s + n_values * n_values * epsilon
            totals[y, x] = s
            if spread > 0:
                scales[y, x] = 1.0 / np.sqrt(spread)
    row = 0
    for k in range(n_channels):
        for a in range(size):
            for b in range(size):
                for y in range(n_rows):
                    start = y * n_columns
                    for x in range(n_columns):
                        value = np.float32(n_values * np.int32(image[k, y + a, x + b]))
                        out[row, start + x] = (value - totals[y, x]) * scales[y, x]
                row += 1


@njit(nogil=True, cache=True, error_model="numpy")
def normalised_real_patches(image, size, epsilon, out):  # type: ignore[no-untyped-def]
    """Write every patch of an image of floats, normalised, as `normalised_patches` does.

    Sums are in float64 and variances from differences, so that images may be far from 0.
    """
    n_channels = image.shape[0]
    n_rows, n_columns = image.shape[1] - size + 1, image.shape[2] - size + 1
    n_values = n_channels * size * size
    means = np.zeros((n_rows, n_columns))
    variances = np.zeros((n_rows, n_columns))
    for k in range(n_channels):
        for a in range(size):
            for b in range(size):
                for y in range(n_rows):
                    for x in range(n_columns):
                        means[y, x] += image[k, y + a, x + b]
    means /= n_values
    for k in range(n_channels):
        for a in range(size):
            for b in range(size):
                for y in range(n_rows):
                    for x in range(n_columns):
                        difference = image[k, y + a, x + b] - means[y, x]
                        variances[y, x] += difference * difference
    scales = np.zeros((n_rows, n_columns))
    for y in range(n_rows):
        for x in range(n_columns):
            variance = variances[y, x] / n_values + epsilon
            if variance > 0:
                scales[y, x] = 1.0 / np.sqrt(variance)
    row = 0
    for k in range(n_channels):
        for a in range(size):
            for b in range(size):
                for y in range(n_rows):
                    start = y * n_columns
                    for x in range(n_columns):
                        difference = image[k, y + a, x + b] - means[y, x]
                        out[row, start + x] = np.float32(difference * scales[y, x])
                row += 1


@njit(nogil=True, cache=True, fastmath={"nnan", "nsz", "contract"}, error_model="numpy")
def pool_rectified(responses, high, low, down, right, out):  # type: ignore[no-untyped-def]
    """Average ``max(response - high, 0)`` and ``max(low - response, 0)`` over each cell.

    Of responses of shape (n_rows * n_columns, n_filters), float32, with thresholds of shape
    (n_filters,), into `out`, of shape (pooling, pooling, 2, n_filters), float32.  The weights of
    rows in cells are `down`, of shape (pooling, n_rows), those of columns are `right`, float32.
    """
    pooling, n_columns = right.shape
    n_filters = responses.shape[1]
    row_sums = np.empty((pooling, 2, n_filters), dtype=np.float32)
    out[:] = 0
    for y in range(down.shape[1]):
        # Along a row first, so that a position is added to the few cells of its column alone.
        row_sums[:] = 0
        for x in range(n_columns):
            row = responses[y * n_columns + x]
            for j in range(pooling):
                weight = right[j, x]
                if weight != 0:
                    above, below = row_sums[j, 0], row_sums[j, 1]
                    for f in range(n_filters):
                        above[f] += weight * fast_max(row[f] - high[f], np.float32(0))
                        below[f] += weight * fast_max(low[f] - row[f], np.float32(0))
        for i in range(pooling):
            weight = down[i, y]
            if weight != 0:
                of_cells = out[i]
                for j in range(pooling):
                    for side in range(2):
                        sums, added = of_cells[j, side], row_sums[j, side]
                        for f in range(n_filters):
                            sums[f] += weight * added[f]
