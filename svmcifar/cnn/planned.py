"""Networks of blueprints for images of one shape: by a card, or by names and shapes of tensors."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from torch import nn

from svmcifar.cnn.blueprint import Blueprint
from svmcifar.cnn.differences import find_differences
from svmcifar.compute.image_shape import ImageShape
from svmcifar.errors import CheckpointError, InputError, SvmCifarError


@dataclass(frozen=True, eq=False)
class Planned:
    """A network that `train-cnn` makes, for images of one shape; it resizes them by itself."""

    blueprint: Blueprint
    image_shape: ImageShape
    image_size: None = None

    def __str__(self) -> str:
        return str(self.blueprint)

    @property
    def n_classes(self) -> int:
        """Number of logits."""
        return self.blueprint.n_classes

    def build(self) -> nn.Module:
        """Build a network with random weights."""
        return self.blueprint.build(self.image_shape)

    def to_card(self) -> dict[str, Any]:
        """Return the JSON-ready entry of a model card."""
        return self.blueprint.to_card()


def find_planned(entry: Any, state: Mapping[str, Any], image_shape: ImageShape) -> Planned | None:
    """Return the network of a card's entry, else the small one that a state dict is of, if any.

    Raise CheckpointError if the entry is that of a blueprint that cannot be built, or that the
    tensors of the state dict do not fit.
    """
    try:
        blueprint = Blueprint.from_card(entry)
        if blueprint is None:
            return _guess(state, image_shape)
        planned = Planned(blueprint, image_shape)
        differences = find_differences(state, planned)
    except SvmCifarError as error:
        raise CheckpointError(str(error)) from error
    if differences:
        raise CheckpointError(
            f"the weights must be those of the card's {planned}, got {differences}"
        )
    return planned


def _guess(state: Mapping[str, Any], image_shape: ImageShape) -> Planned | None:
    for blueprint in Blueprint.guesses(state):
        planned = Planned(blueprint, image_shape)
        with suppress(InputError):  # of images that are too small for it
            if not find_differences(state, planned):
                return planned
    return None
