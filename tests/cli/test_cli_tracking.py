"""Runs of commands that `--track` records."""

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from clirun import fail, run

from svmcifar.cli import main, tracking
from svmcifar.cli.tracking import start_tracking
from svmcifar.errors import BackendUnavailableError
from svmcifar.model.persistence import read_manifest


@pytest.fixture(autouse=True)
def folder(folder, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return folder


def recorded(folder):
    """The newest run in the folder: settings, results, tags and status."""
    newest = max(folder.glob("mlruns/*/*/meta.yaml"), key=lambda path: path.stat().st_mtime_ns)
    parts = [
        {path.name: path.read_text() for path in sorted((newest.parent / part).iterdir())}
        for part in ("params", "metrics", "tags")
    ]
    numbers = {name: float(text.split()[1]) for name, text in parts[1].items()}
    return parts[0], numbers, parts[2], "status: 3" in newest.read_text()


def test_commands_record_settings_results_and_files(synthetic_folder, folder):
    data = ("--data", synthetic_folder, "--track", "mlflow")
    run("tune", *data, "--limit", 300, "--C", "1,3", "--gamma", "1x", "--labels", "fine")
    settings, numbers, tags, is_over = recorded(folder)
    assert (settings["command"], settings["limit"]) == ("tune", "300")
    assert "1.0, 3.0" in settings["C"]
    assert (0 < numbers["held_out_accuracy"] < 1, is_over) == (True, True)
    assert numbers["best_C"] in (1, 3)
    assert tags["file"] == str(folder / "tuned.toml")

    run("train", *data, "--config", "tuned.toml", "--limit", 300, "--kernel", "poly")
    settings, numbers, tags, is_over = recorded(folder)
    manifest = read_manifest("model.skops")
    assert (settings["kernel"], settings["labels"], settings["preset"]) == ("poly", "fine", "none")
    assert settings["data"].startswith("SYNTHETIC")
    assert numbers["n_support"] == manifest.fit.n_support
    assert numbers["fit_s"] == manifest.times["fit_s"]
    assert 0 <= numbers["held_out_accuracy"] <= 1
    assert tags["file"] == str(folder / "model.skops")
    assert (tags["content_hash"], is_over) == (manifest.content_hash, True)

    run("evaluate", "model.skops", *data, "--json", "scores.json")
    settings, numbers, tags, is_over = recorded(folder)
    scores = json.loads((folder / "scores.json").read_text())
    assert settings["command"] == "evaluate"
    for name in ("accuracy", "macro_f1", "hinge_loss", "log_loss"):
        assert numbers[name] == scores["scores"][name]
    assert numbers["superclass_accuracy"] == scores["superclass_scores"]["accuracy"]
    assert (tags["file"], is_over) == (str(folder / "model.skops"), True)
    assert tags["mlflow.runName"] == "model"


def test_a_run_without_results_has_failed(synthetic_folder, folder):
    pca = ("--features", "hog", "--pca", 200, "--limit", 100)
    assert "PCA can keep" in fail("train", "--data", synthetic_folder, *pca, "--track", "mlflow")
    (meta,) = folder.glob("mlruns/*/*/meta.yaml")
    assert "status: 4" in meta.read_text()


def test_what_cannot_be_recorded_is_a_warning(synthetic_folder, folder, monkeypatch):
    def fall(*_):
        raise ConnectionError("no\nserver")

    monkeypatch.setattr(tracking._MLflow, "_record", fall)
    arguments = ["train", "--data", str(synthetic_folder), "--limit", "100", "--track", "mlflow"]
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    assert "WARNING: --track: not recorded, got ConnectionError 'no server'\n" in result.stderr
    assert (folder / "model.skops").exists()


def test_no_tracker_no_run(synthetic_folder, folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    message = fail("train", "--data", synthetic_folder, "--track", "mlflow")
    assert "--track mlflow needs mlflow and a place for its runs, got ModuleNotFound" in message
    assert not (folder / "model.skops").exists()


def test_wandb_runs_offline(folder, monkeypatch):
    monkeypatch.delenv("WANDB_MODE", raising=False)
    seen = []

    class Run:
        summary = {}  # noqa: RUF012

        def log(self, entry, step):
            seen.append((step, entry))

        def finish(self, exit_code):
            seen.append(exit_code)

    class WandB:
        Settings = dict

        def init(**settings):
            seen.append(settings["mode"])
            return Run()

    monkeypatch.setitem(sys.modules, "wandb", WandB)
    tracker = start_tracking("wandb", "model", {"arch": "x"})
    tracker.log({"epoch": 1, "train_loss": 2.5})
    tracker.finish({"test_fine_accuracy": 0.5, "unknown": None}, file=Path("model.pth"))
    tracker.abandon()
    assert seen == ["offline", (1, {"epoch": 1, "train_loss": 2.5}), 0]
    assert Run.summary == {"test_fine_accuracy": 0.5, "file": str(folder / "model.pth")}


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_missing_tracker_is_one_clear_line(monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(BackendUnavailableError, match=rf"--track {name} needs .*svmcifar\[track\]"):
        start_tracking(name, "model", {})
