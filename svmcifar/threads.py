"""BLAS in one thread while our own threads work."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

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
