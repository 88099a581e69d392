"""What is being worked on, for whoever shows it; nothing here knows of terminals.

Code that takes seconds does so in a `stage`.  The command line draws the stages under way, about
twice a second; in Python nobody looks, and a stage costs two operations on a list.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from time import monotonic
from typing import Any


class Stage:
    """A piece of work, of which some may be done already; `total` is None if it is not counted."""

    def __init__(self, name: str, total: int | None, unit: str, bar: Any = None) -> None:
        self.name = name
        self.total = total
        self.unit = unit
        self.done = 0
        self.started = monotonic()
        self._bar = bar
        self._lock = Lock()

    def advance(self, n: int = 1) -> None:
        """Count `n` more units as done; any thread may."""
        with self._lock:
            self.done += n
            if self._bar is not None:
                self._bar.update(n)


_under_way: list[Stage] = []


@contextmanager
def stage(
    name: str, total: int | None = None, unit: str = "", *, bar: bool = False
) -> Iterator[Stage]:
    """Work in a stage; yield it, to count what is done.

    Parameters
    ----------
    name : str
        What is done, in a few words.
    total : int, optional
        Number of units in all, if they are counted.
    unit : str, optional
        What is counted, in the plural.
    bar : bool, default=False
        Draw a progress bar besides, for callers in Python who ask for one.
    """
    drawn = None
    if bar:
        from tqdm import tqdm

        drawn = tqdm(total=total, desc=name, unit=f" {unit}")
    current = Stage(name, total, unit, drawn)
    _under_way.append(current)
    try:
        yield current
    finally:
        _under_way.remove(current)
        if drawn is not None:
            drawn.close()


def stages_under_way() -> list[Stage]:
    """Return the stages under way, the innermost last."""
    return list(_under_way)
