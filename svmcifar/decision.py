"""Decision values of all pairs at once, from support vectors that the pairs share.

The kernel between a batch and the support vectors is computed once, in blocks, by matrix
products; each block is multiplied with the coefficients of the classes in it and added to
the decision values of their pairs.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from svmcifar.kernel import BLOCK, Array, SampleBlocks, rbf_kernel, sample_blocks
from svmcifar.ovo import pair_numbers
from svmcifar.threads import single_threaded_blas

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class OvOModel:
    """A one-vs-one model as prediction needs it.

    Attributes
    ----------
    support : SampleBlocks
        Support vectors, sorted by class.
    n_support : ndarray of shape (n_classes,), int
        Support vectors of each class.
    coef : ndarray of shape (n_classes - 1, n_support_vectors), float64
        ``y_i alpha_i`` in LIBSVM's layout (see `svmcifar.ovo`).
    intercept : ndarray of shape (n_pairs,), float64
    gamma : float
    center : ndarray of shape (n_features,) or None
        Subtracted from samples before distances are taken.
    """

    support: SampleBlocks
    n_support: NDArray[np.integer]
    coef: FloatArray
    intercept: FloatArray
    gamma: float
    center: Array | None


def pair_decisions(model: OvOModel, X: Array, n_workers: int) -> Iterator[FloatArray]:
    """Compute the decision values of every pair, a batch of samples at a time.

    Parameters
    ----------
    model : OvOModel
    X : ndarray of shape (n_samples, n_features)
        In the dtype of the support vectors.
    n_workers : int
        Threads to work with.

    Yields
    ------
    decisions : ndarray of shape (n_batch, n_pairs), float64
        Positive for a vote for the pair's first class.
    """
    numbers = pair_numbers(len(model.n_support))
    batches = [slice(i, min(i + BLOCK, len(X))) for i in range(0, len(X), BLOCK)]
    chunks = _chunks(model.n_support)

    def work(rows: slice, parts: list[tuple[int, slice]]) -> list[Array]:
        samples = sample_blocks(X[rows], model.center)
        support = model.support[slice(parts[0][1].start, parts[-1][1].stop)]
        K = np.empty((len(samples), len(support)), dtype=X.dtype)
        rbf_kernel(samples, support, model.gamma, out=K)
        products: list[Array] = []
        offset = parts[0][1].start
        for _, run in parts:
            coef = model.coef[:, run].T.astype(X.dtype, copy=False)
            products.append(K[:, run.start - offset : run.stop - offset] @ coef)
        return products

    with single_threaded_blas(), ThreadPoolExecutor(n_workers) as pool:
        # One batch ahead: enough to keep the workers busy, and no more results than that wait.
        submitted = ([pool.submit(work, rows, parts) for parts in chunks] for rows in batches)
        try:
            upcoming = next(submitted)
            for rows in batches:
                futures, upcoming = upcoming, next(submitted, [])
                decisions = np.tile(model.intercept, (rows.stop - rows.start, 1))
                for parts, future in zip(chunks, futures, strict=True):
                    for (c, _), product in zip(parts, future.result(), strict=True):
                        decisions[:, numbers[c]] += product
                del futures
                yield decisions
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _chunks(n_support: NDArray[np.integer]) -> list[list[tuple[int, slice]]]:
    """Cut the support vectors into runs of at most BLOCK, and each run into its classes.

    Returns
    -------
    list of list of (int, slice)
        For each run the classes in it, each with the support vectors that it has there.
    """
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
