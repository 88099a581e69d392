from contextlib import ExitStack

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from svmcifar.compute import threads
from svmcifar.compute.threads import count_workers, single_threaded_blas


@pytest.fixture
def calls(monkeypatch):
    """What is asked of threadpoolctl."""
    calls = []

    class FakeLimits:
        def __init__(self, limit, user_api):
            calls.append((limit, user_api))

        def restore_original_limits(self):
            calls.append("restored")

    monkeypatch.setattr(threads, "threadpool_limits", FakeLimits)
    return calls


def test_overlapping_users_do_not_undo_each_other(calls):
    """As two predictions in two threads: the first to come is the first to go."""
    first, second = ExitStack(), ExitStack()
    first.enter_context(single_threaded_blas())
    second.enter_context(single_threaded_blas())
    first.close()
    assert calls == [(1, "blas")]
    second.close()
    assert calls == [(1, "blas"), "restored"]
    with single_threaded_blas():
        assert calls[2:] == [(1, "blas")]
    assert calls[3:] == ["restored"]


def test_the_limit_is_lifted_after_an_error(calls):
    with pytest.raises(KeyError), single_threaded_blas():
        raise KeyError
    assert calls == [(1, "blas"), "restored"]


def test_blas_works_in_one_thread():
    def blas_threads():
        np.ones((2, 2)) @ np.ones((2, 2))
        return [lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"]

    before = blas_threads()
    with single_threaded_blas():
        assert set(blas_threads()) == {1}
    assert blas_threads() == before


@pytest.mark.parametrize(
    ("n_jobs", "environment", "expected"),
    [(3, "7", 3), (-1, "7", 5), (None, "7", 7), (None, "0", 1), (None, "", 5), (None, "4,2", 5)],
)
def test_workers_are_counted(monkeypatch, n_jobs, environment, expected):
    monkeypatch.setenv("OMP_NUM_THREADS", environment)
    monkeypatch.setattr(threads.joblib, "cpu_count", lambda: 5)
    monkeypatch.setattr(threads.joblib, "effective_n_jobs", lambda n: 5 if n == -1 else n)
    assert count_workers(n_jobs) == expected
