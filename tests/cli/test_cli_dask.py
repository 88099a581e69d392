"""svmcifar train --dask, on a cluster of threads of this process."""

import dask
import pytest
from click.testing import CliRunner
from clirun import fail, run
from distributed import LocalCluster

from svmcifar.cli import main
from svmcifar.errors import BackendUnavailableError
from svmcifar.model.persistence import read_manifest
from svmcifar.svm.backends import dask_ovo, memory_plan

pytestmark = pytest.mark.usefixtures("folder")


@pytest.fixture
def scheduler(monkeypatch):
    monkeypatch.setattr(memory_plan, "BLOCK", 120)  # several tiles
    with LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=":0"
    ) as cluster:
        yield cluster.scheduler_address


def test_train_on_workers_and_go_on(scheduler, synthetic_folder, folder, monkeypatch):
    options = ["train", "--data", synthetic_folder]
    run(*options, "--out", "here.skops", "--backend", "numba")
    expected = read_manifest("here.skops")

    on_dask = [*options, "--out", "there.skops", "--dask", scheduler]
    keep, kept = dask_ovo.keep_solution, []

    def stop(*args):
        if len(kept) == 2:
            raise BackendUnavailableError("stopped")
        keep(*args)
        kept.append(args[1])

    with monkeypatch.context() as patch:
        patch.setattr(dask_ovo, "keep_solution", stop)
        assert fail(*on_dask) == "Error: stopped"
    assert not (folder / "there.skops").exists()
    assert "a stopped run must not be lost; go on with --resume" in fail(*on_dask)
    assert "got another C;" in fail(*on_dask, "--resume", "--C", 2)

    def again(*args):
        assert args[1] not in kept
        keep(*args)

    monkeypatch.setattr(dask_ovo, "keep_solution", again)
    output = run(*on_dask, "--resume", "--verbose")
    assert "there.skops.parts while it lasts" in output
    assert "on Dask's workers" in output
    assert not (folder / "there.skops.parts").exists()
    manifest = read_manifest("there.skops")
    assert manifest.content_hash == expected.content_hash
    assert manifest.fit.backend == "numba"
    # Loading holds the hash of what it finds against the manifest's.
    run("evaluate", "there.skops", "--data", synthetic_folder)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--dask", "x", "--backend", "sklearn"], "--dask has workers fit by numba or cupy"),
    ],
    ids=["backend"],
)
def test_options_that_do_not_fit(arguments, expected, synthetic_folder):
    arguments = ["train", "--data", str(synthetic_folder), *arguments]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert expected in result.stderr


def test_no_scheduler(synthetic_folder, folder):
    with dask.config.set({"distributed.comm.timeouts.connect": "200ms"}):
        error = fail("train", "--data", synthetic_folder, "--dask", "tcp://127.0.0.1:9")
    assert error.startswith("Error: There must be a Dask scheduler at tcp://127.0.0.1:9, got '")
    assert len(error.splitlines()) == 1
    assert not list(folder.glob("model*"))
