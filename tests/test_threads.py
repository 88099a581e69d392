from threading import Barrier, Thread

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

from svmcifar.threads import single_threaded_blas


def blas_threads():
    np.ones((2, 2)) @ np.ones((2, 2))
    return {lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"}


def test_overlapping_users_do_not_undo_each_other():
    """The first to come goes first: its leaving must neither lift nor keep the limit."""
    seen, both_in, first_out = [], Barrier(2, timeout=30), Barrier(2, timeout=30)

    def first():
        with single_threaded_blas():
            both_in.wait()
        first_out.wait()

    def second():
        with single_threaded_blas():
            both_in.wait()
            first_out.wait()
            seen.append(blas_threads())

    with threadpool_limits(2, "blas"):
        before = blas_threads()
        threads = [Thread(target=first), Thread(target=second)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert seen == [{1}]
        assert blas_threads() == before


def test_the_limit_is_lifted_after_an_error():
    with threadpool_limits(2, "blas"):
        before = blas_threads()
        try:
            with single_threaded_blas():
                assert blas_threads() == {1}
                raise KeyError
        except KeyError:
            pass
        assert blas_threads() == before
