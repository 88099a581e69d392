"""The search for settings of a small network, and tracking of trainings."""

import errno
import json
import logging
import os
import shlex
import tomllib

import optuna
import pytest
from click.testing import CliRunner
from clirun import fail, run

from svmcifar.cli import main, tune_cnn
from svmcifar.cnn import search as search_module

FAST = ["--epochs", 3, "--validation", 0.2, "--jobs", 1, "--batch-size", 100]


@pytest.fixture(autouse=True)
def folder(training_folder):
    return training_folder


@pytest.fixture
def trials(monkeypatch):
    """Replace training by given accuracies on held-out images, a list a trial."""
    seen = []

    def pretend(images, labels, superclass_of, recipe, *, on_epoch, **_):
        accuracies = curves[len(seen)]
        seen.append(recipe)
        for epoch, accuracy in enumerate(accuracies, 1):
            on_epoch({"epoch": epoch, "validation_accuracy": accuracy})

    curves = [[0.2, 0.5, 0.4], [0.1, 0.1, 0.1], [0.3, 0.3, 0.45], [0.3, 0.6, 0.7]]
    monkeypatch.setattr(search_module, "train_network", pretend)
    return seen


def tune(synthetic_folder, *arguments, ends=run):
    return ends("tune-cnn", "--data", synthetic_folder, *FAST, *arguments)


def test_best_trial_becomes_a_config(synthetic_folder, folder, trials):
    output = tune(synthetic_folder, "--trials", 3)
    assert "best         50.00% on held-out images after 2 epochs" in output
    assert output.count("\ntrial ") == 3
    config = tomllib.loads((folder / "tuned-cnn.toml").read_text())
    settings = dict(text.split("=") for text in config["set"])
    assert settings == {key: str(value) for key, value in trials[0].settings.items()}
    assert config["learning-rate"] == trials[0].max_learning_rate
    assert {recipe.arch for recipe in trials} == {"tuned"}
    for recipe in trials:
        assert 1e-4 <= recipe.max_learning_rate <= 1e-2
        assert recipe.settings["filters1"] in (32, 64)
        assert recipe.settings["filters2"] in (64, 96, 128)
        assert recipe.settings["units"] in (256, 512)
        assert 0.3 <= recipe.settings["dropout"] <= 0.5


def test_a_search_goes_on_from_its_study(synthetic_folder, folder, trials):
    tune(synthetic_folder, "--trials", 2, "--study", "trials.log")
    output = tune(synthetic_folder, "--trials", 4, "--study", "trials.log", "--overwrite")
    assert len(trials) == 4
    assert "trial 3/4" in output
    assert "trial 1/4" not in output
    assert "best         70.00%" in output


@pytest.mark.parametrize("n_bytes", [1, 7, 30])
def test_half_a_line_of_the_study_is_no_obstacle(synthetic_folder, folder, trials, n_bytes):
    """As a killed writer leaves one, or a full disk."""
    tune(synthetic_folder, "--trials", 1, "--study", "trials.log")
    whole = (folder / "trials.log").read_bytes()
    (folder / "trials.log").write_bytes(whole + whole[:n_bytes])
    for n_trials in (2, 3):
        study = ("--study", "trials.log", "--overwrite")
        tune(synthetic_folder, "--trials", n_trials, *study)
    assert len(trials) == 3
    assert (folder / "trials.log").read_bytes().startswith(whole)
    assert not (folder / "trials.log.lock").exists()


def test_a_search_that_is_stopped_prints_no_traceback(synthetic_folder, folder, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(search_module, "train_network", stop)
    printed, handler = [], logging.Handler()
    handler.emit = printed.append
    monkeypatch.setattr(logging.getLogger("optuna"), "handlers", [handler])
    arguments = ["tune-cnn", "--data", str(synthetic_folder), "--study", "trials.log"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-2:] == [
        f"Stopped; to go on: svmcifar {shlex.join(arguments)}", "Aborted!",
    ]  # fmt: skip
    assert not printed


@pytest.mark.parametrize("n_written", [4, 5, 8, 12, 16, 18])
def test_a_journal_that_cannot_be_written_is_one_line(
    synthetic_folder, folder, trials, monkeypatch, n_written
):
    append, left = search_module.JournalFileBackend.append_logs, iter(range(n_written, -1, -1))

    def append_logs(journal, logs):
        if next(left, 0) == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        append(journal, logs)

    monkeypatch.setattr(search_module.JournalFileBackend, "append_logs", append_logs)
    error = tune(synthetic_folder, "--trials", 2, "--study", "trials.log", ends=fail)
    assert error.startswith("Error: trials.log: an output must be writable, got 'No space left on")
    assert not (folder / "tuned-cnn.toml").exists()


def test_hyperband_stops_what_is_worse(synthetic_folder, folder, monkeypatch):
    lengths = []

    def pretend(*_, on_epoch, recipe=None, **__):
        number = len(lengths)
        lengths.append(0)
        for epoch in range(1, 10):
            lengths[-1] = epoch
            on_epoch({"epoch": epoch, "validation_accuracy": 0.5 if number < 3 else 0.1})

    monkeypatch.setattr(search_module, "train_network", pretend)
    tune(synthetic_folder, "--trials", 12, "--epochs", 9)
    assert max(lengths) == 9
    assert min(lengths) < 9


def test_a_real_search_feeds_a_training(synthetic_folder, folder):
    tune(synthetic_folder, "--trials", 1, "--epochs", 1, "--limit", 200)
    run("train-cnn", "--data", synthetic_folder, "--config", "tuned-cnn.toml", "--epochs", 1,
        "--jobs", 1)  # fmt: skip
    card = json.loads((folder / "model.json").read_text())
    config = tomllib.loads((folder / "tuned-cnn.toml").read_text())
    assert len(card["architecture"]["settings"]) == len(config["set"])
    assert card["recipe"]["max_learning_rate"] == config["learning-rate"]
    assert card["recipe"]["keep"] == "best"


def test_what_cannot_be_searched(synthetic_folder, folder, monkeypatch):
    (folder / "other.log").write_text("no journal\n")
    error = tune(synthetic_folder, "--study", "other.log", ends=fail)
    assert "other.log: a file of trials must be one of Optuna's journals" in error
    found = tune_cnn.find_spec
    monkeypatch.setattr(tune_cnn, "find_spec", lambda n: None if n == "optuna" else found(n))
    assert "got no optuna;" in tune(synthetic_folder, ends=fail)


def test_mlflow_keeps_a_local_record(synthetic_folder, folder, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    run("train-cnn", "--data", synthetic_folder, "--arch", "weak-baseline", *FAST, "--epochs", 2,
        "--track", "mlflow")  # fmt: skip
    card = json.loads((folder / "model.json").read_text())
    (losses,) = folder.glob("mlruns/*/*/metrics/train_loss")
    recorded = [float(line.split()[1]) for line in losses.read_text().splitlines()]
    assert recorded == [entry["train_loss"] for entry in card["history"]]
    assert (losses.parents[1] / "params/arch").read_text() == "weak-baseline"
    (accuracy,) = folder.glob("mlruns/*/*/metrics/test_fine_accuracy")
    assert float(accuracy.read_text().split()[1]) == card["test"]["fine_right"] / 200


def test_the_pruner_is_hyperband():
    study = search_module.open_study(None, 0, 10)
    assert isinstance(study.pruner, optuna.pruners.HyperbandPruner)
    assert study.direction == optuna.study.StudyDirection.MAXIMIZE
