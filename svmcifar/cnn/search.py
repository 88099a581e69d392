"""Search for sizes, activations and learning rate of the tuned network, by Optuna's Hyperband."""

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import optuna
import torch
from numpy.typing import NDArray
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

from svmcifar.cnn.networks.tuned import ACTIVATIONS
from svmcifar.cnn.recipe import Recipe
from svmcifar.cnn.training_loop import train_network
from svmcifar.errors import InputError
from svmcifar.io.reading import read_file
from svmcifar.json_values import is_of_type

_REDUCTION = 3
# How each line of Optuna's journals begins.
_FIRST_OF_LINE = b'{"op_code":'


class Found(NamedTuple):
    """The best trial: its settings, learning rate, accuracy on held-out images, and its epoch."""

    settings: dict[str, Any]
    learning_rate: float
    accuracy: float
    epoch: int


def open_study(path: Path | None, seed: int, max_epochs: int) -> optuna.Study:
    """Open the study of a file, or a new one that is kept there; None keeps it in memory.

    Raise InputError if the file cannot be written, or holds something else.
    """
    # A warning is a traceback: of a network that does not learn, and of Ctrl-C.
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        study = optuna.create_study(
            study_name="svmcifar",
            storage=_open_journal(path) if path else None,
            load_if_exists=True,
            direction="maximize",
            sampler=optuna.samplers.TPESampler(seed=seed),
            pruner=optuna.pruners.HyperbandPruner(1, max_epochs, _REDUCTION),
        )
        for trial in study.trials:
            _check_trial(trial)
        return study
    except Exception as error:  # of Optuna, for what is no journal
        reason = " ".join(f"{type(error).__name__} '{error}'".split())[:150]
        raise InputError(
            f"{path}: a file of trials must be one of Optuna's journals, or new. "
            f"Got {reason} instead. Name another."
        ) from error


def search(
    study: optuna.Study,
    n_trials: int,
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    superclass_of: NDArray[np.int64],
    recipe: Recipe,
    *,
    device: torch.device,
    on_trial: Callable[[int, str], Any] = lambda number, words: None,
) -> Found:
    """Train the tuned network with other settings, until a study has so many finished trials.

    Arrays and errors are those of `train_network`; the recipe says all that is not searched, and
    its epochs are the most that a trial gets.  Hyperband stops the worse two thirds of a bracket at
    each of its rungs.  Accuracies are those of the images that the recipe holds out.  `on_trial` is
    called with the number of finished trials, and words on the last.  Raise OSError if the study's
    file cannot be written.
    """

    def objective(trial: optuna.Trial) -> float:
        settings, rate = _suggest(trial)
        best = 0.0

        def on_epoch(entry: dict[str, float]) -> None:
            nonlocal best
            best = max(best, entry["validation_accuracy"])
            trial.report(entry["validation_accuracy"], int(entry["epoch"]))
            if trial.should_prune():
                raise optuna.TrialPruned

        own = replace(recipe, arch="tuned", settings=settings, max_learning_rate=rate)
        train_network(
            images, labels, superclass_of, own, device=device, state_path=None, on_epoch=on_epoch
        )
        return best

    def report(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        values = trial.intermediate_values
        shown = ", ".join(f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}"
                          for key, value in trial.params.items())  # fmt: skip
        best = max(values.values(), default=0.0)
        on_trial(_n_finished(study), f"{best:.2%} after {len(values)} epochs: {shown}")

    while _n_finished(study) < n_trials:
        try:
            study.optimize(objective, n_trials=1, callbacks=[report], catch=(InputError,))
        except AssertionError as error:  # Optuna's own, where it cannot write its journal
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise
    finished = [t for t in study.trials if t.intermediate_values]
    if not finished:
        raise InputError("A search must have a trial that learns. Got none. Try more trials.")
    best = max(finished, key=lambda trial: max(trial.intermediate_values.values()))
    values = best.intermediate_values
    epoch = max(values, key=lambda epoch: values[epoch])
    settings = dict(best.params)
    rate = settings.pop("learning_rate")
    return Found(settings, rate, values[epoch], epoch)


def _open_journal(path: Path) -> JournalStorage:
    """Open a file of trials, without the half line that a killed writer or a full disk has left.

    Optuna would append to that, and then read no more of the file.
    """
    lock = JournalFileSymlinkLock(str(path))
    with suppress(FileNotFoundError):
        content = read_file(path)
        if content.startswith(_FIRST_OF_LINE) and not content.endswith(b"\n"):
            lock.acquire()  # perhaps another process is writing it
            try:
                content = read_file(path)
                os.truncate(path, content.rfind(b"\n") + 1)
            finally:
                lock.release()
    return JournalStorage(JournalFileBackend(str(path), lock_obj=lock))


def _check_trial(trial: optuna.trial.FrozenTrial) -> None:
    """Raise ValueError unless a trial's results, if it has any, are such as `search` leaves."""
    values = trial.intermediate_values
    if not values:
        return
    rate = trial.params.get("learning_rate")
    if (
        not is_of_type(list(values.values()), list[float])
        or not 0 <= min(values.values()) <= max(values.values()) <= 1
        or not isinstance(rate, float)
        or not 0 < rate < inf
    ):
        raise ValueError(f"trial {trial.number} is of another search")


def _suggest(trial: optuna.Trial) -> tuple[dict[str, Any], float]:
    """Draw settings of the tuned network, and a learning rate."""
    settings: dict[str, Any] = {
        "filters1": trial.suggest_int("filters1", 32, 64, step=32),
        "filters2": trial.suggest_int("filters2", 64, 128, step=32),
        "units": trial.suggest_int("units", 256, 512, step=256),
        "dropout": trial.suggest_float("dropout", 0.3, 0.5, step=0.1),
    }
    for layer in (2, 3):
        name = trial.suggest_categorical(f"activation{layer}", ACTIVATIONS)
        settings[f"activation{layer}"] = name
        if name == "leaky_relu":
            settings[f"slope{layer}"] = trial.suggest_float(f"slope{layer}", 0.1, 0.3, step=0.1)
    return settings, trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True)


def _n_finished(study: optuna.Study) -> int:
    return sum(trial.state.is_finished() for trial in study.trials)
