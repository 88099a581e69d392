"""Tracking of trainings by MLflow or Weights & Biases."""

import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from svmcifar.errors import BackendUnavailableError

TRACKERS = ("mlflow", "wandb")


class Tracker(Protocol):
    """A run that is being tracked."""

    def log(self, entry: Mapping[str, float]) -> None:
        """Record an epoch's entry of the history."""

    def finish(self, results: Mapping[str, float]) -> None:
        """Record the results and end the run."""


class _MLflow:
    """A run of MLflow, in the folder ``mlruns`` unless MLFLOW_TRACKING_URI names another place."""

    def __init__(self, library: Any, name: str, settings: Mapping[str, Any]) -> None:
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        uri = os.environ.get("MLFLOW_TRACKING_URI") or Path("mlruns").resolve().as_uri()
        self.client = library.MlflowClient(tracking_uri=uri)
        found = self.client.get_experiment_by_name("svmcifar")
        number = found.experiment_id if found else self.client.create_experiment("svmcifar")
        self.run = self.client.create_run(number, run_name=name).info.run_id
        for key, value in settings.items():
            self.client.log_param(self.run, key, value)

    def log(self, entry: Mapping[str, float]) -> None:
        for key, value in entry.items():
            self.client.log_metric(self.run, key, float(value), step=int(entry["epoch"]))

    def finish(self, results: Mapping[str, float]) -> None:
        for key, value in results.items():
            self.client.log_metric(self.run, key, float(value))
        self.client.set_terminated(self.run)


class _WandB:
    """A run of Weights & Biases, kept in the folder ``wandb`` unless WANDB_MODE says otherwise."""

    def __init__(self, library: Any, name: str, settings: Mapping[str, Any]) -> None:
        mode = os.environ.get("WANDB_MODE", "offline")
        quiet = library.Settings(silent=True)
        self.run = library.init(
            project="svmcifar", name=name, config=dict(settings), mode=mode, settings=quiet
        )

    def log(self, entry: Mapping[str, float]) -> None:
        self.run.log(dict(entry), step=int(entry["epoch"]))

    def finish(self, results: Mapping[str, float]) -> None:
        self.run.summary.update(dict(results))
        self.run.finish()


def start_tracking(tracker: str, name: str, settings: Mapping[str, Any]) -> Tracker:
    """Start a run of "mlflow" or "wandb" with a name and its settings.

    Raise BackendUnavailableError if the package is missing or cannot start a run.
    """
    try:
        library = import_module(tracker)
        return (_MLflow if tracker == "mlflow" else _WandB)(library, name, settings)
    except Exception as error:  # of the library, in any way
        reason = " ".join(f"{type(error).__name__} '{error}'".split())[:150]
        raise BackendUnavailableError(
            f"--track {tracker} needs {tracker} and a place for its runs, got {reason}; "
            f"pip install 'svmcifar[track]', or leave --track out"
        ) from error
