"""LIBSVM's text formats, read and used as its documentation says."""

from itertools import combinations, pairwise

import numpy as np
from sklearn.metrics.pairwise import pairwise_kernels

_KERNELS = {"polynomial": "poly"}


def read_samples(text):
    """Labels, and rows of numbered values; those that are not there are 0."""
    lines = [line.split() for line in text.splitlines()]
    rows = [{int(k): float(v) for k, v in (word.split(":") for word in line[1:])} for line in lines]
    X = np.zeros((len(rows), 1 + max(max(row, default=0) for row in rows)))
    for values, row in zip(X, rows, strict=True):
        values[list(row)] = list(row.values())
    return np.array([int(line[0]) for line in lines]), X


def read_model(text):
    """The header, coefficients (n_support_vectors, n_classes - 1), and support vectors."""
    head, _, body = text.partition("SV\n")
    header = dict(line.split(" ", 1) for line in head.splitlines())
    n = int(header["nr_class"]) - 1
    lines = body.splitlines()
    assert len(lines) == int(header["total_sv"])
    coef = np.array([[float(word) for word in line.split()[:n]] for line in lines])
    _, X = read_samples("\n".join(" ".join(["0", *line.split()[n:]]) for line in lines))
    return header, coef, X


def numbers(header, name):
    return np.array([float(word) for word in header[name].split()])


def decision_values(text, X):
    """Decision values of each pair, a positive one for its first class, and labels by votes."""
    header, coef, support = read_model(text)
    assert header["svm_type"] == "c_svc"
    kernel = header["kernel_type"]
    if kernel == "precomputed":
        K = X[:, support[:, 0].astype(int)]
    else:
        X = np.pad(X, ((0, 0), (0, support.shape[1] - X.shape[1])))
        known = {
            name: float(header[name]) for name in ("gamma", "degree", "coef0") if name in header
        }
        K = pairwise_kernels(X, support, _KERNELS.get(kernel, kernel), **known)
    edges = [0, *np.cumsum(numbers(header, "nr_sv")).astype(int)]
    of = [slice(*of_class) for of_class in pairwise(edges)]
    pairs = list(combinations(range(len(of)), 2))
    values = np.stack(
        [K[:, of[a]] @ coef[of[a], b - 1] + K[:, of[b]] @ coef[of[b], a] for a, b in pairs], axis=1
    )
    values -= numbers(header, "rho")
    votes = np.zeros((len(X), len(of)))
    for value, (a, b) in zip(values.T, pairs, strict=True):
        votes[np.arange(len(X)), np.where(value > 0, a, b)] += 1
    return values, numbers(header, "label").astype(int)[votes.argmax(axis=1)]
