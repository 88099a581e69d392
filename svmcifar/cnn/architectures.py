"""The known architectures: a state dict is recognised as one of them, and its network built."""

import runpy
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from svmcifar.cnn.families.family import Family
from svmcifar.cnn.families.residual_function import ResidualFunctionNet
from svmcifar.cnn.families.resnet import ResNet
from svmcifar.cnn.families.vgg import VGG
from svmcifar.cnn.network import Network
from svmcifar.cnn.reference import ReferenceNetwork
from svmcifar.errors import CheckpointError

ARCHITECTURES: dict[str, type[Network]] = {
    "reference": ReferenceNetwork,
}

# Networks that others train; a family is a file of its own.
FAMILIES: tuple[type[Family], ...] = (ResNet, ResidualFunctionNet, VGG)


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

    def to_card(self) -> dict[str, Any]:
        """Return the JSON-ready entry of a model card."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Inferred:
    """An architecture of a family, with the sizes that the shapes of a state dict have."""

    family: type[Family]
    state: Mapping[str, Any]
    n_classes: int

    def __str__(self) -> str:
        n_layers = sum(value.ndim > 1 for value in self.state.values())
        return f"{self.family.__name__} of {n_layers} weighted layers, {self.n_classes} classes"

    def build(self) -> nn.Module:
        """Build a network with random weights."""
        return self.family(self.state)

    def to_card(self) -> dict[str, Any]:
        """Return the JSON-ready entry of a model card."""
        return {"name": self.family.__name__, "n_classes": self.n_classes}


@dataclass(frozen=True, eq=False)
class Own:
    """A network that a function of the user's own makes."""

    label: str  # as the user named it
    make: Callable[[], nn.Module]
    n_classes: int

    def __str__(self) -> str:
        return f"{self.label}, {self.n_classes} classes"

    def build(self) -> nn.Module:
        """Build a network with random weights."""
        return self.make()


def named_architecture(named: str, state: Mapping[str, Any]) -> Own:
    """Return the architecture that ``FILE.py:FUNCTION`` makes; the file's code is run.

    Raise CheckpointError if there is no such function, if it makes no network, or one that the
    tensors of a state dict do not fit.
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
            f"an architecture must be a function without arguments that makes the network, named "
            f"as FILE.py:FUNCTION, got {named!r} and {' '.join(reason.split())[:200]}"
        ) from error
    last = [value.shape[0] for value in network.state_dict().values() if value.ndim == 2]
    architecture = Own(named, make, last[-1] if last else 0)
    if differences := _differences(state, architecture):
        first, *more = differences
        others = f", and {len(more)} other differences" if more else ""
        raise CheckpointError(f"the weights must be those of {named}, got {first}{others}")
    return architecture


def recognise(state: Mapping[str, Any]) -> Architecture | Inferred:
    """Return the architecture of a state dict.

    Raise CheckpointError if the names or shapes are those of no known network: it names the nearest
    one, and what differs.
    """
    for name, value in state.items():
        if not isinstance(value, Tensor):
            raise _unknown(f"{name!r} of type {type(value).__name__}, which is no tensor")
    candidates: list[Architecture | Inferred] = [*_trained_here(state)]
    missing = []
    for family in FAMILIES:
        try:
            candidates += _inferred(family, state)
        except KeyError as error:
            missing.append(f"no {error} where {family.__name__} has it")
    if not candidates:
        entries = f"{len(state)} entries, first {next(iter(state), 'none')!r}"
        raise _unknown(next(iter(missing), entries))
    differences = {candidate: _differences(state, candidate) for candidate in candidates}
    nearest = min(candidates, key=lambda candidate: len(differences[candidate]))
    if differences[nearest]:
        first, *more = differences[nearest]
        raise _unknown(f"{first}{f' and {len(more)} other differences' if more else ''}")
    return nearest


def _trained_here(state: Mapping[str, Any]) -> Iterator[Architecture]:
    for name, network in ARCHITECTURES.items():
        if sizes := network.sizes_in(state):
            yield Architecture(name, *sizes)


def _inferred(family: type[Family], state: Mapping[str, Any]) -> list[Inferred]:
    """Return the network of a family, if there is one; raise KeyError if a weight is missing."""
    # Of another family, a layer has other shapes.
    with suppress(ValueError, TypeError, RuntimeError), torch.device("meta"):
        if (network := family.of(state)) is not None:
            *_, last = (value for value in network.state_dict().values() if value.ndim == 2)
            return [Inferred(family, state, last.shape[0])]
    return []


def _differences(
    state: Mapping[str, Any], architecture: Architecture | Inferred | Own
) -> list[str]:
    """Describe the entries that the architecture has in another shape or not at all."""
    with torch.device("meta"):
        expected = architecture.build().state_dict()
    return [
        f"{name!r} of shape {_shape(state.get(name))} where {architecture} has "
        f"{_shape(expected.get(name))}"
        for name in {**expected, **state}
        if _shape(expected.get(name)) != _shape(state.get(name))
        and not (name not in state and _is_counter(name))
    ]


def with_counters(state: Mapping[str, Any], expected: Mapping[str, Any]) -> dict[str, Any]:
    """Add the counters of batches that older files leave out, and that inference does not use."""
    missing = {name: v for name, v in expected.items() if name not in state and _is_counter(name)}
    return {**state, **missing}


def _is_counter(name: str) -> bool:
    return name.endswith(".num_batches_tracked")


def _shape(value: Any) -> str:
    return str(tuple(value.shape)) if isinstance(value, Tensor) else "none"


def _unknown(got: str) -> CheckpointError:
    known = {f"the {name} network": network.layers for name, network in ARCHITECTURES.items()}
    known |= {family.__name__: family.layers for family in FAMILIES}
    names = "; ".join(f"{name} ({layers})" for name, layers in known.items())
    return CheckpointError(
        f"A state dict must be that of a known network: {names}. Got {got} instead. "
        f"Name a function that makes the network with --arch FILE.py:FUNCTION, or export it with "
        f"torch.onnx.export(..., external_data=False) and give the .onnx file."
    )
