"""Predictions of held-out samples by every point of a search.

The inner products between a batch and each class are computed once and turned into the kernel of
each gamma; one matrix product yields the decision values of every C.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from svmcifar.compute.threads import run_tasks, worker_pool
from svmcifar.svm.backends.memory_plan import Plan
from svmcifar.svm.backends.smo_numba import INTERCEPT
from svmcifar.svm.one_vs_one import write_winners_of_parts
from svmcifar.svm.path.memory_plan import scoring_bytes
from svmcifar.svm.path.problem import SearchProblem
from svmcifar.svm.path.products import extend_products
from svmcifar.svm.samples import first_columns, sample_blocks

# Most samples of a batch: more make matrix products no faster, and leave fewer batches to share.
_MOST_ROWS = 512

Array = NDArray[Any]


def predict_points(problem: SearchProblem, plan: Plan, X: Array, n_views: int = 1) -> Array:
    """Predict the classes of samples by each point of a solved problem, (n_points, n_samples).

    Use the workers of `plan`, and no more memory than it.  `n_views` successive rows of X show the
    same sample; the pairs' decision values are averaged over them before they vote.
    """
    n_samples = len(X) // n_views
    n_rows = _batch_samples(problem, scoring_bytes(problem, plan) // n_views)
    n_points = sum(len(path.points) for path in problem.paths)
    winners = np.empty((n_points, n_samples), dtype=np.intp)

    def work(start: int) -> None:
        stop = min(start + n_rows, n_samples)
        batch = X[start * n_views : stop * n_views, : problem.paths[-1].n_features]
        values = _class_values(problem, batch.astype(problem.dtype, copy=False))
        m = len(problem.sizes) - 1
        for path, of_path in zip(problem.paths, values, strict=True):
            for place, point in enumerate(path.points):
                part = of_path[:, :, place * m : (place + 1) * m]
                intercept = path.stats[place, :, INTERCEPT]
                write_winners_of_parts(part, intercept, n_views, winners[point, start:stop])

    batches = [(start,) for start in range(0, n_samples, n_rows)]
    with worker_pool(plan.n_workers) as pool:
        run_tasks(pool, work, batches, lambda _: None)
    return problem.classes[winners]


def _batch_samples(problem: SearchProblem, limit_bytes: int) -> int:
    """Return the number of samples whose decision values, products and kernel values fit."""
    n_classes, itemsize = len(problem.sizes), problem.dtype.itemsize
    n_points = sum(len(path.points) for path in problem.paths)
    row_bytes = itemsize * (n_points * n_classes * (n_classes - 1) + 3 * max(problem.sizes))
    return int(np.clip(limit_bytes // row_bytes, 1, _MOST_ROWS))


def _class_values(problem: SearchProblem, X: Array) -> list[Array]:
    """Compute what the samples of each class add to the decision values of its pairs.

    Return an array (n_rows, n_classes, n_C * (n_classes - 1)) for each path.
    """
    widest = problem.paths[-1].problem
    batch = sample_blocks(X, problem.center)
    batches = first_columns(batch, sorted({path.n_features for path in problem.paths}))
    n_classes = widest.n_classes
    values = [
        np.empty((len(X), n_classes, len(path.points) * (n_classes - 1)), dtype=X.dtype)
        for path in problem.paths
    ]
    for c in range(n_classes):
        rows = widest.rows(c)
        support = widest.samples[rows].X
        products = np.empty((len(X), len(support)), dtype=X.dtype)
        K = np.empty_like(products)
        done = 0
        for path, of_path in zip(problem.paths, values, strict=True):
            width = path.n_features
            if width > done:
                extend_products(widest.kernel, batch.X, support, slice(done, width), products)
                done = width
            norms = batches[width].sq_norms, path.samples.sq_norms[rows]
            path.problem.kernel.write(products, *norms, K)
            coef = path.coef.reshape(-1, path.coef.shape[2])[:, rows]
            np.matmul(K, coef.T, out=of_path[:, c, :])
    return values
