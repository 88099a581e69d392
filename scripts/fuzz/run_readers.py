"""Readers of what stopped runs leave: parts, states of trainings, trials of searches."""

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import mutations
import numpy as np
from trial import Reader, require

_SETTINGS = {"command": "train", "C": 1.0, "features": ["raw"], "data": {"md5": "0"}, "limit": None}
_HASH = "0" * 32


def _part_seeds(folder: Path) -> list[bytes]:
    file = BytesIO()
    np.savez(file, coef=np.arange(6.0).reshape(2, 3), steps=np.arange(2))
    return [file.getvalue()]


def _read_part(path: Path) -> None:
    from svmcifar.io.kept_parts import KeptParts, parts_kept

    run = path.parent / "run"
    (run / _HASH).mkdir(parents=True, exist_ok=True)
    (run / "run.json").write_text(json.dumps(_SETTINGS))
    path.rename(run / _HASH / "a.npz")
    like = {"coef": np.zeros((2, 3)), "steps": np.zeros(2, np.int64)}
    with parts_kept(run, _SETTINGS, resume=True):
        found = KeptParts(lambda: _HASH).find("a", lambda: like)
    for name, array in (found or {}).items():
        require(array.shape == like[name].shape and array.dtype == like[name].dtype, "a part")


def _settings_seeds(_: Path) -> list[bytes]:
    return [json.dumps(_SETTINGS).encode()]


def _read_settings(path: Path) -> None:
    from svmcifar.io.kept_parts import check_parts, parts_kept

    run = path.parent / "run"
    run.mkdir(exist_ok=True)
    path = path.rename(run / "run.json")
    check_parts(run, resume=True, overwrite=False)
    with parts_kept(run, _SETTINGS, resume=True):
        read = json.loads(path.read_bytes())
        given = {key: value for key, value in read.items() if value is not None}
        wanted = {key: value for key, value in _SETTINGS.items() if value is not None}
        require(given == wanted, "settings of a run")


def _parts() -> dict[str, Any]:
    import torch

    torch.manual_seed(0)
    network = torch.nn.Linear(3, 2)
    return {"network": network, "optimizer": torch.optim.SGD(network.parameters(), 0.1, 0.9)}


def _state_seeds(folder: Path) -> list[bytes]:
    from svmcifar.cnn.resume import save_state

    save_state(folder / "made", _SETTINGS, _parts(), [{"epoch": 1, "train_loss": 4.5}])
    return [(folder / "made").read_bytes()]


def _read_state(path: Path) -> None:
    from svmcifar.cnn.resume import load_state

    history = load_state(path, _SETTINGS, _parts())
    require(all(isinstance(v, int | float) for e in history for v in e.values()), "a history")


def _study_seeds(folder: Path) -> list[bytes]:
    from optuna.distributions import FloatDistribution
    from optuna.trial import create_trial

    from svmcifar.cnn.search import open_study

    study = open_study(folder / "made", 0, 3)
    for rate in (1e-3, 1e-2):
        trial = create_trial(
            value=0.5,
            params={"learning_rate": rate},
            distributions={"learning_rate": FloatDistribution(1e-4, 1e-2, log=True)},
            intermediate_values={1: 0.25, 2: 0.5},
        )
        study.add_trial(trial)
    return [(folder / "made").read_bytes()]


def _read_study(path: Path) -> None:
    from svmcifar.cnn.search import open_study, search

    nothing: Any = None
    study = open_study(path, 0, 3)
    found = search(study, 0, nothing, nothing, nothing, nothing, device=nothing)
    require(0 <= found.accuracy <= 1 and found.learning_rate > 0, "the best trial")


READERS = {
    "part": Reader("content", _part_seeds, _read_part, mutations.mutate_zip),
    "settings": Reader("content", _settings_seeds, _read_settings, mutations.mutate_json),
    "state": Reader("network.state", _state_seeds, _read_state, mutations.mutate_zip),
    "study": Reader("trials", _study_seeds, _read_study, mutations.mutate_lines),
}
