"""Which networks of torchvision and timm have tensors of these names and shapes.

`library_index.json` holds the answer for all of them, so that none need be built to find one:
``scripts/index_networks.py`` writes it.
"""

import json
from collections.abc import Iterable, Mapping
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

# Bits of the hash of an entry, and of the sum of those of all entries.
_BITS = 64
_SKETCH_BITS, _SKETCH_SIZE = 24, 8
_LEAST_SHARE, _MOST_NEAREST = 0.5, 6
INDEX_FILE = Path(__file__).with_suffix(".json")

Shapes = Mapping[str, tuple[int, ...]]


class Index(NamedTuple):
    """Networks by fingerprint.

    Attributes
    ----------
    free : list of list of str
        Sets of entries that a fingerprint leaves out: heads, which differ with the number of
        classes, and embeddings of positions, which differ with the size of images.
    networks : dict of str to (int, list of str)
        By fingerprint: which set it leaves out, and names of networks, the commonest first, that
        compute differently from the same weights.
    sketches : dict of str to str
        Hashes of some entries of a network, by its name.
    """

    free: list[list[str]]
    networks: dict[str, tuple[int, list[str]]]
    sketches: dict[str, str]


def find_networks(shapes: Shapes) -> list[str]:
    """List the networks with entries of these names and shapes, the commonest first."""
    index = _read()
    hashes = {name: _hash(name, shape) for name, shape in shapes.items()}
    total = sum(hashes.values())
    for number, names in enumerate(index.free):
        if all(name in hashes for name in names):
            found = index.networks.get(_fingerprint(total - sum(hashes[n] for n in names)))
            if found is not None and found[0] == number:
                return found[1]
    return []


def nearest_networks(shapes: Shapes) -> list[str]:
    """List the networks that share most entries with these: a few, none if none shares half."""
    present = {_short(_hash(name, shape)) for name, shape in shapes.items()}
    shares = {
        name: sum(one in present for one in text.split()) / _SKETCH_SIZE
        for name, text in _read().sketches.items()
    }
    most = max(_LEAST_SHARE, *shares.values())
    nearest = [name for name, share in shares.items() if share == most]
    return sorted(nearest, key=len)[:_MOST_NEAREST]


def fingerprint(shapes: Shapes, free: Iterable[str]) -> str:
    """Return the fingerprint of a network, without its `free` entries."""
    left = set(free)
    return _fingerprint(sum(_hash(name, shapes[name]) for name in shapes if name not in left))


def sketch(shapes: Shapes, free: Iterable[str]) -> str:
    """Return the sketch of a network: the smallest hashes of its entries."""
    left = set(free)
    hashes = sorted(_hash(name, shape) for name, shape in shapes.items() if name not in left)
    return " ".join(map(_short, hashes[:_SKETCH_SIZE]))


@cache
def _read() -> Index:
    return Index(**json.loads(INDEX_FILE.read_text()))


def _hash(name: str, shape: tuple[int, ...]) -> int:
    digest = blake2b(f"{name} {tuple(shape)}".encode(), digest_size=_BITS // 8)
    return int.from_bytes(digest.digest(), "big")


def _fingerprint(total: int) -> str:
    return f"{total % 2**_BITS:0{_BITS // 4}x}"


def _short(value: int) -> str:
    # The last bits: the first are small for all that a sketch has.
    return f"{value % 2**_SKETCH_BITS:0{_SKETCH_BITS // 4}x}"
