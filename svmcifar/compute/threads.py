"""Threads: BLAS single-threaded inside our own, task queues that can be interrupted, and counts."""

import ctypes
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import islice
from math import inf
from queue import SimpleQueue
from threading import RLock
from typing import Any

import joblib
from threadpoolctl import LibController, ThreadpoolController

from svmcifar.errors import InputError

# Names of OpenBLAS's functions are decorated in some builds, such as NumPy's own.
_OPENBLAS_NAMES = [
    f"{prefix}openblas_%s_num_threads{suffix}"
    for prefix in ("", "scipy_")
    for suffix in ("", "64_", "_64")
]


@dataclass(frozen=True)
class _Blas:
    """A BLAS library in this process, and the functions of its number of threads."""

    path: str
    name: str
    get: Callable[[], int | None]
    set: Callable[[int], Any]
    is_per_thread: bool  # whether each thread that calls it has a number of its own

    @classmethod
    def of(cls, library: LibController) -> "_Blas":
        """Take a library as threadpoolctl has found it."""
        get, set_, is_per_thread = library.get_num_threads, library.set_num_threads, True
        if library.internal_api == "openblas" and library.threading_layer != "openmp":
            # OpenBLAS has one number for the whole process. threadpoolctl lets a single thread
            # change it and tells the others nothing, so its functions are called here. They keep
            # the GIL: no thread can fork while another is inside them with a lock of OpenBLAS.
            dynlib = ctypes.PyDLL(library.filepath, handle=library.dynlib._handle)
            name = next(name for name in _OPENBLAS_NAMES if hasattr(dynlib, name % "get"))
            get, set_ = (getattr(dynlib, name % verb) for verb in ("get", "set"))
            is_per_thread = False
        name = f"{library.internal_api} {library.version}"
        return cls(library.filepath, name, get, set_, is_per_thread)

    @property
    def n_threads(self) -> int:
        """Number of threads, 1 where the library does not tell."""
        return self.get() or 1


_found: tuple[int, list[_Blas]] = (0, [])


def _blas_libraries() -> list[_Blas]:
    """Return the BLAS libraries of this process; look again only after something was imported."""
    global _found
    n_modules = len(sys.modules)
    if _found[0] != n_modules:
        libraries = ThreadpoolController().select(user_api="blas").lib_controllers
        _found = n_modules, [_Blas.of(library) for library in libraries]
    return _found[1]


class _Limit:
    """The limit of this process to one BLAS thread: who is inside, and what was before."""

    def __init__(self) -> None:
        # Of a kind that a signal's handler may enter again, in the thread that it interrupted.
        self.lock = RLock()
        self.n_users = 0
        self.before: dict[str, tuple[_Blas, int]] = {}

    def enter(self) -> list[tuple[_Blas, int]]:
        """Count a user and set the limit; return what the caller's thread alone had before."""
        with self.lock:
            self.n_users += 1
            return self.hold()

    def hold(self) -> list[tuple[_Blas, int]]:
        """Set the limit where it is not set, as others may have lifted it; return as `enter`."""
        own = []
        with self.lock:
            for library in _blas_libraries():
                n_threads = library.n_threads
                if n_threads == 1:
                    continue
                if library.is_per_thread:
                    own.append((library, n_threads))
                else:
                    self.before[library.path] = library, n_threads
                library.set(1)
        return own

    def leave(self, own: list[tuple[_Blas, int]]) -> None:
        """Restore what the caller's thread had, and after the last user what the process had."""
        with self.lock:
            self.n_users = max(self.n_users - 1, 0)  # 0 in a child that was forked inside
            if self.n_users == 0:
                of_process, self.before = self.before, {}
                own = [*own, *of_process.values()]
            for library, n_threads in own:
                if library.n_threads == 1:  # else others have set it meanwhile
                    library.set(n_threads)

    def forget_other_threads(self) -> None:
        """Begin again in a forked child; its first user restores what the parent had."""
        self.lock = RLock()
        self.n_users = 0


_limit = _Limit()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_limit.forget_other_threads)


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Limit BLAS to one thread while any thread of this process is inside.

    OpenBLAS has one number of threads for the whole process: the first user sets it and the last
    one lifts it, so that fits and predictions in several threads do not undo each other's.  Where
    each thread has its own, as in MKL, it is that of the caller; see `worker_pool`.
    """
    own = _limit.enter()
    try:
        for library in _blas_libraries():
            if library.n_threads != 1:
                warnings.warn(
                    f"{library.name} keeps {library.n_threads} threads where 1 was asked for, so "
                    f"the last digits of results depend on the processors; start Python with "
                    f"OMP_NUM_THREADS=1",
                    RuntimeWarning,
                    stacklevel=3,
                )
        yield
    finally:
        _limit.leave(own)


# Multiplications that take less time than to start a thread.
_FEW_OPERATIONS = 2**21
# Tasks that are in a pool at once: each takes two kilobytes, and there may be 499,500.
_MOST_QUEUED = 256


class _Threads(ThreadPoolExecutor):
    """Threads, as many of them as can be started."""

    def _adjust_thread_count(self) -> None:
        """Start a thread for the task that has been queued, or leave it to those that there are."""
        try:
            super()._adjust_thread_count()
        except RuntimeError:
            if not self._threads:
                raise


class _CallingThread(Executor):
    """Runs each task when it is submitted."""

    def submit(self, work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        """Run a task; its error is told by the result."""
        future: Future[Any] = Future()
        try:
            future.set_result(work(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


@contextmanager
def worker_pool(n_workers: int, n_operations: float = inf) -> Iterator[Executor]:
    """Open a pool of threads in which, as in the caller's, BLAS has one thread.

    It is the calling thread alone if there are few operations to share, in multiplications.
    """
    with single_threaded_blas():
        if n_operations <= _FEW_OPERATIONS:
            yield _CallingThread()
        else:
            with _open_pool(n_workers) as pool:
                yield pool


def _open_pool(n_workers: int) -> Executor:
    """Start a thread; where none can be started, the calling one does the work.

    So it is at a limit on processes (``ulimit -u``, a container's pids), and when Python ends.
    """
    pool = _Threads(n_workers, initializer=hold_blas_limit)
    try:
        pool.submit(int)
    except RuntimeError:
        return _CallingThread()
    return pool


def hold_blas_limit() -> None:
    """Set the limit of `single_threaded_blas` again, in a worker's thread, or where it was lifted.

    So that code of others that restores its own limit in another thread disturbs one task at most.
    """
    _limit.hold()


def run_tasks(
    pool: Executor,
    work: Callable[..., Any],
    tasks: Iterable[tuple],
    done: Callable[[Any], None],
) -> None:
    """Call ``work(*task)`` in a pool, and ``done(result)`` in this thread as each one ends.

    BLAS is held to one thread in each.  An error or an interrupt cancels the tasks that have not
    begun.
    """

    def limited_work(*task: Any) -> Any:
        hold_blas_limit()
        return work(*task)

    waiting = iter(tasks)
    futures: set[Future[Any]] = set()
    finished: SimpleQueue[Future[Any]] = SimpleQueue()

    def submit(n_tasks: int) -> None:
        for task in islice(waiting, n_tasks):
            future = pool.submit(limited_work, *task)
            futures.add(future)
            future.add_done_callback(finished.put)

    try:
        submit(_MOST_QUEUED)
        while futures:
            future = finished.get()
            futures.remove(future)
            submit(1)
            done(future.result())
    except BaseException:
        for future in futures:
            future.cancel()
        raise


def count_workers(n_jobs: int | None) -> int:
    """Return the number of threads for `n_jobs`, at least 1.

    `n_jobs` is as in joblib; None means OMP_NUM_THREADS, or all processors if that is not set.
    Raise InputError if it is 0.
    """
    if n_jobs == 0:
        raise InputError(
            "The 'n_jobs' parameter must be a number of threads above 0, None, or -1 for all "
            "processors (-2 for all but one). Got 0 instead."
        )
    if n_jobs is None:
        # OpenMP takes a list for nested loops: the first is that of the outermost.
        configured = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
        n_jobs = max(int(configured), 1) if configured.isdecimal() else -1
    # Not joblib's effective_n_jobs, which counts processes: a daemonic one may start threads.
    return int(n_jobs) if n_jobs > 0 else max(_count_processors(_affinity()) + 1 + n_jobs, 1)


def _affinity() -> frozenset[int]:
    """Return the processors that this process may run on, where the system tells."""
    return frozenset(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else ())


@cache
def _count_processors(affinity: frozenset[int]) -> int:
    """Count processors once for each affinity: joblib reads several files for that."""
    return int(joblib.cpu_count())
