"""Fit one problem in every kind of thread and process, and print the hashes as JSON, a line each.

Run as a script: processes that are spawned import it again.
"""

import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import joblib
import numpy as np
from threadpoolctl import threadpool_limits

from svmcifar import RBFSVC
from svmcifar.io.content_hash import content_hash


def fit(_=None, n_jobs=None):
    """Return the hashes of models and decision values: of both dtypes, and with probabilities."""
    rng = np.random.default_rng(0)
    y = np.arange(600) % 10
    X = rng.normal(size=(600, 1000)) + 0.3 * y[:, None]
    calibrated = RBFSVC(C=3, n_jobs=n_jobs, probability=True)
    return [
        hash_of_fit(RBFSVC(C=3, n_jobs=n_jobs), X.astype("f4"), y),
        hash_of_fit(RBFSVC(C=3, n_jobs=n_jobs), X, y),
        hash_of_fit(calibrated, X[:200].astype("f4"), y[:200]),
    ]


def hash_of_fit(model, X, y):
    return content_hash(model.fit(X, y), model.decision_function(X[:64]))


def fit_in_pool():
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(fit).result()


def results():
    """Yield what was done and the hashes of one fit, or of several."""
    with threadpool_limits(2, "blas"):
        yield "within another's limit", fit()
        yield "thread, within another's limit", fit_in_pool()
    limits = threadpool_limits(2, "blas")  # from now on threadpoolctl ignores other threads
    yield "main thread", fit()
    yield "thread", fit_in_pool()
    limits.restore_original_limits()
    for n_jobs in (1, 2, 3, -1):
        yield f"{n_jobs} workers", fit(n_jobs=n_jobs)
    with ThreadPoolExecutor(6) as pool:
        yield "six at once", *pool.map(fit, range(6))
    for backend in ("threading", "loky", "multiprocessing"):
        parallel = joblib.Parallel(2, backend=backend)
        yield f"joblib's {backend}", *parallel(joblib.delayed(fit)() for _ in range(2))
    for method in sorted({"fork", "spawn"} & set(multiprocessing.get_all_start_methods())):
        with ProcessPoolExecutor(1, multiprocessing.get_context(method)) as pool:
            yield method, pool.submit(fit).result()


if __name__ == "__main__":
    for result in results():
        print(json.dumps(result), flush=True)
