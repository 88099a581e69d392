"""The state of a training, written after each epoch and read to resume it."""

from io import BytesIO
from pathlib import Path
from typing import Any

import torch

from svmcifar.cnn.torch_runtime import load_tensors, require_safe_torch
from svmcifar.errors import CheckpointError
from svmcifar.io.files import atomic_path
from svmcifar.io.reading import read_file

History = list[dict[str, float]]


def save_state(
    path: Path, identity: dict[str, Any], parts: dict[str, Any], history: History
) -> None:
    """Write the state of network, optimizer and schedule atomically.

    `identity` holds plain values: a training with the same ones can resume from here.  `parts`
    are objects with ``state_dict`` and ``load_state_dict``, by name.  Raise OutputError if the
    file cannot be written.
    """
    states = {name: part.state_dict() for name, part in parts.items()}
    # Given a path or a file, PyTorch rejects some names, and raises no OSError if the disk is full.
    content = BytesIO()
    torch.save({"about": identity, "history": history, **states}, content)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.getbuffer())


def load_state(path: Path, identity: dict[str, Any], parts: dict[str, Any]) -> History:
    """Load what `save_state` wrote into the same parts; return the history so far.

    Raise CheckpointError if the file is damaged, or of a training on other data or by another
    recipe, and BackendUnavailableError if PyTorch is too old to read it safely.
    """
    require_safe_torch(path)
    try:
        # On the host: each part moves what it loads, and Adam keeps its step counts there.
        state = dict(load_tensors(read_file(path)))
        was, history = dict(state["about"]), list(state["history"])
        if any(not isinstance(n, int | float) for entry in history for n in entry.values()):
            raise TypeError("the history must be numbers by name")
        if was == identity:
            for name, part in parts.items():
                part.load_state_dict(state[name])
            return history
    except Exception as error:  # what PyTorch raises for a damaged file is not limited
        reason = (str(error).splitlines() or [""])[0][:100]
        raise CheckpointError(
            f"{path}: the state of a stopped training must be readable, got "
            f"'{type(error).__name__}: {reason}'; delete it to start anew"
        ) from error
    differing = [key for key in {**identity, **was} if was.get(key) != identity.get(key)]
    raise CheckpointError(
        f"{path}: a stopped training must have the same data and recipe, got another "
        f"{', '.join(map(str, differing))}; go on with its own options, or delete it to start anew"
    )
