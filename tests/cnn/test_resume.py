"""Stopping a training and going on: kills, damaged states, states of another training."""

import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from cnntraining import StopError, assert_same, stop_after, train
from fulldisk import full_disk
from torch import nn

from svmcifar.cnn.resume import load_state
from svmcifar.errors import BackendUnavailableError, CheckpointError, InputError, OutputError
from svmcifar.io import files


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("n_batches", [2, 5, 9, 12])
def test_resumed_training_is_the_same_to_the_bit(tmp_path, precision, n_batches):
    """Stopped in the first epoch, in the second, in the last, and after its last batch."""
    whole = train(tmp_path / "whole", precision=precision)
    with pytest.raises(StopError):
        train(tmp_path / "s", precision=precision, on_batch=stop_after(n_batches))
    assert (tmp_path / "s").exists() == (n_batches > 4)
    torch.rand(3)
    batches = []
    resumed = train(tmp_path / "s", precision=precision, on_batch=batches.append)
    assert_same(resumed, whole)
    assert sum(batches) == 12  # those before the stop count, for the progress
    assert batches[0] == (n_batches - 1) // 4 * 4


def test_resumed_twice(tmp_path):
    whole = train(tmp_path / "whole")
    for n_batches in (5, 10):  # each counts what went before
        with pytest.raises(StopError):
            train(tmp_path / "s", on_batch=stop_after(n_batches))
    assert_same(train(tmp_path / "s"), whole)


def test_finished_training_is_not_trained_on(tmp_path):
    first = train(tmp_path / "s")
    again = train(tmp_path / "s")
    assert first.history == again.history
    assert_same(first, again)


def test_killed_process_leaves_a_state_to_go_on_from(tmp_path):
    code = (
        f"import os, signal, sys; sys.path.insert(0, {str(Path(__file__).parents[1])!r})\n"
        "from pathlib import Path; import cnntraining as t\n"
        "done = []\n"
        "def on_batch(n):\n"
        "    done.append(n)\n"
        "    if sum(done) == 6: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"t.train(Path({str(tmp_path / 's')!r}), on_batch=on_batch)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == -signal.SIGKILL
    assert [path.name for path in tmp_path.iterdir()] == ["s"]
    assert_same(train(tmp_path / "s"), train(tmp_path / "whole"))


def test_divergence_is_an_error_and_no_state(tmp_path):
    with pytest.raises(InputError, match=r"loss must stay finite.*epoch 1.*rate, which is 1e"):
        train(tmp_path / "s", max_learning_rate=1e38)
    assert not (tmp_path / "s").exists()


def test_state_of_another_training_is_refused(tmp_path):
    with pytest.raises(StopError):
        train(tmp_path / "s", on_batch=stop_after(6))
    content = (tmp_path / "s").read_bytes()
    with pytest.raises(CheckpointError, match="got another data; go on"):
        train(tmp_path / "s", data_key="e")
    for name, value in {
        "width": 2, "epochs": 4, "batch_size": 8, "max_learning_rate": 1e-2, "weight_decay": 0.0,
        "validation": 0.0, "precision": "bfloat16", "seed": 1,
    }.items():  # fmt: skip
        with pytest.raises(CheckpointError, match=f"got another {name}; go on"):
            train(tmp_path / "s", **{name: value})
    with pytest.raises(CheckpointError, match="got another epochs, seed;"):
        train(tmp_path / "s", seed=1, epochs=4)
    assert (tmp_path / "s").read_bytes() == content


def damaged_states():
    return {
        "empty": b"",
        "text": b"hello",
        "tensor": torch.zeros(3),
        "list": [1],
        "no history": {"about": {}},
        "no dict": {"about": [1], "history": []},
        "no parts": {"about": {"a": 1}, "history": []},
        "foreign": {"about": {"a": 1}, "history": [], "network": {"0.weight": torch.zeros(9, 9)}},
    }


@pytest.mark.parametrize("kind", [*damaged_states()])
def test_damaged_state_is_one_clear_line(tmp_path, kind):
    content = damaged_states()[kind]
    if isinstance(content, bytes):
        (tmp_path / "s").write_bytes(content)
    else:
        torch.save(content, tmp_path / "s")
    with pytest.raises(CheckpointError) as caught:
        load_state(tmp_path / "s", {"a": 1}, {"network": nn.Sequential(nn.Linear(2, 2))})
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 's'}: the state of a stopped training must be readable")
    assert "delete it to start anew" in message
    assert "\n" not in message


def test_truncated_state(tmp_path):
    train(tmp_path / "s", epochs=1)
    content = (tmp_path / "s").read_bytes()
    for size in (100, len(content) // 2, len(content) - 1):
        (tmp_path / "s").write_bytes(content[:size])
        with pytest.raises(CheckpointError, match="must be readable"):
            train(tmp_path / "s", epochs=1)


def test_state_of_a_later_release_is_of_another_training(tmp_path):
    torch.save({"about": {"a": 1, "momentum": 2}, "history": []}, tmp_path / "s")
    with pytest.raises(CheckpointError, match="got another momentum;"):
        load_state(tmp_path / "s", {"a": 1}, {})


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_full_disk_is_one_clear_line(tmp_path, monkeypatch):
    @contextmanager
    def full_folder(place):
        (place / "full").mkdir()
        (place / "full" / "model.state").symlink_to("/dev/full")
        yield place / "full"

    monkeypatch.setattr(files, "unfinished_folder", full_folder)
    with pytest.raises(OutputError, match="must be writable, got 'No space left on device'"):
        train(tmp_path / "model.state", epochs=1)


@pytest.mark.parametrize("n_bytes", [0, 64, 10_000, 100_000])
def test_a_disk_that_fills_up_is_one_clear_line(tmp_path, n_bytes):
    with full_disk(n_bytes), pytest.raises(OutputError, match=r"s: an output.*'File too large'"):
        train(tmp_path / "s")
    assert list(tmp_path.iterdir()) == []


def test_state_with_code_is_not_executed(tmp_path):
    class Evil:
        def __reduce__(self):
            return (tmp_path / "stolen").write_text, ("x",)

    torch.save({"about": {}, "history": [Evil()]}, tmp_path / "s")
    with pytest.raises(CheckpointError, match="must be readable"):
        load_state(tmp_path / "s", {}, {})
    assert not (tmp_path / "stolen").exists()


def test_a_state_is_not_read_with_a_pytorch_that_is_not_safe(tmp_path, monkeypatch):
    with pytest.raises(StopError):
        train(tmp_path / "s", on_batch=stop_after(5))
    monkeypatch.setattr(torch, "__version__", type(torch.__version__)("2.9.1"))
    with pytest.raises(BackendUnavailableError, match=r"s: reading .* 2\.10 or newer, got 2\.9\.1"):
        train(tmp_path / "s")
