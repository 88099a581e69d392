"""Patch features, slow and plain; nothing here is shared with the package."""

import math

import numpy as np


def square(image):
    side = math.isqrt(len(image) // 3)
    return 3, side, side


def normalised_patch(image, y, x, size, epsilon, shape):
    """One patch in float64, minus its mean and divided by its regularised deviation."""
    n_channels, height, width = shape
    values = []
    for channel in range(n_channels):
        for a in range(size):
            for b in range(size):
                values.append(float(image[channel * height * width + (y + a) * width + (x + b)]))
    mean = sum(values) / len(values)
    variance = sum((value - mean) ** 2 for value in values) / len(values)
    deviation = (variance + epsilon) ** 0.5
    return np.array([(value - mean) / deviation if deviation else 0.0 for value in values])


def all_patches(image, size, epsilon, shape=None):
    """Every patch of an image, by the row and column of its corner."""
    shape = shape or square(image)
    corners = [(y, x) for y in range(shape[1] - size + 1) for x in range(shape[2] - size + 1)]
    return {(y, x): normalised_patch(image, y, x, size, epsilon, shape) for y, x in corners}


def weights_of_cells(position, n_positions, n_cells, overlaps):
    """How much a position counts in each cell along a side, before averaging."""
    if not overlaps:
        return {position * n_cells // n_positions: 1.0}
    side = n_positions / n_cells
    centres = [(cell + 1) * side - side / 2 for cell in range(n_cells)]
    distances = [abs(position + 0.5 - centre) / side for centre in centres]
    return {cell: 1 - distance for cell, distance in enumerate(distances) if distance < 1}


def pooled_responses(
    image, filters, bias, size, epsilon, threshold, pooling, shape=None, overlaps=False
):
    """Averages over cells, in float64, before the power; in the order of the features."""
    filters, bias = np.asarray(filters, dtype=np.float64), np.asarray(bias, dtype=np.float64)
    shape = shape or square(image)
    n_rows, n_columns = shape[1] - size + 1, shape[2] - size + 1
    sums = np.zeros((pooling, pooling, 2, len(filters)))
    counts = np.zeros((pooling, pooling, 1, 1))
    for (y, x), patch in all_patches(image, size, epsilon, shape).items():
        responses = filters @ patch + bias
        sides = np.maximum([responses - threshold, -responses - threshold], 0)
        for i, down in weights_of_cells(y, n_rows, pooling, overlaps).items():
            for j, right in weights_of_cells(x, n_columns, pooling, overlaps).items():
                counts[i, j] += down * right
                sums[i, j] += down * right * sides
    return (sums / counts).ravel()
