"""Patch features, slow and plain; nothing here is shared with the package."""

import math

import numpy as np


def side_of(image):
    return math.isqrt(len(image) // 3)


def normalised_patch(image, y, x, size, epsilon):
    """One patch in float64, minus its mean and divided by its regularised deviation."""
    side, values = side_of(image), []
    for channel in range(3):
        for a in range(size):
            for b in range(size):
                values.append(float(image[channel * side**2 + (y + a) * side + (x + b)]))
    mean = sum(values) / len(values)
    variance = sum((value - mean) ** 2 for value in values) / len(values)
    deviation = (variance + epsilon) ** 0.5
    return np.array([(value - mean) / deviation if deviation else 0.0 for value in values])


def all_patches(image, size, epsilon):
    """Every patch of an image, by the row and column of its corner."""
    n_side = side_of(image) - size + 1
    corners = [(y, x) for y in range(n_side) for x in range(n_side)]
    return {(y, x): normalised_patch(image, y, x, size, epsilon) for y, x in corners}


def pooled_responses(image, filters, bias, size, epsilon, threshold, pooling):
    """Averages over cells, in float64, before the power; in the order of the features."""
    filters, bias = np.asarray(filters, dtype=np.float64), np.asarray(bias, dtype=np.float64)
    n_side = side_of(image) - size + 1
    sums = np.zeros((pooling, pooling, 2, len(filters)))
    counts = np.zeros((pooling, pooling, 1, 1))
    for (y, x), patch in all_patches(image, size, epsilon).items():
        i, j = y * pooling // n_side, x * pooling // n_side
        counts[i, j] += 1
        for f in range(len(filters)):
            response = filters[f] @ patch + bias[f]
            if response > threshold:
                sums[i, j, 0, f] += response - threshold
            if -response > threshold:
                sums[i, j, 1, f] += -response - threshold
    return (sums / counts).ravel()
