"""Decision values of all pairs at once, from support vectors that the pairs share.

The kernel between a batch and the support vectors is computed once, in blocks, by matrix products.
Each block is multiplied with the coefficients of its classes and added to the decision values of
their pairs.  On the host threads share the blocks; on a device a block is the kernel between a
batch that fits its memory and one class.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import gen_batches

from svmcifar.compute.arrays import free_gpu_bytes, get_dtype, get_namespace, is_host, move_beside
from svmcifar.compute.threads import worker_pool
from svmcifar.svm.kernels.blocks import BLOCK, Array, compute_kernel, kernel_block
from svmcifar.svm.kernels.kernel import Kernel
from svmcifar.svm.one_vs_one import add_to_pairs, pair_arrays
from svmcifar.svm.samples import SampleBlocks, sample_blocks

# Share of a device's free memory that a batch may take.
_SHARE = 0.8
# Decision values of a batch on the host: larger arrays are returned to the system each time.
_DECISION_BYTES = 32 * 2**20
# Largest batch on a device: more samples make its matrix products no faster.
_MOST_ROWS = 8192

FloatArray = NDArray[np.float64]


class _Sent(NamedTuple):
    """What predictions on a device need of a model there, besides its support vectors."""

    coef: list[Any]  # of each class, (n_support_vectors, n_classes - 1)
    intercept: Any
    of_first: Any  # column of each pair's first class among those of all classes
    of_second: Any
    center: Any | None


@dataclass(frozen=True)
class OvOModel:
    """A one-vs-one model for prediction; `support` lies where samples do, the rest on the host.

    A model whose support vectors lie on a device sends the rest there once.

    Coefficients ``y_i alpha_i`` are in LIBSVM's layout (see `svmcifar.svm.one_vs_one`).
    """

    support: SampleBlocks  # sorted by class
    n_support: NDArray[np.integer]  # support vectors of each class
    coef: FloatArray  # (n_classes - 1, n_support_vectors)
    intercept: FloatArray  # (n_pairs,)
    kernel: Kernel
    center: Array | None  # (n_features,), subtracted from samples before distances are taken

    @cached_property
    def parts(self) -> list[slice]:
        """The support vectors of each class."""
        ends = np.cumsum(self.n_support)
        return [slice(int(end - n), int(end)) for end, n in zip(ends, self.n_support, strict=True)]

    @cached_property
    def sent(self) -> _Sent:
        """The rest, on the device of the support vectors."""
        X, n_classes = self.support.X, len(self.n_support)
        dtype = get_dtype(X)
        # A class has a column for each of the others: row r of its coefficients.
        a, b = pair_arrays(n_classes)
        return _Sent(
            [move_beside(self.coef[:, part].T.astype(dtype), X) for part in self.parts],
            move_beside(self.intercept, X),
            move_beside(a * (n_classes - 1) + b - 1, X),
            move_beside(b * (n_classes - 1) + a, X),
            None if self.center is None else move_beside(self.center, X),
        )


def pair_decisions(
    model: OvOModel, X: Any, n_workers: int, memory_limit_bytes: int | None = None
) -> Iterator[Any]:
    """Yield the decision values of every pair, (n_batch, n_pairs) float64, batch by batch.

    X, (n_samples, n_features), has the dtype of the support vectors and lies where they do (raise
    InputError if not), and so do the decision values; a positive one votes for the pair's first
    class.  `n_workers` are threads on the host; the memory limit is on a batch on a device, by
    default four fifths of its free memory.
    """
    get_namespace(X, model.support.X)
    if is_host(X):
        return _host_decisions(model, X, n_workers)
    limit = int(_SHARE * free_gpu_bytes())
    return _device_decisions(model, X, min(limit, memory_limit_bytes or limit))


def _host_decisions(model: OvOModel, X: Array, n_workers: int) -> Iterator[FloatArray]:
    n_classes = len(model.n_support)
    coef = model.coef.astype(X.dtype, copy=False).T
    n_rows = int(np.clip(_DECISION_BYTES // (8 * len(model.intercept)), 1, BLOCK))
    batches = [slice(i, min(i + n_rows, len(X))) for i in range(0, len(X), n_rows)]
    chunks = _chunks(model.n_support)

    def work(rows: slice, parts: list[tuple[int, slice]]) -> Array:
        samples = sample_blocks(X[rows], model.center)
        first = parts[0][1].start
        support = model.support[slice(first, parts[-1][1].stop)]
        K = np.empty((len(samples), len(support)), dtype=X.dtype)
        compute_kernel(model.kernel, samples, support, out=K)
        values = np.empty((len(parts), len(samples), n_classes - 1), dtype=X.dtype)
        for product, (_, of) in zip(values, parts, strict=True):
            np.matmul(K[:, of.start - first : of.stop - first], coef[of], out=product)
        return values

    n_operations = len(X) * len(model.support) * (X.shape[1] + n_classes)
    with worker_pool(n_workers, n_operations) as pool:
        # One batch ahead keeps the workers busy and limits the results that wait.
        submitted = ([pool.submit(work, rows, parts) for parts in chunks] for rows in batches)
        try:
            upcoming = next(submitted)
            for rows in batches:
                futures, upcoming = upcoming, next(submitted, [])
                decisions = np.empty((rows.stop - rows.start, len(model.intercept)))
                decisions[:] = model.intercept  # np.tile takes four times as long
                for parts, future in zip(chunks, futures, strict=True):
                    classes = np.array([c for c, _ in parts])
                    add_to_pairs(future.result(), classes, n_classes, decisions)
                del futures
                yield decisions
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _device_decisions(model: OvOModel, X: Any, limit_bytes: int) -> Iterator[Any]:
    xp, dtype = get_namespace(X), get_dtype(X)
    n_rows = max(1, min(_MOST_ROWS, limit_bytes // _row_bytes(model, X.shape[1], dtype.itemsize)))
    coef, intercept, of_first, of_second, center = model.sent
    for rows in gen_batches(X.shape[0], n_rows):
        samples = sample_blocks(X[rows, :], center)
        parts = [
            kernel_block(model.kernel, samples, model.support[part]) @ coef_of_class
            for part, coef_of_class in zip(model.parts, coef, strict=True)
        ]
        values = xp.concat(parts, axis=1)
        del parts
        decisions = xp.astype(xp.take(values, of_first, axis=1), xp.float64)
        decisions += xp.astype(xp.take(values, of_second, axis=1), xp.float64)
        decisions += intercept[None, :]
        del values  # votes need the room
        yield decisions


def _row_bytes(model: OvOModel, n_features: int, itemsize: int) -> int:
    """Return an upper bound of the bytes that a sample of a batch takes on a device."""
    n_classes = len(model.n_support)
    centred = 2 * n_features * 8  # the squares behind its norm are float64
    block = (2 + model.kernel.n_products) * int(model.n_support.max()) * itemsize
    values = 3 * n_classes * (n_classes - 1) * itemsize
    return centred + block + values + 2 * len(model.intercept) * 8


def _chunks(n_support: NDArray[np.integer]) -> list[list[tuple[int, slice]]]:
    """Cut the support vectors into chunks of at most BLOCK: lists of (class, its slice in it)."""
    ends = np.cumsum(n_support)
    chunks = []
    for start in range(0, int(ends[-1]), BLOCK):
        stop = min(start + BLOCK, int(ends[-1]))
        parts = [
            (c, slice(max(start, int(end - n)), min(stop, int(end))))
            for c, (end, n) in enumerate(zip(ends, n_support, strict=True))
            if end > start and end - n < stop and n > 0
        ]
        chunks.append(parts)
    return chunks
