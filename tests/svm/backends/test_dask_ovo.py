"""The backend "dask" on clusters of processes: the model of "numba", to the bit, whatever dies."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import dask
import numpy as np
import pytest
from distributed import Client, LocalCluster

from svmcifar import SVC
from svmcifar.errors import BackendUnavailableError, InputError
from svmcifar.io.content_hash import content_hash
from svmcifar.svm.backends import dask_ovo, memory_plan

SIZES = [40, 31, 55, 28, 60, 33, 41, 47, 25, 38]


@pytest.fixture(scope="module")
def client():
    # One death is enough for a task to fail, which this backend has to mend.
    settings = {"distributed.scheduler.allowed-failures": 0, "distributed.admin.log-length": 0}
    with (
        dask.config.set(settings),
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        yield client


@pytest.fixture
def few_rows(monkeypatch):
    """Groups of two or three small classes: some fifteen tiles."""
    monkeypatch.setattr(memory_plan, "BLOCK", 100)


def make_samples(dtype=np.float32, sizes=SIZES, d=5):
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(len(sizes)), sizes)
    X = rng.normal(size=(len(sizes), d))[y] + rng.normal(size=(len(y), d))
    order = rng.permutation(len(y))
    return X[order].astype(dtype), y[order]


def fit(backend, samples=None, **parameters):
    X, y = samples or make_samples()
    n_odd = parameters.pop("n_odd", 0)
    return SVC(backend=backend, n_jobs=1, **parameters).fit(X, y, n_odd=n_odd)


@contextmanager
def on_parts(monkeypatch, act):
    """Call ``act(number)`` when the client has been given the solution of a part."""
    seen = []
    keep = dask_ovo.keep_solution

    def spy(*args):
        keep(*args)
        seen.append(args[1])
        act(len(seen))

    with monkeypatch.context() as patch:
        patch.setattr(dask_ovo, "keep_solution", spy)
        yield seen


@pytest.mark.usefixtures("client", "few_rows")
@pytest.mark.parametrize(
    ("dtype", "parameters"),
    [
        (np.float32, {"C": 3.0}),
        (np.float32, {"C": 3.0, "n_odd": 2}),
        (np.float64, {"kernel": "poly", "degree": 2, "class_weight": "balanced"}),
        (np.float32, {"gamma": 2.0, "C": 1e5, "tol": 1e-4}),  # doubtful pairs, solved on
        (np.float32, {"kernel": "laplacian", "max_iter": 9}),
    ],
    ids=["rbf", "mirror images", "poly", "doubtful", "unconverged"],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_model_is_that_of_numba(dtype, parameters):
    samples = make_samples(dtype)
    model = fit("dask", samples, **parameters)
    assert model.backend_ == "numba"
    assert "tiles between 5 groups of classes" in model.memory_plan_
    assert content_hash(model) == content_hash(fit("numba", samples, **parameters))


@pytest.mark.usefixtures("client")
def test_pairs_on_rows_made_on_demand(monkeypatch):
    monkeypatch.setattr(memory_plan, "_MANY_SAMPLES", 50)
    model = fit("dask")
    assert "17 pairs on kernel rows made on demand" in model.memory_plan_
    assert content_hash(model) == content_hash(fit("numba"))


def killing(victim):
    """Return a `solve_parts` that kills the first worker to come to a part, and marks that it did.

    It is pickled by value, since workers do not know this file.
    """

    def solve_or_die(folder, parts):
        from svmcifar.svm.backends.dask_ovo import solve_parts

        mark = Path(folder) / "killed"
        if victim in [part.name for part in parts] and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return solve_parts(folder, parts)

    return solve_or_die


@pytest.mark.usefixtures("few_rows", "client")
def test_a_worker_is_killed(monkeypatch, tmp_path):
    with (
        dask.config.set({"svmcifar.folder": str(tmp_path)}),
        monkeypatch.context() as patch,
        on_parts(monkeypatch, lambda number: None) as seen,
    ):
        patch.setattr(dask_ovo, "solve_parts", killing("tile-1-2"))
        model = fit("dask")
    assert list(tmp_path.glob("*/killed"))
    assert len(seen) == len(set(seen)) == 15
    assert content_hash(model) == content_hash(fit("numba"))


@pytest.mark.usefixtures("few_rows", "client")
def test_a_part_that_kills_workers_is_given_up(monkeypatch):
    monkeypatch.setattr(dask_ovo, "_MOST_TRIES", 1)
    monkeypatch.setattr(dask_ovo, "solve_parts", killing("tile-1-2"))
    with pytest.raises(BackendUnavailableError, match="until they have solved a part of a fit"):
        fit("dask")


@contextmanager
def cluster_of_its_own(path):
    """Start a scheduler and a worker, both without a nanny; yield the scheduler's process."""
    module = "from distributed.cli.dask_{0} import main; main()"
    arguments = ["--scheduler-file", str(path), "--dashboard-address", ":0"]
    more = {"scheduler": ["--port", "0"], "worker": ["--nthreads", "1", "--no-nanny"]}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", module.format(name), *arguments, *options],
            stderr=subprocess.DEVNULL,
        )
        for name, options in more.items()
    ]
    try:
        yield started[0]
    finally:
        for process in started:
            process.kill()
            process.wait()


@pytest.mark.usefixtures("few_rows")
def test_the_scheduler_is_killed_and_a_fit_goes_on(client, tmp_path, monkeypatch):
    settings = {"svmcifar.folder": str(tmp_path / "parts")}
    quick = {"distributed.comm.timeouts.connect": "1s"}
    with cluster_of_its_own(tmp_path / "file") as scheduler, dask.config.set(settings | quick):

        def kill(number):
            if number == 4:
                scheduler.send_signal(signal.SIGKILL)
                scheduler.wait()
                time.sleep(0.1)

        own = Client(scheduler_file=str(tmp_path / "file"), timeout="30s")
        with own, on_parts(monkeypatch, kill) as before:
            rule = "The Dask scheduler tcp://.* must answer, .* It does not; start it again"
            with pytest.raises(BackendUnavailableError, match=rule):
                fit("dask", gamma=0.2)
    assert 4 <= len(before) < 15
    (folder,) = (tmp_path / "parts").iterdir()
    damaged = folder / f"{before[1].name}.npz"
    damaged.write_bytes(damaged.read_bytes()[:-30])
    with dask.config.set(settings), client.as_current():
        with on_parts(monkeypatch, lambda number: None) as after:
            model = fit("dask", gamma=0.2)
        assert set(after) & set(before) == {before[1]}
        assert len(before) + len(after) == 16
        assert content_hash(model) == content_hash(fit("numba", gamma=0.2))
        X, y = make_samples()
        with on_parts(monkeypatch, lambda number: None) as other:
            fit("dask", (X * np.float32(1.1), y), gamma=0.2)
        assert len(other) == 15  # of other samples, so nothing was there


@pytest.mark.usefixtures("client")
def test_what_dask_is_not_for():
    X, y = make_samples()
    with pytest.raises(InputError, match="Got the kernel 'precomputed'"):
        fit("dask", (X @ X.T, y), kernel="precomputed")
    with (
        dask.config.set({"svmcifar.solver": "cuml"}),
        pytest.raises(InputError, match=r"must be one of numba, cupy. Got 'cuml' instead"),
    ):
        fit("dask")


@pytest.mark.usefixtures("client")
def test_a_folder_that_workers_cannot_read_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(dask_ovo, "write_problem", lambda *args: tmp_path / "elsewhere")
    with pytest.raises(
        BackendUnavailableError, match=r"Dask's workers must be able to read .*else"
    ):
        fit("dask")
