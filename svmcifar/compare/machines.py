"""The machines that models were trained on, and whether they are the same."""

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

# What `svmcifar.cnn.recipe.device_name` says of a processor.
_DEVICE = re.compile(r"(?P<processor>.+), (?P<threads>\d+) threads \(\w+\)")


class Machine(NamedTuple):
    """A machine, as far as a record of training tells; None for what it does not."""

    processor: str | None = None  # its model
    cores: int | None = None
    threads: int | None = None  # that were used

    def describe(self) -> str | None:
        """Return it in words, None if nothing is known."""
        counts = (("core", self.cores), ("thread", self.threads))
        parts = [f"{n} {word}{'s' * (n > 1)}" for word, n in counts if n is not None]
        return ", ".join(filter(None, (self.processor, *parts))) or None


def machine_of_card(card: dict[str, Any]) -> Machine:
    """Return a network's machine; older cards do not tell the cores, those of a GPU neither."""
    device = card.get("device")
    found = _DEVICE.fullmatch(device or "")
    if not found:
        return Machine(device)
    host = card.get("host")
    cores = host.get("cores") if isinstance(host, dict) else None
    return Machine(found["processor"], cores, int(found["threads"]))


def are_same(machines: Iterable[Machine]) -> bool | None:
    """Return whether machines have one processor model and as many cores; None if unknown."""
    machines = list(machines)
    if any(len({m[part] for m in machines} - {None}) > 1 for part in (0, 1)):
        return False
    return True if all(None not in m[:2] for m in machines) else None


def shared(machines: Sequence[Machine]) -> Machine:
    """Return what several machines have in common."""
    parts = zip(*machines, strict=True)
    return Machine(*(values[0] if len(set(values)) == 1 else None for values in parts))
