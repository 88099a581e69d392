"""The state dict in what a checkpoint holds: under which key it lies, and what begins its names."""

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from svmcifar.errors import CheckpointError

# Keys under which people keep the weights of a network, the commonest first; those of averaged
# weights (EMA) and of other networks are taken where they are asked for.
_KEYS = (
    "state_dict", "model_state_dict", "model", "net", "model_state", "network", "net_state_dict",
    "weights", "params", "module", "ema", "state_dict_ema", "model_ema", "ema_state_dict",
)  # fmt: skip
# What wrappers put before the names: DataParallel, torch.compile, Lightning and people's own.
_PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.")
# Entries that tools leave and that no layer has.
_LEFTOVERS = ("total_ops", "total_params")


def find_state(loaded: Any, key: str | None = None) -> tuple[dict[str, Any], list[str]]:
    """Find the state dict in what was read from a checkpoint.

    Parameters
    ----------
    loaded : object
        Tensors by name, or a dict, nested or not, in which such a dict lies.
    key : str, optional
        Where it lies, with dots between the keys of nested dicts; by default the commonest key.

    Returns
    -------
    state : dict of str to object
        Without what wrappers put before names and what tools leave.
    others : list of str
        Keys of the other state dicts that could be meant.

    Raises
    ------
    CheckpointError
        If there is no state dict under `key`.
    """
    states = dict(_states(loaded))
    if key is not None:
        if key not in states:
            known = ", ".join(name for name in states if name) or "none"
            raise CheckpointError(
                f"a state dict must lie under the key that is named, got none under {key!r}; "
                f"keys of state dicts: {known}"
            )
        chosen = key
    elif states:
        chosen = min(states, key=_rank)
    else:
        return {}, []
    return _cleaned(states[chosen]), [name for name in states if name != chosen]


def with_prefix_of(state: dict[str, Any], expected: Mapping[str, Any]) -> dict[str, Any]:
    """Put before the names of a state dict what `find_state` removed, if a network's begin so."""
    first = next(iter(expected), "")
    prefix = first.removesuffix(next(iter(_cleaned(dict(expected))), ""))
    return {f"{prefix}{name}": value for name, value in state.items()}


def with_plain_head(state: dict[str, Any]) -> dict[str, Any]:
    """Give the last layer, if its name ends in a number, the name of the Sequential that it is in.

    A state dict with other weights in that Sequential then fits no network.
    """
    layer = next(reversed(state), "").rpartition(".")[0]
    head, _, number = layer.rpartition(".")
    if not number.isdecimal():
        return state
    return {
        f"{head}.{name.removeprefix(f'{layer}.')}" if name.startswith(f"{layer}.") else name: value
        for name, value in state.items()
    }


def _states(value: Any, path: str = "", depth: int = 4) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the state dicts in nested dicts, with their keys."""
    if not isinstance(value, Mapping) or depth == 0:
        return
    names = [name for name in value if isinstance(name, str)]
    if any(isinstance(value[name], Tensor) and value[name].ndim for name in names):
        yield path, {str(name): entry for name, entry in value.items()}
        return
    for name in names:
        yield from _states(value[name], f"{path}.{name}" if path else name, depth - 1)


def _rank(path: str) -> tuple[int, int]:
    """Return the order of a key: the commonest first, and of these the least nested."""
    keys = path.split(".") if path else []
    return max((_KEYS.index(k) if k in _KEYS else len(_KEYS) for k in keys), default=-1), len(keys)


def _cleaned(state: dict[str, Any]) -> dict[str, Any]:
    """Remove leftovers of tools, and what all names begin with."""
    state = {name: v for name, v in state.items() if name.rpartition(".")[2] not in _LEFTOVERS}
    while prefix := next((p for p in _PREFIXES if all(n.startswith(p) for n in state)), None):
        if not state:
            break
        state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state
