"""How the tensors of a state dict differ from those of an architecture."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from svmcifar.errors import InputError

_MOST_NAMED = 3


class Buildable(Protocol):
    """An architecture with its sizes; its text is for people."""

    def build(self) -> nn.Module:
        """Build a network with random weights."""


class Differences(NamedTuple):
    """Entries that do not fit, described."""

    missing: list[str]
    unexpected: list[str]
    reshaped: list[str]

    def __len__(self) -> int:
        return sum(map(len, self._lists()))

    def __bool__(self) -> bool:
        return len(self) > 0

    def __str__(self) -> str:
        kinds = zip(("missing", "unexpected", "of another shape"), self._lists(), strict=True)
        return "; ".join(f"{kind}: {_listed(names)}" for kind, names in kinds if names)

    def _lists(self) -> tuple[list[str], list[str], list[str]]:
        return self.missing, self.unexpected, self.reshaped


def find_differences(state: Mapping[str, Any], architecture: Buildable) -> Differences:
    """Compare the names and shapes of a state dict with those of an architecture."""
    expected = build_empty(architecture.build).state_dict()
    return Differences(
        missing=[
            f"{name!r} of shape {_shape(expected[name])}"
            for name in expected
            if name not in state and not _is_counter(name)
        ],
        unexpected=[
            f"{name!r} of shape {_shape(state[name])}" for name in state if name not in expected
        ],
        reshaped=[
            f"{name!r} of shape {_shape(state[name])} instead of {_shape(expected[name])}"
            for name in expected
            if name in state and _shape(state[name]) != _shape(expected[name])
        ],
    )


def build_empty(build: Callable[[], nn.Module]) -> nn.Module:
    """Build a network without memory for its weights, or with, if it computes while it is built."""
    try:
        with torch.device("meta"):
            return build()
    except (RuntimeError, InputError):
        return build()


def with_counters(state: Mapping[str, Any], expected: Mapping[str, Any]) -> dict[str, Any]:
    """Add the counters of batches that older files leave out, and that inference does not use."""
    missing = {name: v for name, v in expected.items() if name not in state and _is_counter(name)}
    return {**state, **missing}


def _is_counter(name: str) -> bool:
    return name.endswith(".num_batches_tracked")


def _shape(value: Any) -> str:
    return str(tuple(value.shape)) if isinstance(value, Tensor) else "none"


def _listed(names: list[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
