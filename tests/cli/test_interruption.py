"""Commands that are stopped from outside."""

import os
import signal
import sys
import threading
import time

import pytest
from click.testing import CliRunner

from svmcifar.__main__ import start
from svmcifar.cli import commands, main
from svmcifar.data import synthetic


@pytest.fixture
def heard():
    """Hear SIGINT and SIGHUP, which processes in the background may be started without."""
    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, signal.default_int_handler),
        signal.SIGHUP: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    }
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("heard")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_stops_a_command_that_leaves_nothing(tmp_path, monkeypatch, name):
    def stop(path, columns):
        path.write_text("half")
        os.kill(os.getpid(), number)

    number = getattr(signal, name)
    handler = signal.getsignal(number)
    monkeypatch.setattr(synthetic, "_write_pickle", stop)
    result = CliRunner().invoke(
        main, ["download", "--synthetic", "--data", str(tmp_path / "made" / "data")]
    )
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == "Aborted!"
    assert os.listdir(tmp_path) == []
    assert signal.getsignal(number) is handler


@pytest.mark.usefixtures("heard")
def test_before_and_after_a_command_ctrl_c_says_nothing(monkeypatch):
    """While modules are imported there is nothing to undo, and a traceback tells nothing."""
    handlers = []

    def listen(**_):
        handlers.append(signal.getsignal(signal.SIGINT))
        with commands._stopped_alike():
            handlers.append(signal.getsignal(signal.SIGINT))
        handlers.append(signal.getsignal(signal.SIGINT))

    monkeypatch.setattr("svmcifar.cli.main", listen)
    start()
    assert handlers == [signal.SIG_DFL, signal.default_int_handler, signal.SIG_DFL]


@pytest.mark.usefixtures("heard")
def test_signals_that_are_ignored_stay_so(monkeypatch):
    """As in the background of a shell, and under nohup."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    monkeypatch.setattr("svmcifar.cli.main", lambda **_: None)
    start()
    with commands._stopped_alike():
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


@pytest.mark.usefixtures("heard")
def test_ctrl_c_is_not_lost_where_an_object_is_deleted(capsys):
    class Object:
        def __del__(self):
            raise KeyboardInterrupt

    hook = sys.unraisablehook
    with pytest.raises(KeyboardInterrupt), commands._stopped_alike():
        wait_after(Object())
    assert capsys.readouterr().err == ""
    assert sys.unraisablehook is hook


def wait_after(_object):
    """Delete an object, and wait to be interrupted."""
    del _object
    for _ in range(1000):
        time.sleep(0.01)


def test_commands_run_in_other_threads():
    results = []
    thread = threading.Thread(target=lambda: results.append(CliRunner().invoke(main, ["--help"])))
    thread.start()
    thread.join()
    assert results[0].exit_code == 0
