"""Weights to start a training from: of a file, or those that a library has for ImageNet."""

from collections.abc import Mapping
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from svmcifar.cnn.blueprint import AdaptedNetwork, Blueprint, find_classifier
from svmcifar.cnn.libraries import is_library_name
from svmcifar.cnn.state_dict import find_state
from svmcifar.cnn.torch_runtime import read_state
from svmcifar.errors import BackendUnavailableError, CheckpointError, InputError
from svmcifar.io.reading import read_file

State = Mapping[str, Tensor]
IMAGENET = "imagenet"
_BODY = "body."  # of `AdaptedNetwork`


def read_first_weights(named: str, blueprint: Blueprint) -> tuple[State, str]:
    """Read the weights of a file, or get "imagenet", those that the network's library has.

    Return the state dict, and words on what it is.  Raise CheckpointError if a file is missing or
    damaged, InputError if the library has no such weights, and BackendUnavailableError if they
    cannot be downloaded.
    """
    if named != IMAGENET:
        path = Path(named)
        try:
            content = read_file(path)
        except OSError as error:
            raise CheckpointError(
                f"{path}: weights to start from must be a readable file, or 'imagenet', got "
                f"'{error.strerror}'; name another"
            ) from error
        state, _ = find_state(read_state(path, content))
        return state, f"{path.name}, SHA-256 {sha256(content).hexdigest()[:12]}"
    library, _, name = blueprint.name.partition(":")
    if not is_library_name(blueprint.name):
        raise InputError(
            f"Weights for ImageNet must be those of torchvision:NAME or timm:NAME. Got "
            f"{blueprint.name} instead. Name a file, or a network of theirs."
        )
    try:
        return _download(library, name), IMAGENET
    except Exception as error:  # of downloads, in any way
        reason = " ".join(f"{type(error).__name__} '{error}'".split())[:150]
        raise BackendUnavailableError(
            f"weights of {blueprint.name} for ImageNet must be downloadable, or in the library's "
            f"own cache, got {reason}; go online once, or give a file"
        ) from error


def _download(library: str, name: str) -> State:
    if library == "torchvision":
        models = import_module("torchvision.models")
        state: State = models.get_model_weights(name).DEFAULT.get_state_dict(progress=False)
        return state
    network: nn.Module = import_module("timm").create_model(name, pretrained=True)
    return network.state_dict()


def last_layer(network: nn.Module, blueprint: Blueprint) -> nn.Module:
    """Return the head of a network: the last linear layer, or what stands in its place.

    Raise InputError if it does not end in one.
    """
    if isinstance(network, AdaptedNetwork) and blueprint.head != "standard":
        return network.head
    return find_classifier(network, blueprint.n_classes, blueprint.name)[1]


@torch.no_grad()
def load_first_weights(network: nn.Module, weights: State, blueprint: Blueprint) -> None:
    """Load a state dict into a network; its last layer stays random if that has other shapes.

    Raise CheckpointError if any other tensor is missing, unexpected or of another shape, and
    InputError if the network does not end in a linear layer.
    """
    own = network.state_dict()
    heads: tuple[str, ...]
    if isinstance(network, AdaptedNetwork):
        heads = (f"{_BODY}{network.head_path}.", "head.")
        if not any(name.startswith(_BODY) for name in weights):
            weights = {f"{_BODY}{name}": value for name, value in weights.items()}
    else:
        heads = (f"{find_classifier(network, blueprint.n_classes, blueprint.name)[0]}.",)
    wrong = [name for name in {**own, **weights} if _shape(own, name) != _shape(weights, name)]
    wrong = [name for name in wrong if not name.endswith(".num_batches_tracked")]
    if others := [name for name in wrong if not name.startswith(heads)]:
        raise CheckpointError(
            f"weights to start from must be those of {blueprint}, the last layer apart, got "
            f"{others[0]!r} of shape {_shape(weights, others[0])} where it has "
            f"{_shape(own, others[0])}, and {len(others) - 1} other differences; name another file"
        )
    for name, value in own.items():
        if name in weights and not (wrong and name.startswith(heads)):
            value.copy_(weights[name])


def _shape(state: State, name: str) -> str:
    value: Any = state.get(name)
    return str(tuple(value.shape)) if isinstance(value, Tensor) else "none"
