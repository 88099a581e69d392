"""The known architectures: a state dict is recognised as one of them, and its network built."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from svmcifar.cnn.differences import build_empty, find_differences
from svmcifar.cnn.families.family import Family
from svmcifar.cnn.families.residual_function import ResidualFunctionNet
from svmcifar.cnn.families.resnet import ResNet
from svmcifar.cnn.families.staged_mobilenet import StagedMobileNet
from svmcifar.cnn.families.staged_shufflenet import StagedShuffleNet
from svmcifar.cnn.families.vgg import VGG
from svmcifar.cnn.libraries import is_library_name
from svmcifar.cnn.library_networks import (
    FromLibrary,
    fit_network,
    fit_networks,
    library_candidates,
    nearest_candidates,
)
from svmcifar.cnn.network import Network
from svmcifar.cnn.own_architecture import Own, own_architecture
from svmcifar.cnn.planned import Planned
from svmcifar.cnn.reference import ReferenceNetwork
from svmcifar.cnn.state_dict import with_plain_head, with_prefix_of
from svmcifar.errors import BackendUnavailableError, CheckpointError, InputError

ARCHITECTURES: dict[str, type[Network]] = {
    "reference": ReferenceNetwork,
}

# Networks that others train; a family is a file of its own.
FAMILIES: tuple[type[Family], ...] = (
    ResNet,
    ResidualFunctionNet,
    VGG,
    StagedMobileNet,
    StagedShuffleNet,
)

_WAY_OUT = (
    "Name its own with --arch timm:NAME, torchvision:NAME or FILE.py:FUNCTION, or export it with "
    "torch.onnx.export(..., external_data=False) and give the .onnx file."
)


@dataclass(frozen=True)
class Architecture:
    """A known architecture, a key of `ARCHITECTURES`, with its sizes as for `Network`."""

    name: str
    width: int
    n_classes: int

    @property
    def image_size(self) -> None:
        """Side of the images that it must be built for: none, see `Network.image_shape`."""

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
    image_size: None = None

    def __str__(self) -> str:
        n_layers = sum(value.ndim > 1 for value in self.state.values())
        return f"{self.family.__name__} of {n_layers} weighted layers, {self.n_classes} classes"

    def build(self) -> nn.Module:
        """Build a network with random weights."""
        return self.family(self.state)

    def to_card(self) -> dict[str, Any]:
        """Return the JSON-ready entry of a model card."""
        return {"name": self.family.__name__, "n_classes": self.n_classes}


Known = Architecture | Inferred | FromLibrary | Own | Planned


def named_architecture(
    named: str, state: dict[str, Any], image_size: int | None = None
) -> tuple[FromLibrary | Own, dict[str, Any]]:
    """Return what ``timm:NAME``, ``torchvision:NAME`` or ``FILE.py:FUNCTION`` names.

    The state dict comes with it, its names beginning as those of the network do.

    The file's code is run.  `image_size` is the side of the images that it gets, if that is told.
    Raise CheckpointError if there is no such function, if it makes no network, or one that the
    tensors of a state dict do not fit; InputError if a library has no such network, and
    BackendUnavailableError without the library.
    """
    if is_library_name(named):
        architecture: FromLibrary | Own = fit_network(named, state, image_size)
    else:
        architecture = own_architecture(named)
        state = with_prefix_of(state, build_empty(architecture.build).state_dict())
    if differences := find_differences(state, architecture):
        raise CheckpointError(f"the weights must be those of {named}, got {differences}")
    return architecture, state


def fitting_architectures(
    state: dict[str, Any], image_size: int | None = None
) -> tuple[list[Known], dict[str, Any]]:
    """Return `find_architectures`, and the state dict with the names of their last layer.

    Many put dropout before a network's last layer, in a `Sequential` of its name.
    """
    try:
        return find_architectures(state, image_size), state
    except CheckpointError:
        renamed = with_plain_head(state)
        with suppress(CheckpointError):
            return find_architectures(renamed, image_size), renamed
        raise


def recognise(state: Mapping[str, Any], image_size: int | None = None) -> Known:
    """Return the first of `find_architectures`."""
    return find_architectures(state, image_size)[0]


def find_architectures(state: Mapping[str, Any], image_size: int | None = None) -> list[Known]:
    """List the architectures that a state dict can be of, the commonest first.

    There are several where networks compute differently from the same tensors.  `image_size` is the
    side of the images that the network gets, where that is known.  Raise CheckpointError if the
    names or shapes are those of no known network: it names the nearest one, and what differs.
    """
    for name, value in state.items():
        if not isinstance(value, Tensor):
            raise _unknown(f"{name!r} of type {type(value).__name__}, which is no tensor")
    found = _of_libraries(library_candidates(state), state, image_size)
    if fitting := [one for one in found if not find_differences(state, one)]:
        return list(fitting)
    candidates: list[Known] = [*_trained_here(state)]
    missing = []
    for family in FAMILIES:
        try:
            candidates += _inferred(family, state)
        except KeyError as error:
            missing.append(f"no {error} where {family.__name__} has it")
    differences = {candidate: find_differences(state, candidate) for candidate in candidates}
    if fitting_here := [one for one in candidates if not differences[one]]:
        return fitting_here
    for one in _of_libraries(nearest_candidates(state), state, image_size):
        differences[one] = find_differences(state, one)
    if not differences:
        entries = f"{len(state)} entries, first {next(iter(state), 'none')!r}"
        raise _unknown(next(iter(missing), entries))
    nearest = min(differences, key=lambda candidate: len(differences[candidate]))
    raise CheckpointError(
        f"A state dict must be that of a known network; the nearest is {nearest}. "
        f"Got {differences[nearest]}. {_WAY_OUT}"
    )


def _of_libraries(
    names: Sequence[str], state: Mapping[str, Any], image_size: int | None
) -> list[FromLibrary]:
    """Return networks of libraries; one that is missing, or older, has none of them."""
    found: list[FromLibrary] = []
    for name in names:
        with suppress(BackendUnavailableError, InputError):
            found += fit_networks(name, state, image_size)
    return found


def _trained_here(state: Mapping[str, Any]) -> Iterator[Architecture]:
    for name, network in ARCHITECTURES.items():
        if sizes := network.sizes_in(state):
            yield Architecture(name, *sizes)


def _inferred(family: type[Family], state: Mapping[str, Any]) -> list[Inferred]:
    """Return the network of a family, if there is one; raise KeyError if a weight is missing."""
    # Of another family, a layer has other shapes.
    with suppress(ValueError, TypeError, RuntimeError), torch.device("meta"):
        if (network := family.of(state)) is not None:
            *_, last = (value for value in network.state_dict().values() if value.ndim > 1)
            return [Inferred(family, state, last.shape[0])]
    return []


def _unknown(got: str) -> CheckpointError:
    known = {f"the {name} network": network.layers for name, network in ARCHITECTURES.items()}
    known |= {family.__name__: family.layers for family in FAMILIES}
    names = "; ".join(f"{name} ({layers})" for name, layers in known.items())
    return CheckpointError(
        f"A state dict must be that of a known network: {names}; those of torchvision and timm. "
        f"Got {got} instead. {_WAY_OUT}"
    )
