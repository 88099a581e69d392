"""Networks that a function of the user's own makes: code that is run where it is named."""

import runpy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from svmcifar.errors import CheckpointError


@dataclass(frozen=True, eq=False)
class Own:
    """A network that a function of the user's own makes."""

    label: str  # as the user named it
    make: Callable[[], nn.Module]
    n_classes: int
    image_size: None = None

    def __str__(self) -> str:
        return f"{self.label}, {self.n_classes} classes"

    def build(self) -> nn.Module:
        """Build a network with random weights."""
        return self.make()

    def to_card(self) -> dict[str, Any]:
        """Return the JSON-ready entry of a model card."""
        return {"name": self.label, "n_classes": self.n_classes}


def own_architecture(named: str) -> Own:
    """Return the architecture that ``FILE.py:FUNCTION`` makes; the file's code is run.

    Raise CheckpointError if there is no such function, or it makes no network.
    """
    path, _, function = named.rpartition(":")
    try:
        if not path.endswith(".py"):
            raise FileNotFoundError("this is no FILE.py:FUNCTION")
        make = runpy.run_path(path)[function]
        network = make()
        if not isinstance(network, nn.Module):
            raise TypeError(f"{function} makes a {type(network).__name__}, no torch.nn.Module")
    except Exception as error:  # of code that is not ours
        reason = f"{type(error).__name__} '{error}'"
        raise CheckpointError(
            f"an architecture must be timm:NAME, torchvision:NAME, or a function without arguments "
            f"that makes the network, named as FILE.py:FUNCTION, got {named!r} and "
            f"{' '.join(reason.split())[:200]}"
        ) from error
    last = [value.shape[0] for value in network.state_dict().values() if value.ndim == 2]
    return Own(named, make, last[-1] if last else 0)
