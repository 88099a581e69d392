from contextlib import ExitStack

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from svmcifar.compute import threads
from svmcifar.compute.threads import single_threaded_blas


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
