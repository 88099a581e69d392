import multiprocessing
import subprocess
import sys
import threading
import time
import types
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import joblib
import numpy as np
import pytest
from threadpoolctl import ThreadpoolController, threadpool_info, threadpool_limits

from svmcifar.compute import threads
from svmcifar.compute.threads import (
    count_workers,
    run_tasks,
    single_threaded_blas,
    worker_pool,
)
from svmcifar.errors import InputError


class FakeBlas:
    """A BLAS library; `is_per_thread` as MKL, which has a number for each thread."""

    def __init__(self, is_per_thread=False, n_threads=4):
        self.calls = []
        store = threading.local() if is_per_thread else types.SimpleNamespace()

        def set_(n_threads):
            self.calls.append(n_threads)
            store.n_threads = n_threads

        def get():
            return getattr(store, "n_threads", n_threads)

        self.library = threads._Blas("/lib/fake.so", "fake 1.0", get, set_, is_per_thread)

    @property
    def n_threads(self):
        return self.library.n_threads


@pytest.fixture
def use(monkeypatch):
    """Put fake libraries in the place of those of the process."""

    def use(*fakes):
        monkeypatch.setattr(threads, "_blas_libraries", lambda: [fake.library for fake in fakes])
        return fakes[0]

    return use


def real_threads():
    """Return the number of threads of each BLAS library, as threadpoolctl sees it."""
    return [lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"]


@pytest.fixture
def limit_of_others():
    """Another user of threadpoolctl, which from then on ignores all threads but this one."""
    limits = threadpool_limits(2, "blas")  # not as a context, which gives that right back
    yield
    limits.restore_original_limits()


def in_thread(work):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()


def limited_threads():
    with single_threaded_blas():
        return real_threads()


def test_overlapping_users_do_not_undo_each_other(use):
    """As two predictions in two threads: the first to come is the first to go."""
    blas, first, second = use(FakeBlas()), ExitStack(), ExitStack()
    first.enter_context(single_threaded_blas())
    second.enter_context(single_threaded_blas())
    first.close()
    assert blas.calls == [1]
    second.close()
    assert blas.calls == [1, 4]
    with single_threaded_blas():
        assert blas.calls[2:] == [1]
    assert blas.calls[3:] == [4]


def test_the_limit_is_lifted_after_an_error(use):
    blas = use(FakeBlas())
    with pytest.raises(KeyError), single_threaded_blas():
        raise KeyError
    assert blas.calls == [1, 4]


def test_a_limit_of_1_is_left_alone(use):
    blas = use(FakeBlas(n_threads=1))
    with single_threaded_blas():
        pass
    assert blas.calls == []


@pytest.mark.parametrize("run", [lambda work: work(), in_thread], ids=["main", "another thread"])
def test_blas_works_in_one_thread(run, limit_of_others):
    before = real_threads()
    assert set(before) == {2}
    assert set(run(limited_threads)) == {1}
    assert real_threads() == before


def test_the_limit_holds_within_the_limit_of_a_caller():
    with threadpool_limits(2, "blas"):
        assert set(limited_threads()) == set(in_thread(limited_threads)) == {1}
        assert set(real_threads()) == {2}


@pytest.mark.parametrize("is_per_thread", [False, True])
def test_what_others_lift_is_set_again_for_the_next_task(use, is_per_thread):
    blas = use(FakeBlas(is_per_thread))
    seen = []

    def work(number):
        seen.append(blas.n_threads)
        blas.library.set(3)  # as when code in another thread restores its own limit

    with worker_pool(1) as pool:
        run_tasks(pool, work, [(0,), (1,)], lambda _: None)
    assert seen == [1, 1]


def test_what_others_have_set_last_is_restored(use):
    blas = use(FakeBlas(n_threads=1))
    with single_threaded_blas():
        blas.library.set(6)  # another thread left its own limit of 1
        with single_threaded_blas():
            assert blas.n_threads == 1
    assert blas.n_threads == 6


def test_a_limit_that_others_have_set_meanwhile_stays(use):
    blas = use(FakeBlas())
    with single_threaded_blas():
        blas.library.set(2)
    assert blas.n_threads == 2


def test_a_library_with_a_number_for_each_thread_is_limited_in_each(use):
    blas = use(FakeBlas(is_per_thread=True))
    with worker_pool(2) as pool:
        assert blas.n_threads == 1
        assert set(pool.map(lambda _: blas.n_threads, range(8))) == {1}
        assert in_thread(lambda: blas.n_threads) == 4
    assert blas.n_threads == 4


def test_a_limit_that_does_not_hold_is_told(use):
    blas = use(FakeBlas())
    object.__setattr__(blas.library, "set", lambda n_threads: None)
    with pytest.warns(RuntimeWarning) as caught, single_threaded_blas():
        pass
    assert [str(warning.message) for warning in caught] == [
        "fake 1.0 keeps 4 threads where 1 was asked for, so the last digits of results depend on "
        "the processors; start Python with OMP_NUM_THREADS=1"
    ]
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RuntimeWarning), single_threaded_blas():
            pass
    assert threads._limit.n_users == 0


def test_libraries_are_looked_for_again_after_an_import(monkeypatch):
    looks = []

    class Controller(ThreadpoolController):
        def __init__(self):
            looks.append(1)
            super().__init__()

    monkeypatch.setattr(threads, "ThreadpoolController", Controller)
    monkeypatch.setattr(threads, "_found", (0, []))
    for _ in range(3):
        with single_threaded_blas():
            pass
    assert len(looks) == 1
    monkeypatch.setitem(sys.modules, "a_new_module", types.ModuleType("a_new_module"))
    for _ in range(3):
        with single_threaded_blas():
            pass
    assert len(looks) == 2


def test_openblas_with_openmp_has_a_number_for_each_thread():
    library = next(
        library
        for library in ThreadpoolController().lib_controllers
        if library.internal_api == "openblas"
    )
    assert not threads._Blas.of(library).is_per_thread
    library.threading_layer = "openmp"
    assert threads._Blas.of(library).is_per_thread


def _child(connection):
    connection.send((threads._limit.n_users, limited_threads()))


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
def test_a_child_that_was_forked_while_others_are_inside_begins_again(limit_of_others):
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    inside, forked = threading.Event(), threading.Event()

    def user():
        with single_threaded_blas(), threads._limit.lock:
            inside.set()
            forked.wait()

    other = threading.Thread(target=user)
    other.start()
    inside.wait()
    child = context.Process(target=_child, args=[theirs])
    child.start()
    forked.set()
    other.join()
    child.join(30)
    child.kill()
    assert child.exitcode == 0
    n_users, limited = ours.recv()
    assert n_users == 0
    assert set(limited) == {1}


@pytest.mark.parametrize(
    ("n_jobs", "environment", "expected"),
    [
        (3, "7", 3), (np.int64(3), "7", 3), (-1, "7", 5), (-2, "7", 4), (-5, "7", 1), (-9, "7", 1),
        (None, "7", 7), (None, "0", 1), (None, "", 5), (None, "4,2", 4), (None, " 3 ", 3),
        (None, "many", 5), (None, "-2", 5), (None, "2.5", 5), (None, "²", 5), (None, ",", 5),
    ],
)  # fmt: skip
def test_workers_are_counted(monkeypatch, n_jobs, environment, expected):
    monkeypatch.setenv("OMP_NUM_THREADS", environment)
    monkeypatch.setattr(threads, "_count_processors", lambda affinity: 5)
    assert count_workers(n_jobs) == expected
    assert type(count_workers(n_jobs)) is int


def test_0_workers_are_refused():
    with pytest.raises(InputError) as caught:
        count_workers(0)
    assert str(caught.value) == (
        "The 'n_jobs' parameter must be a number of threads above 0, None, or -1 for all "
        "processors (-2 for all but one). Got 0 instead."
    )


def test_processors_are_counted_as_joblib_does(monkeypatch):
    """By affinity, control group and LOKY_MAX_CPU_COUNT."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert count_workers(-1) == count_workers(None) == joblib.cpu_count()


def _count_in_daemon(n_jobs):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return multiprocessing.current_process().daemon, count_workers(n_jobs)


def test_daemonic_processes_may_start_threads(monkeypatch):
    """As those of Celery and of `multiprocessing.Pool`."""
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(_count_in_daemon, [2, 3, -1]) == [(True, 2), (True, 3), (True, 1)]


def deny_threads(monkeypatch, n_allowed):
    """Let no more threads be started, as by a limit on processes."""
    start, started = threading.Thread.start, []

    def limited_start(thread):
        if len(started) == n_allowed:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", limited_start)
    return started


@pytest.mark.parametrize("n_allowed", [0, 1, 2])
def test_work_is_done_by_the_threads_that_can_be_started(monkeypatch, n_allowed):
    started = deny_threads(monkeypatch, n_allowed)
    done = []
    with worker_pool(4) as pool:
        assert list(pool.map(lambda n: (time.sleep(0.001), n + 1)[1], range(50))) == [*range(1, 51)]
        run_tasks(pool, lambda n: n, [(n,) for n in range(50)], done.append)
    assert sorted(done) == [*range(50)]
    assert len(started) == n_allowed


def test_few_tasks_wait_in_a_pool_at_once(monkeypatch):
    monkeypatch.setattr(threads, "_MOST_QUEUED", 3)
    begun, done = [], []

    def tasks():
        for number in range(40):
            begun.append(number)
            assert len(begun) - len(done) <= 4
            yield (number,)

    with worker_pool(2) as pool:
        run_tasks(pool, lambda n: n, tasks(), done.append)
    assert sorted(done) == begun == [*range(40)]


def test_work_is_done_while_python_ends():
    """As in a function that `atexit` calls, and in finalisers."""
    code = """if True:
        import atexit
        from svmcifar.compute.threads import worker_pool

        def work():
            with worker_pool(2) as pool:
                print(sum(pool.map(abs, range(5))))

        atexit.register(work)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("10\n", "")
