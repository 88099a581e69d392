"""Cholesky factors of large matrices: in place, in panels of rows, of the lower triangle alone.

LAPACK's routines hold both triangles, and those of OpenBLAS crash where a matrix has 2^31 entries.
Here a matrix is a list of panels, each of which holds the rows of the lower triangle in two arrays:
what is left of the panel's block on the diagonal, and that block.  So it takes half of the room,
and nearly all operations are matrix products of long inner dimension, by BLAS and its threads.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import get_blas_funcs, get_lapack_funcs

from svmcifar.compute.progress import stage
from svmcifar.compute.threads import single_threaded_blas
from svmcifar.errors import InputError

# Rows of a panel: enough for products at full speed, few enough that triangular solves, which are
# slower, are a small part.
PANEL = 1536

Array = NDArray[np.floating]


@dataclass(frozen=True)
class Panel:
    """Some rows of a lower triangle, C-contiguous; what is above the diagonal means nothing."""

    rows: slice
    left: Array  # (n_rows, rows.start)
    diagonal: Array  # (n_rows, n_rows)


class LowerTriangle:
    """The lower triangle of a square matrix, not initialised: a symmetric one, or its factor.

    Parameters
    ----------
    n : int
        Rows of the matrix, >= 1.
    dtype : dtype
        float32 or float64.
    block : int, default=1
        A divisor of `n`: so many rows after each other are never on two panels.

    Attributes
    ----------
    panels : list of Panel
    """

    def __init__(self, n: int, dtype: Any = np.float32, block: int = 1) -> None:
        self.n, self.dtype, self.block = n, np.dtype(dtype), block
        self.panels = [
            Panel(rows, np.empty((m, rows.start), dtype), np.empty((m, m), dtype))
            for rows in _panel_rows(n, block)
            for m in [rows.stop - rows.start]
        ]

    def diagonals(self) -> Iterator[Array]:
        """Yield views of each panel's entries on the diagonal, which can be written."""
        for panel in self.panels:
            yield np.einsum("ii->i", panel.diagonal)


def triangle_bytes(n: int, itemsize: int = 4, block: int = 1) -> int:
    """Return the size of a triangle."""
    return itemsize * sum(rows.stop * (rows.stop - rows.start) for rows in _panel_rows(n, block))


def working_bytes(n: int, n_targets: int, itemsize: int = 4, block: int = 1) -> int:
    """Return the memory that the functions here take besides their arguments and results.

    That of `solve` is for so many right-hand sides.
    """
    width = _panel_rows(n, block)[0].stop
    return itemsize * max((n + width) * width, n * n_targets)


def _panel_rows(n: int, block: int) -> list[slice]:
    """Return the rows of each panel."""
    size = max(1, PANEL // block) * block
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


def factorise(A: LowerTriangle) -> None:
    """Replace a symmetric positive definite matrix by its factor L, with ``A = L L'``.

    That takes ``n^3 / 3`` operations.  Raise InputError if the matrix is not positive definite, to
    its precision; it is lost then.
    """
    (potrf,) = get_lapack_funcs(("potrf",), dtype=A.dtype)
    with stage("factorising the matrix", len(A.panels), "panels") as under_way:
        for number, panel in enumerate(A.panels):
            for earlier in A.panels[:number]:
                block = panel.left[:, earlier.rows]
                rest = panel.left[:, : earlier.rows.start] @ earlier.left.T
                np.subtract(block, rest, out=rest)
                _solve_from_right(earlier.diagonal, rest)
                block[...] = rest
            panel.diagonal[...] -= panel.left @ panel.left.T
            # In Fortran's order it is an upper triangle.  OpenBLAS's threads wait for each other in
            # this small part, and take many times as long where other programs have the processors.
            with single_threaded_blas():
                _, failed = potrf(panel.diagonal.T, lower=0, clean=1, overwrite_a=1)
            wrong = ~np.isfinite(np.diagonal(panel.diagonal))  # which OpenBLAS does not report
            wrong[failed - 1 :] |= failed > 0
            if wrong.any():
                raise InputError(
                    f"A matrix must be positive definite and finite to be factorised. Got one of "
                    f"{A.n} rows that is not, from row {panel.rows.start + int(wrong.argmax())} "
                    f"on. Add more to its diagonal."
                )
            under_way.advance()


def solve(L: LowerTriangle, B: Array) -> None:
    """Replace B, of shape (n, n_targets), by the solution X of ``L L' X = B``, in place.

    B is C-contiguous and of the factor's dtype.
    """
    with stage("solving for coefficients", 2 * len(L.panels), "panels") as under_way:
        for panel in L.panels:
            own = B[panel.rows]
            own -= panel.left @ B[: panel.rows.start]
            _solve_triangle(panel.diagonal, own)
            under_way.advance()
        for panel in reversed(L.panels):
            own = B[panel.rows]
            _solve_triangle(panel.diagonal, own, transposed=True)
            B[: panel.rows.start] -= panel.left.T @ own
            under_way.advance()


def inverse_blocks(L: LowerTriangle) -> NDArray[np.float64]:
    """Return the blocks on the diagonal of the inverse of ``L L'``.

    The result has shape (n / block, block, block), float64, for the triangle's own size of blocks.
    It takes ``n^3 / 3`` operations.  With ``W = L^-1`` the inverse is ``W' W``, of which a panel of
    columns at a time is computed: the inner products of columns that are in one block are kept.
    """
    (trtri,) = get_lapack_funcs(("trtri",), dtype=L.dtype)
    blocks = np.zeros((L.n // L.block, L.block, L.block))
    buffer = np.empty((L.n, len(L.panels[0].diagonal)), L.dtype)
    with stage("diagonal of the inverse", len(L.panels), "panels") as under_way:
        for number, first in enumerate(L.panels):
            start, width = first.rows.start, len(first.diagonal)
            found = blocks[start // L.block : first.rows.stop // L.block]
            W = buffer[start:, :width]  # contiguous but for the last panel, which is all of it
            with single_threaded_blas():  # as in `factorise`
                W[:width] = trtri(first.diagonal.T, lower=0)[0].T
            _add_inner_products(W[:width], found)
            for panel in L.panels[number + 1 :]:
                done = panel.rows.start - start
                own = W[done : panel.rows.stop - start]
                np.matmul(panel.left[:, start:], W[:done], out=own)
                np.negative(own, out=own)
                _solve_triangle(panel.diagonal, own)
                _add_inner_products(own, found)
            under_way.advance()
    return blocks


def _add_inner_products(columns: Array, blocks: NDArray[np.float64]) -> None:
    """Add to each block the inner products of its columns with each other."""
    size = blocks.shape[1]
    for a in range(size):
        for b in range(a + 1):
            sums = np.einsum("ki,ki->i", columns[:, a::size], columns[:, b::size])
            blocks[:, a, b] += sums
            if a != b:
                blocks[:, b, a] += sums


def _solve_from_right(L: Array, B: Array) -> None:
    """Replace B by the solution X of ``X L' = B``, in place."""
    (trsm,) = get_blas_funcs(("trsm",), dtype=B.dtype)
    # In Fortran's order the arrays are L' and B'.
    trsm(1.0, L.T, B.T, side=0, lower=0, trans_a=1, overwrite_b=1)


def _solve_triangle(L: Array, B: Array, transposed: bool = False) -> None:
    """Replace B by the solution X of ``L X = B``, or of ``L' X = B``, in place."""
    (trsm,) = get_blas_funcs(("trsm",), dtype=B.dtype)
    # In Fortran's order the arrays are L' and B', and the equation ``X' L' = B'``.
    trsm(1.0, L.T, B.T, side=1, lower=0, trans_a=int(transposed), overwrite_b=1)
