"""All readers of files, and damage to their seeds without coverage, in an order that is fixed."""

from collections.abc import Iterator
from random import Random

from data_readers import READERS as _OF_DATA
from model_readers import READERS as _OF_MODELS
from run_readers import READERS as _OF_RUNS
from trial import Reader, fault_of

__all__ = ["READERS", "Reader", "damaged", "fault_of"]

READERS: dict[str, Reader] = {**_OF_DATA, **_OF_MODELS, **_OF_RUNS}


def damaged(reader: Reader, seeds: list[bytes], n: int) -> Iterator[bytes]:
    """Yield so many inputs, each a seed that was damaged once or several times."""
    random = Random(0)
    for _ in range(n):
        content = random.choice(seeds)
        for _ in range(random.choice((1, 1, 1, 2, 3))):
            content = reader.mutate(content, random)
        yield content
