"""BLAS in one thread while our own threads work, and work that ends early."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from threading import Lock
from typing import Any

import joblib
from threadpoolctl import threadpool_limits

_lock = Lock()
_users = 0
_limits: threadpool_limits | None = None


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Hold BLAS to one thread, for as long as anybody in this process asks for it.

    The limit is one for the whole process: the first to come sets it and the last to go
    lifts it, so that fits and predictions in several threads do not undo each other's.
    """
    global _users, _limits
    with _lock:
        if _users == 0:
            _limits = threadpool_limits(1, "blas")
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0 and _limits is not None:
                _limits.restore_original_limits()
                _limits = None


def run_tasks(
    pool: ThreadPoolExecutor,
    work: Callable[..., Any],
    tasks: Iterable[tuple],
    done: Callable[[Any], None],
) -> None:
    """Work through tasks in a pool; an error or an interrupt leaves out those not begun.

    Parameters
    ----------
    pool : ThreadPoolExecutor
    work : callable
        Called with each task's values.
    tasks : iterable of tuple
    done : callable
        Called with each result as it comes, in this thread.
    """
    futures: list[Future[Any]] = [pool.submit(work, *task) for task in tasks]
    try:
        for future in as_completed(futures):
            done(future.result())
    except BaseException:
        for future in futures:
            future.cancel()
        raise


def count_workers(n_jobs: int | None) -> int:
    """Count the threads to work with.

    Parameters
    ----------
    n_jobs : int or None
        As in joblib; None for OMP_NUM_THREADS, or all processors where that
        is not set.

    Returns
    -------
    int
        At least 1.
    """
    if n_jobs is not None:
        return int(joblib.effective_n_jobs(n_jobs))
    configured = os.environ.get("OMP_NUM_THREADS", "")
    return max(int(configured), 1) if configured.isdigit() else int(joblib.cpu_count())
