"""``--track``: runs of commands, recorded by MLflow or Weights & Biases."""

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from importlib import import_module
from math import isfinite
from pathlib import Path
from typing import Any

import click

from svmcifar.errors import BackendUnavailableError

TRACKERS = ("mlflow", "wandb")

option = click.option(
    "--track",
    type=click.Choice(TRACKERS),
    help="Record settings and results in MLflow's folder mlruns, or with Weights & Biases, offline "
    "unless MLFLOW_TRACKING_URI or WANDB_MODE say otherwise.",
)


class Tracker(ABC):
    """A run that is being recorded."""

    def __init__(self) -> None:
        self._is_over = False

    @abstractmethod
    def log(self, entry: Mapping[str, float]) -> None:
        """Record an epoch's entry of a history."""

    def finish(self, results: Mapping[str, Any], **notes: str | Path) -> None:
        """Record the numbers among the results, and texts and paths; end the run.

        What the run is about is saved by then: if it cannot be recorded, print a warning.
        """
        numbers = {
            key: float(value)
            for key, value in results.items()
            if isinstance(value, int | float) and isfinite(value)
        }
        try:
            texts = {
                key: str(note.resolve() if isinstance(note, Path) else note)
                for key, note in notes.items()
            }
            self._record(numbers, texts)
            self._end(failed=False)
        except Exception as error:  # of the library, in any way
            click.echo(f"WARNING: --track: not recorded, got {_reason(error)}", err=True)
        self._is_over = True

    def abandon(self) -> None:
        """End a run that did not come to results."""
        if not self._is_over:
            self._end(failed=True)

    @abstractmethod
    def _record(self, numbers: Mapping[str, float], notes: Mapping[str, str]) -> None:
        """Record results."""

    @abstractmethod
    def _end(self, failed: bool) -> None:
        """End the run."""


class _MLflow(Tracker):
    """A run of MLflow, in the folder ``mlruns`` unless MLFLOW_TRACKING_URI names another place."""

    def __init__(self, library: Any, name: str, settings: Mapping[str, Any]) -> None:
        super().__init__()
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

    def _record(self, numbers: Mapping[str, float], notes: Mapping[str, str]) -> None:
        for key, value in numbers.items():
            self.client.log_metric(self.run, key, value)
        for key, note in notes.items():
            self.client.set_tag(self.run, key, note)

    def _end(self, failed: bool) -> None:
        self.client.set_terminated(self.run, "FAILED" if failed else "FINISHED")


class _WandB(Tracker):
    """A run of Weights & Biases, kept in the folder ``wandb`` unless WANDB_MODE says otherwise."""

    def __init__(self, library: Any, name: str, settings: Mapping[str, Any]) -> None:
        super().__init__()
        mode = os.environ.get("WANDB_MODE", "offline")
        quiet = library.Settings(silent=True)
        self.run = library.init(
            project="svmcifar", name=name, config=dict(settings), mode=mode, settings=quiet
        )

    def log(self, entry: Mapping[str, float]) -> None:
        self.run.log(dict(entry), step=int(entry["epoch"]))

    def _record(self, numbers: Mapping[str, float], notes: Mapping[str, str]) -> None:
        self.run.summary.update({**numbers, **notes})

    def _end(self, failed: bool) -> None:
        self.run.finish(exit_code=int(failed))


def start_tracking(tracker: str, name: str, settings: Mapping[str, Any]) -> Tracker:
    """Start a run of one of TRACKERS with a name and its settings.

    If the command that runs ends without `Tracker.finish`, the run counts as failed.  Raise
    BackendUnavailableError if the package is missing or cannot start a run.
    """
    try:
        library = import_module(tracker)
        run = (_MLflow if tracker == "mlflow" else _WandB)(library, name, settings)
    except Exception as error:  # of the library, in any way
        raise BackendUnavailableError(
            f"--track {tracker} needs {tracker} and a place for its runs, got {_reason(error)}; "
            f"pip install 'svmcifar[track]', or leave --track out"
        ) from error
    if context := click.get_current_context(silent=True):
        context.call_on_close(run.abandon)
    return run


def _reason(error: Exception) -> str:
    return " ".join(f"{type(error).__name__} '{error}'".split())[:150]
