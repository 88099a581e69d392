"""Weights that a training keeps besides the current ones: of its best epoch, and snapshots."""

from typing import Any

from torch import Tensor, nn

State = dict[str, Tensor]


class KeptWeights:
    """State dicts on the host; `state_dict` and `load_state_dict` are for the training's state."""

    def __init__(self) -> None:
        self.best: State = {}
        self.snapshots: list[State] = []

    def keep_best(self, network: nn.Module) -> None:
        """Keep the current weights as the best."""
        self.best = _copy(network)

    def add_snapshot(self, network: nn.Module) -> None:
        """Add the current weights to the snapshots."""
        self.snapshots.append(_copy(network))

    def state_dict(self) -> dict[str, Any]:
        """Return all that is kept."""
        return vars(self)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take what `state_dict` returned."""
        self.best, self.snapshots = dict(state["best"]), [dict(one) for one in state["snapshots"]]


def _copy(network: nn.Module) -> State:
    return {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}
