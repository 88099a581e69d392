"""Commands that are stopped from outside."""

import os
import signal
import threading

import pytest
from click.testing import CliRunner

from svmcifar.cli import main
from svmcifar.data import synthetic


@pytest.fixture
def heard():
    """Hear SIGINT, which processes in the background are started without."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_stops_a_command_that_leaves_nothing(tmp_path, monkeypatch, name):
    def stop(path, columns):
        path.write_text("half")
        os.kill(os.getpid(), getattr(signal, name))

    handler = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(synthetic, "_write_pickle", stop)
    result = CliRunner().invoke(
        main, ["download", "--synthetic", "--data", str(tmp_path / "made" / "data")]
    )
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == "Aborted!"
    assert os.listdir(tmp_path) == []
    assert signal.getsignal(signal.SIGTERM) is handler


def test_commands_run_in_other_threads():
    results = []
    thread = threading.Thread(target=lambda: results.append(CliRunner().invoke(main, ["--help"])))
    thread.start()
    thread.join()
    assert results[0].exit_code == 0
