"""The interface of a family of networks."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from torch import nn


class Family(nn.Module):
    """Networks that are built from the names and shapes of their weights, for reading alone.

    Attributes
    ----------
    layers : str
        Names of its layers, for errors.
    """

    layers: ClassVar[str]

    @abstractmethod
    def __init__(self, state: Mapping[str, Any]) -> None:
        """Build the network whose layers have the shapes of a state dict's."""
        super().__init__()

    @classmethod
    @abstractmethod
    def of(cls, state: Mapping[str, Any]) -> Self | None:
        """Build the network of a state dict, None if it is none of this family.

        What is found out from a few names is compared with all of them afterwards.
        """
