"""Threads: BLAS single-threaded inside our own, task queues that can be interrupted, and counts."""

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
    """Limit BLAS to one thread while any thread of this process is inside.

    The limit is global to the process: the first user sets it and the last one lifts it, so that
    fits and predictions in several threads do not undo each other's.
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
    """Call ``work(*task)`` in a pool, and ``done(result)`` in this thread as each one ends.

    An error or an interrupt cancels the tasks that have not begun.
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
    """Return the number of threads for `n_jobs`, at least 1.

    `n_jobs` is as in joblib; None means OMP_NUM_THREADS, or all processors if that is not set.
    """
    if n_jobs is not None:
        return int(joblib.effective_n_jobs(n_jobs))
    configured = os.environ.get("OMP_NUM_THREADS", "")
    return max(int(configured), 1) if configured.isdigit() else int(joblib.cpu_count())
