"""Cholesky factors in panels: against NumPy in float64."""

import tracemalloc

import numpy as np
import pytest

from svmcifar.compute import cholesky, progress
from svmcifar.compute.cholesky import (
    LowerTriangle,
    factorise,
    inverse_blocks,
    solve,
    triangle_bytes,
    working_bytes,
)
from svmcifar.errors import InputError

DTYPES = {np.float32: 1e-4, np.float64: 1e-11}  # and errors relative to the largest value


def matrix(n, seed=0):
    """A positive definite matrix, of eigenvalues from 0.1 to some 10."""
    X = np.random.default_rng(seed).normal(size=(n, 8))
    distances = ((X[:, None] - X) ** 2).sum(axis=2)
    return np.exp(-distances / 8) + 0.1 * np.eye(n)


def triangle(M, dtype, block=1):
    """The panels of a matrix, with nonsense above the diagonal."""
    A = LowerTriangle(len(M), dtype, block)
    for panel in A.panels:
        panel.left[...] = M[panel.rows, : panel.rows.start]
        above = np.triu(np.full(panel.diagonal.shape, 77.0), k=1)
        panel.diagonal[...] = np.tril(M[panel.rows, panel.rows]) + above
    return A


def dense(L):
    """The factor of panels as one array."""
    whole = np.zeros((L.n, L.n))
    for panel in L.panels:
        whole[panel.rows, : panel.rows.start] = panel.left
        whole[panel.rows, panel.rows] = np.tril(panel.diagonal)
    return whole


def assert_near(found, expected, dtype):
    atol = DTYPES[dtype] * np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=0, atol=atol)


@pytest.fixture(params=[1536, 40, 17, 1], ids=lambda size: f"panels of {size}")
def _panels(monkeypatch, request):
    monkeypatch.setattr(cholesky, "PANEL", request.param)


@pytest.mark.usefixtures("_panels")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 2, 40, 83])
def test_equals_numpy(n, dtype):
    M = matrix(n)
    A = triangle(M, dtype)
    factorise(A)
    assert_near(dense(A), np.linalg.cholesky(M), dtype)
    B = np.random.default_rng(1).normal(size=(n, 5)).astype(dtype)
    X = B.copy()
    solve(A, X)
    assert_near(X, np.linalg.solve(M, B), dtype)
    before = dense(A)
    blocks = inverse_blocks(A)
    np.testing.assert_array_equal(dense(A), before)
    assert blocks.shape == (n, 1, 1)
    assert blocks.dtype == np.float64
    assert_near(blocks[:, 0, 0], np.diag(np.linalg.inv(M)), dtype)


@pytest.mark.usefixtures("_panels")
@pytest.mark.parametrize("block", [2, 3, 4])
def test_blocks_of_the_inverse(block):
    M = matrix(12 * block)
    A = triangle(M, np.float64, block)
    assert all(panel.rows.start % block == 0 for panel in A.panels)
    factorise(A)
    inverse = np.linalg.inv(M)
    rows = np.arange(len(M)).reshape(-1, block)
    expected = inverse[rows[:, :, None], rows[:, None, :]]
    assert_near(inverse_blocks(A), expected, np.float64)


def test_entries_on_the_diagonal_can_be_written(monkeypatch):
    monkeypatch.setattr(cholesky, "PANEL", 3)
    A = triangle(np.zeros((8, 8)), np.float64)
    for number, diagonal in enumerate(A.diagonals()):
        diagonal += number + 1
    np.testing.assert_array_equal(dense(A), np.diag([1.0, 1, 1, 2, 2, 2, 3, 3]))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("place", [0, 6, 7, 22])
@pytest.mark.parametrize("value", [-1.0, 0.0, np.nan, np.inf])
def test_refuses_what_is_not_positive_definite(monkeypatch, place, value, dtype):
    monkeypatch.setattr(cholesky, "PANEL", 7)
    M = matrix(23)
    M[place, place] = value
    expected = rf"must be positive definite.*Got one of 23 rows .*from row {place} on\. Add more"
    with pytest.raises(InputError, match=expected) as caught:
        factorise(triangle(M, dtype))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("n", "n_targets", "block"), [(700, 3, 1), (700, 600, 4), (90, 2, 3)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_needs_no_more_memory_than_it_says(monkeypatch, n, n_targets, block, dtype):
    monkeypatch.setattr(cholesky, "PANEL", 100)
    M, B = matrix(n), np.ones((n, n_targets), dtype)
    triangle(M[:1, :1], dtype)  # what is imported and compiled at first
    itemsize = np.dtype(dtype).itemsize
    needed = triangle_bytes(n, itemsize, block) + working_bytes(n, n_targets, itemsize, block)
    tracemalloc.start()
    try:
        A = LowerTriangle(n, dtype, block)
        for panel in A.panels:
            panel.left[...] = M[panel.rows, : panel.rows.start]
            panel.diagonal[...] = M[panel.rows, panel.rows]
        factorise(A)
        solve(A, B)
        found = inverse_blocks(A).nbytes
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak <= needed + found + 40_000
    assert needed <= 1.2 * peak


def test_takes_half_of_the_matrix(monkeypatch):
    monkeypatch.setattr(cholesky, "PANEL", 10)
    held = sum(p.left.nbytes + p.diagonal.nbytes for p in LowerTriangle(1000).panels)
    assert held == triangle_bytes(1000) == 4 * (1000 * 1000 + 10 * 1000) / 2


def test_counts_what_is_done(monkeypatch):
    monkeypatch.setattr(cholesky, "PANEL", 10)
    seen = []

    class Counted(progress.Stage):
        def __init__(self, *args):
            super().__init__(*args)
            seen.append(self)

    monkeypatch.setattr(progress, "Stage", Counted)
    A = triangle(matrix(35), np.float32)
    factorise(A)
    solve(A, np.ones((35, 2), np.float32))
    inverse_blocks(A)
    assert [(stage.done, stage.total) for stage in seen] == [(4, 4), (8, 8), (4, 4)]
