"""Best epoch, early stopping and snapshots, and that all of them survive a stop."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from cnntraining import StopError, assert_same, stop_after, train, weights

from svmcifar.cnn import training_loop
from svmcifar.cnn.recipe import Recipe
from svmcifar.cnn.training_loop import best_epoch, is_over
from svmcifar.compute.image_shape import ImageShape
from svmcifar.errors import InputError

# Dropout draws from PyTorch's own generator.
DROPOUT = {"arch": "weak-baseline", "schedule": "constant"}
KINDS = {
    "dropout": DROPOUT,
    "gumbel": {**DROPOUT, "head": "gumbel"},
    "sgd": {"optimizer": "sgd", "schedule": "step"},
    "cosine": {"schedule": "cosine", "label_smoothing": 0.1, "jitter": 0.5},
    "snapshots": {"schedule": "cyclic", "snapshots": 3, "augment": "flip-shift"},
    "best": {"keep": "best", "patience": 2, "max_learning_rate": 0.02},
    "head": {**DROPOUT, "head_epochs": 1, "epochs": 2, "augment": "none"},
}


def history_of(*accuracies):
    return [{"epoch": k, "validation_accuracy": v} for k, v in enumerate(accuracies, 1)]


def test_best_epoch_is_the_first_of_the_most_accurate():
    assert best_epoch(history_of(0.2, 0.5, 0.4, 0.5)) == 2
    assert best_epoch([{"epoch": k} for k in (1, 2, 3)]) == 3  # nothing is held out


def test_patience_counts_epochs_since_the_best():
    history = history_of(0.2, 0.5, 0.4, 0.5)
    assert [is_over(history[:k], 2) for k in range(5)] == [False, False, False, False, True]
    assert not is_over(history, None)
    assert not is_over(history, 3)


def spoil(monkeypatch, accuracies):
    """Pretend accuracies on held-out images, an epoch each."""
    made = iter(accuracies)
    scores = training_loop._scores

    def changed(prefix, sums, n):
        entry = scores(prefix, sums, n)
        return entry | ({"validation_accuracy": next(made)} if prefix == "validation" else {})

    monkeypatch.setattr(training_loop, "_scores", changed)


def test_best_epoch_is_kept(tmp_path, monkeypatch):
    two = train(tmp_path / "two", epochs=2, schedule="constant")
    spoil(monkeypatch, [0.1, 0.7, 0.3])
    best = train(tmp_path / "best", epochs=3, schedule="constant", keep="best")
    assert best.best_epoch == 2
    assert len(best.history) == 3
    for name, value in weights(best).items():
        np.testing.assert_array_equal(value, weights(two)[name])


def test_training_stops_early(tmp_path, monkeypatch):
    spoil(monkeypatch, [0.1, 0.7, 0.3, 0.4, 0.9])
    trained = train(tmp_path / "s", epochs=5, schedule="constant", patience=2)
    assert [entry["validation_accuracy"] for entry in trained.history] == [0.1, 0.7, 0.3, 0.4]


def test_stopped_early_stays_stopped(tmp_path, monkeypatch):
    spoil(monkeypatch, [0.7, 0.3])
    first = train(tmp_path / "s", epochs=5, schedule="constant", patience=1)
    assert_same(train(tmp_path / "s", epochs=5, schedule="constant", patience=1), first)


def test_snapshots_are_the_weights_at_the_ends_of_the_cycles(tmp_path):
    trained = train(tmp_path / "s", epochs=4, schedule="cyclic", snapshots=2)
    assert len(trained.snapshots) == 2
    for name, value in weights(trained).items():
        np.testing.assert_array_equal(trained.snapshots[1][name], value)
    first = trained.snapshots[0]["convolution1.0.weight"]
    assert not torch.equal(first, trained.snapshots[1]["convolution1.0.weight"])
    with pytest.raises(StopError):
        train(tmp_path / "half", epochs=4, schedule="cyclic", snapshots=2, on_batch=stop_after(9))
    state = torch.load(tmp_path / "half", weights_only=True)["network"]
    torch.testing.assert_close(state["convolution1.0.weight"], first, rtol=0, atol=0)


@pytest.mark.parametrize("kind", [*KINDS])
@pytest.mark.parametrize("n_batches", [5, 9])
def test_resumed_training_is_the_same_to_the_bit(tmp_path, kind, n_batches):
    whole = train(tmp_path / "whole", **KINDS[kind])
    with pytest.raises(StopError):
        train(tmp_path / "s", **KINDS[kind], on_batch=stop_after(n_batches))
    torch.rand(3)
    resumed = train(tmp_path / "s", **KINDS[kind])
    assert_same(resumed, whole)
    assert len(resumed.snapshots) == len(whole.snapshots)
    for one, other in zip(resumed.snapshots, whole.snapshots, strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_killed_process_leaves_a_state_to_go_on_from(tmp_path):
    kind = KINDS["snapshots"] | {"arch": "weak-baseline", "head": "gumbel"}
    code = (
        f"import os, signal, sys; sys.path.insert(0, {str(Path(__file__).parents[1])!r})\n"
        "from pathlib import Path; import cnntraining as t\n"
        "done = []\n"
        "def on_batch(n):\n"
        "    done.append(n)\n"
        "    if sum(done) == 6: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"t.train(Path({str(tmp_path / 's')!r}), on_batch=on_batch, **{kind!r})"
    )
    done = subprocess.run([sys.executable, "-c", code], env=os.environ)
    assert done.returncode == -signal.SIGKILL
    assert_same(train(tmp_path / "s", **kind), train(tmp_path / "whole", **kind))


def test_the_head_alone_is_trained_first(tmp_path):
    one = {**DROPOUT, "head_epochs": 2, "epochs": 1, "head_learning_rate": 0.01}
    with pytest.raises(StopError):
        train(tmp_path / "s", **one, on_batch=stop_after(9))  # in the first epoch of all layers
    state = torch.load(tmp_path / "s", weights_only=True)
    torch.manual_seed(0)
    first = Recipe(**one).blueprint(np.arange(4)).build(ImageShape(3, 32, 32)).state_dict()
    moved = {
        name for name, value in first.items() if not torch.equal(value, state["network"][name])
    }
    assert moved == {"classifier.weight", "classifier.bias"}
    trained = train(tmp_path / "s", **one)
    assert [entry["learning_rate"] for entry in trained.history] == [0.01, 0.01, 1e-3]
    last = trained.network.state_dict()
    assert all((value != last[name]).any() for name, value in first.items())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"validation": 0.0, "keep": "best"}, "best epoch must be known from held-out images"),
        ({"validation": 0.0, "patience": 2}, "best epoch must be known from held-out images"),
        ({"epochs": 10, "snapshots": 3}, "Got 3 of 10 epochs"),
        ({"epochs": 10, "snapshots": 5, "keep": "best"}, "equal cycles of epochs"),
        ({"epochs": 10, "snapshots": 5, "patience": 2}, "equal cycles of epochs"),
    ],
)
def test_recipes_that_do_not_fit(settings, message):
    with pytest.raises(InputError, match=message):
        Recipe(**settings)
