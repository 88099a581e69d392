"""Time spent on a piece of work: on the clock, and by all threads of this process and helpers."""

import os
from time import perf_counter, process_time
from typing import ClassVar


class Stopwatch:
    """Runs from when it is made; `load` is the machine's load average just before, if known."""

    # Seconds of the processor that processes beside this one have spent for it, as they told.
    helpers_cpu_s: ClassVar[float] = 0.0

    def __init__(self) -> None:
        self.load = load_average()
        self._wall, self._cpu = perf_counter(), process_time() + self.helpers_cpu_s

    @property
    def wall_s(self) -> float:
        """Seconds on the clock."""
        return perf_counter() - self._wall

    @property
    def cpu_s(self) -> float:
        """Seconds of the processor, of all threads together; those of a GPU are none."""
        return process_time() + self.helpers_cpu_s - self._cpu


def load_average() -> float | None:
    """Return the average number of running tasks of the last minute; None on Windows."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None
