"""The known architectures: a state dict is recognised as one of them, and its network built."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from svmcifar.cnn.network import Network
from svmcifar.cnn.reference import ReferenceNetwork
from svmcifar.errors import CheckpointError

ARCHITECTURES: dict[str, type[Network]] = {
    "reference": ReferenceNetwork,
}


@dataclass(frozen=True)
class Architecture:
    """A known architecture, a key of `ARCHITECTURES`, with its sizes as for `Network`."""

    name: str
    width: int
    n_classes: int

    def __str__(self) -> str:
        return f"{self.name}, width {self.width}, {self.n_classes} classes"

    @property
    def network(self) -> type[Network]:
        """The class of its networks."""
        return ARCHITECTURES[self.name]

    def build(self) -> Network:
        """Build a network with random weights."""
        return self.network(self.width, self.n_classes)


def recognise(state: Mapping[str, Any]) -> Architecture:
    """Return the architecture of a state dict.

    Raise CheckpointError if the names or shapes are those of no known network.
    """
    candidates = [
        Architecture(name, *sizes)
        for name, network in ARCHITECTURES.items()
        if (sizes := network.sizes_in(state))
    ]
    if not candidates:
        raise _unknown(f"{len(state)} entries, first {next(iter(state), 'none')!r}")
    for name, value in state.items():
        if not isinstance(value, Tensor):
            raise _unknown(f"{name!r} of type {type(value).__name__}, which is no tensor")
    differences = {candidate: _difference(state, candidate) for candidate in candidates}
    for candidate, difference in differences.items():
        if difference is None:
            return candidate
    raise _unknown(str(differences[candidates[0]]))


def _difference(state: Mapping[str, Any], architecture: Architecture) -> str | None:
    """Describe the first entry that the architecture has in another shape or not at all."""
    with torch.device("meta"):
        expected = architecture.build().state_dict()
    for name in {**expected, **state}:
        wanted, got = _shape(expected.get(name)), _shape(state.get(name))
        if wanted != got and not (name not in state and _is_counter(name)):
            return f"{name!r} of shape {got} where {architecture} has {wanted}"
    return None


def with_counters(state: Mapping[str, Any], expected: Mapping[str, Any]) -> dict[str, Any]:
    """Add the counters of batches that older files leave out, and that inference does not use."""
    missing = {name: v for name, v in expected.items() if name not in state and _is_counter(name)}
    return {**state, **missing}


def _is_counter(name: str) -> bool:
    return name.endswith(".num_batches_tracked")


def _shape(value: Any) -> str:
    return str(tuple(value.shape)) if isinstance(value, Tensor) else "none"


def _unknown(got: str) -> CheckpointError:
    known = " or ".join(
        f"the {name} network ({network.layers})" for name, network in ARCHITECTURES.items()
    )
    return CheckpointError(
        f"A state dict must be that of a known network: {known} of any width. Got {got} instead. "
        f"Export another network with torch.onnx.export(..., external_data=False), and give the "
        f".onnx file."
    )
