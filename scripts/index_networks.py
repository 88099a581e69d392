"""Write svmcifar/cnn/library_index.json: tensors of all networks of torchvision and timm.

Run it after another release of one of them is pinned; it takes minutes.
"""

import json
import re
import warnings
from collections import defaultdict
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from typing import Any

import timm
import torch
from torch import Tensor, nn

from svmcifar.cnn.differences import build_empty
from svmcifar.cnn.libraries import create_from_library, fixed_size, library_names
from svmcifar.cnn.library_index import INDEX_FILE, fingerprint, sketch
from svmcifar.errors import InputError

_N_CLASSES = 977  # a prime that no layer has as its size
_MOST_COMPARED = 100_000_000  # weights, of networks whose results are compared
# Settings besides the usual ones that people train networks with.
_SETTINGS: dict[str, list[dict[str, Any]]] = {
    "torchvision:googlenet": [{"aux_logits": True}],
    "torchvision:inception_v3": [{"aux_logits": True}],
    "torchvision:mobilenet_v2": [{"width_mult": width} for width in (0.5, 0.75, 1.4)],
}
_PROBE_SIZES = (64, 96, 128, 224)
_SIZE = re.compile(r"_\d{3}$")

Shapes = dict[str, tuple[int, ...]]


def main() -> None:
    """Write the index."""
    warnings.simplefilter("ignore")
    names = [*library_names("torchvision"), *library_names("timm")]
    free_sets: list[list[str]] = []
    groups: dict[tuple[str, int], list[str]] = defaultdict(list)
    sketches = {}
    with ProcessPoolExecutor() as pool:
        for name, found in zip(names, pool.map(_describe, names, chunksize=8), strict=True):
            if not found:
                print(f"{name}: left out", flush=True)
            for printed, free, sketched in found:
                if free not in free_sets:
                    free_sets.append(free)
                groups[printed, free_sets.index(free)].append(name)
                sketches.setdefault(name, sketched)
        ordered = [sorted(set(group), key=_commonness) for group in groups.values()]
        networks = {}
        for (printed, number), kept in zip(groups, pool.map(_distinct, ordered), strict=True):
            networks[printed] = (number, kept)
            if len(kept) > 1:
                print(", ".join(kept), flush=True)
    index = {"free": free_sets, "networks": networks, "sketches": sketches}
    INDEX_FILE.write_text(json.dumps(index, indent=0) + "\n")


def _describe(name: str) -> list[tuple[str, list[str], str]]:
    """Return fingerprint, free entries and sketch of a network, in each of its settings."""
    found = []
    for settings in ({}, *_SETTINGS.get(name, [])):
        if shapes := _shapes(name, None, settings):
            free = sorted([*_heads(shapes), *_positions(name, shapes)])
            found.append((fingerprint(shapes, free), free, sketch(shapes, free)))
    return found


def _shapes(name: str, size: int | None, settings: Mapping[str, Any]) -> Shapes | None:
    try:
        network = build_empty(partial(create_from_library, name, _N_CLASSES, size, **settings))
    except InputError:
        return None
    state = network.state_dict()
    return {k: tuple(v.shape) for k, v in state.items() if not k.endswith("num_batches_tracked")}


def _heads(shapes: Shapes) -> list[str]:
    return [name for name, shape in shapes.items() if shape[:1] == (_N_CLASSES,)]


def _positions(name: str, shapes: Shapes) -> list[str]:
    """Return the embedding of positions, if it is all that another size of images changes."""
    size = fixed_size(name)
    if size is None or not any("pos_emb" in entry for entry in shapes):
        return []
    other = _shapes(name, 2 * size, {})
    if other is None or set(other) != set(shapes):
        return []
    changed = [entry for entry in shapes if shapes[entry] != other[entry]]
    return changed if len(changed) == 1 and "pos_emb" in changed[0] else []


def _commonness(name: str) -> tuple[bool, bool, int, int, str]:
    """Order networks: torchvision's first, then those with the most weights to be had.

    Those of TensorFlow's padding are behind: few train them.
    """
    library, _, short = name.partition(":")
    n_weights = _n_weights().get(short, 0)
    return library != "torchvision", short.startswith("tf_"), -n_weights, len(short), short


@cache
def _n_weights() -> dict[str, int]:
    counts: dict[str, int] = defaultdict(int)
    for name in timm.list_pretrained():
        counts[name.partition(".")[0]] += 1
    return counts


def _distinct(names: list[str]) -> list[str]:
    """Keep one of all networks that compute the same from the same weights."""
    torch.set_num_threads(1)
    kept: list[str] = []
    results: list[Tensor | None] = []
    for name in names:
        # What differs in the size of images alone is one network.
        if any(_SIZE.sub("", name) == _SIZE.sub("", other) for other in kept):
            continue
        result = _result(name, names[0]) if len(names) > 1 else None
        if result is None or not any(_is_equal(result, other) for other in results):
            kept.append(name)
            results.append(result)
    return kept


def _is_equal(result: Tensor, other: Tensor | None) -> bool:
    return other is not None and torch.allclose(result, other, rtol=1e-3, atol=1e-5)


def _result(name: str, first: str) -> Tensor | None:
    """Compute logits of random weights and images; None for those that are too large."""
    own = fixed_size(first)
    for size in [own] if own else _PROBE_SIZES:
        try:
            made = build_empty(partial(create_from_library, name, _N_CLASSES, size))
            if sum(value.numel() for value in made.parameters()) > _MOST_COMPARED:
                return None
            network = create_from_library(name, _N_CLASSES, size).eval()
            _fill(network)
            generator = torch.Generator().manual_seed(1)
            with torch.no_grad():
                result: Tensor = network(torch.randn(1, 3, size, size, generator=generator))
        except (InputError, RuntimeError, ValueError, AssertionError):
            continue
        return result if result.isfinite().all() else None
    return None


@torch.no_grad()
def _fill(network: nn.Module) -> None:
    generator = torch.Generator().manual_seed(0)
    for name, value in sorted(network.state_dict().items()):
        if not value.is_floating_point():
            continue
        noise = torch.randn(value.shape, generator=generator)
        if name.endswith("running_var"):
            value.copy_(1 + 0.1 * noise.abs())
        elif value.ndim > 1:
            value.copy_(noise / max(value[0].numel(), 1) ** 0.5)
        else:
            value.copy_(1 + 0.1 * noise if name.endswith("weight") else 0.3 * noise)


if __name__ == "__main__":
    main()
