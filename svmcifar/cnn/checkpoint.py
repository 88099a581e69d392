"""Checkpoints: weights (.pth), the same as an ONNX graph (.onnx), and a model card (.json)."""

import json
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from svmcifar.cnn.formats import (
    ONNX,
    SAFETENSORS,
    TORCH,
    external_path,
    kind_by_name,
    kind_of,
)
from svmcifar.cnn.image_network import ImageNetwork, OpenedNetwork
from svmcifar.cnn.libraries import is_library_name
from svmcifar.cnn.model_card import card_path, read_card, read_normalisation
from svmcifar.compute.image_shape import ImageShape
from svmcifar.data.dataset import CLASSES, SUPERCLASSES
from svmcifar.errors import BackendUnavailableError, CheckpointError, OutputError
from svmcifar.io.files import atomic_path, written_together
from svmcifar.io.reading import read_file
from svmcifar.text import shortened

if TYPE_CHECKING:
    from torch import nn

_SHAPE = ImageShape(channels=3, height=32, width=32)

# The library that computes each kind of file, and another kind.
_LIBRARIES = {
    TORCH: ("PyTorch", ".onnx"),
    SAFETENSORS: ("PyTorch and safetensors", ".onnx"),
    ONNX: ("ONNX Runtime", ".pth"),
}


def checkpoint_files(path: Path) -> list[Path]:
    """Return the paths that `save_checkpoint` writes: ``*.pth``, ``*.onnx`` and ``*.json``.

    Raise OutputError if `path` does not end in ``.pth``.
    """
    if path.suffix != ".pth":
        raise OutputError(f"{path}: a checkpoint's name must end in .pth; name it {path.stem}.pth")
    return [path, path.with_suffix(".onnx"), card_path(path)]


class Named(Protocol):
    """An architecture: its text is kept in the graph, its entry in the card."""

    def to_card(self) -> dict[str, Any]:
        """Return the JSON-ready entry of a model card."""


def save_checkpoint(
    network: "nn.Module",
    path: Path,
    card: dict[str, Any],
    *,
    half: bool = False,
    architecture: Named | None = None,
    image_shape: ImageShape = _SHAPE,
) -> None:
    """Write a network on the host as ``*.pth``, ``*.onnx`` and ``*.json``; replace existing files.

    All three are written before the first is renamed, and the model card, which holds
    the hashes of the others, comes last: `load_network` detects a card that is out of date.
    `half` stores convolution and product weights as float16: `round_weights` before the
    test makes what is stored what was tested.  An `architecture` that is None is recognised.

    Raise OutputError if the name does not end in ``.pth`` or a file cannot be written, and
    CheckpointError if a weight is not finite or beyond the range of float16, or the network cannot
    be exported.
    """
    from svmcifar.cnn.architectures import recognise
    from svmcifar.cnn.onnx_export import to_onnx
    from svmcifar.cnn.torch_runtime import count_parameters, state_to_store, to_bytes

    pth, onnx, json_file = checkpoint_files(path)
    state = state_to_store(path, network, half)
    architecture = architecture or recognise(state)
    normalisation = read_normalisation(json_file, card["normalisation"])
    try:
        graph = to_onnx(network, state, str(architecture), normalisation, image_shape)
    except Exception as error:  # of PyTorch's exporter, which has many
        reason = " ".join(f"{type(error).__name__} '{error}'".split())[:150]
        raise CheckpointError(
            f"{onnx}: a network must be one that torch.onnx.export can write, got {architecture} "
            f"and {reason}; use another network"
        ) from error
    contents = {pth: to_bytes(state), onnx: graph.SerializeToString(deterministic=True)}
    complete = card | {
        "architecture": architecture.to_card(),
        "n_parameters": count_parameters(network),
        "files": {
            file.name: {"sha256": sha256(content).hexdigest(), "n_bytes": len(content)}
            for file, content in contents.items()
        },
    }
    contents[json_file] = json.dumps(complete, indent=2).encode()
    with written_together():
        for file, content in contents.items():
            with atomic_path(file) as temporary:
                temporary.write_bytes(content)


def load_network(
    path: str | Path,
    class_names: Sequence[str] | None,
    image_shape: ImageShape,
    n_threads: int | None = None,
    key: str | None = None,
    named: str | None = None,
    image_size: int | None = None,
    superclass_names: Sequence[str] = (),
) -> ImageNetwork:
    """Load a network from a file, with its model card if it has one.

    The file is a state dict of PyTorch's (``.pth``, ``.pt``, ``.ckpt``, ``.bin``, ``.pth.tar``) or
    ``.safetensors``, or an ``.onnx`` graph; weights of a graph may lie beside it in
    ``NAME.onnx.data``.  Nothing that it holds is run but the network's own arithmetic.  Class
    names, in the order of the class ids, and image shape are those of the data set; names that
    are None are taken from the card.  Without `n_threads` the runtime chooses.  `key` is where the
    state dict lies, if there are several, `named` the architecture (see
    `svmcifar.cnn.architectures.named_architecture`), and `image_size` the side to which images are
    resized for the network; without it, it is found, else that of the card, else the data set's.
    A network of as many classes as there are `superclass_names` distinguishes these.

    Raise CheckpointError if the file is missing, if it or its card is damaged or unknown, or
    if they do not fit each other or the data set; BackendUnavailableError if PyTorch (for
    ``.pth``) or ONNX Runtime (for ``.onnx``) is missing.
    """
    path = Path(path)
    content, external = _read(path), _read_external(path)
    digest = sha256(content + (external or b"")).hexdigest()
    card = read_card(path, digest)
    entries = card or {}
    if class_names is None and (class_names := entries.get("classes")) is None:
        raise CheckpointError(
            f"{path}: the network's classes must have names, and no card beside it has them; pass "
            "--data to take those of the data set"
        )
    if "classes" in entries and entries["classes"] != list(superclass_names):
        _check_names(card_path(path), entries["classes"], class_names)
    named = named or _noted_name(entries.get("architecture", {}))
    side = image_size or entries.get("image_size")
    opened = _open_network(
        path, content, external, image_shape, n_threads, key, named, side,
        entries.get("architecture"),
    )  # fmt: skip
    if image_size and opened.size != (image_size, image_size):
        raise CheckpointError(
            f"{path}: images must be resized to {opened.size[0]} x {opened.size[1]} for the "
            f"network, got --image-size {image_size}; leave it out"
        )
    label_kind = CLASSES
    if opened.n_classes != len(class_names):
        if opened.n_classes != len(superclass_names):
            upper = f" or {len(superclass_names)} superclasses" if superclass_names else ""
            raise CheckpointError(
                f"{path}: a network must distinguish the {len(class_names)} classes{upper} of the "
                f"data set, got one for {opened.n_classes}; use a network for these classes"
            )
        label_kind, class_names = SUPERCLASSES, superclass_names
    if "classes" in entries:
        _check_names(card_path(path), entries["classes"], class_names)
    if "normalisation" in entries:
        normalisation = read_normalisation(card_path(path), entries["normalisation"])
        opened = replace(opened, normalisation=normalisation)
    if opened.size != (image_shape.height, image_shape.width):
        resized = "images resized to {} x {}".format(*opened.size)
        named_so = tuple((f"{name}, {resized}", make) for name, make in opened.alternatives)
        architecture = f"{opened.architecture}, {resized}"
        opened = replace(opened, architecture=architecture, alternatives=named_so)
    if opened.n_parameters is None:
        opened = replace(opened, n_parameters=entries.get("n_parameters"))
    return ImageNetwork(
        **vars(opened),
        path=path,
        name=path.stem,
        n_bytes=len(content) + len(external or b""),
        sha256=digest,
        card=card,
        class_names=tuple(class_names),
        image_shape=image_shape,
        label_kind=label_kind,
    )


def _noted_name(entry: dict[str, Any]) -> str | None:
    """Return a library's network that a card names and says no more of than its classes."""
    name = entry.get("name")
    if not isinstance(name, str) or set(entry) - {"name", "n_classes"}:
        return None
    return name if is_library_name(name) else None


def _read(path: Path) -> bytes:
    kind_by_name(path)
    try:
        content = read_file(path)
    except FileNotFoundError:
        raise CheckpointError(
            f"{path}: the network's file must exist; make one with 'svmcifar train-cnn'"
        ) from None
    except OSError as error:
        raise CheckpointError(
            f"{path}: the network's file must be readable, got '{error.strerror}'; name another"
        ) from error
    if not content:
        raise CheckpointError(f"{path}: the network's file is empty; copy it again")
    return content


def _read_external(path: Path) -> bytes | None:
    """Read the weights beside a graph; None if there are none."""
    external = external_path(path)
    if kind_by_name(path) != ONNX or not external.is_file():
        return None
    return read_file(external)


def _open_network(
    path: Path,
    content: bytes,
    external: bytes | None,
    image_shape: ImageShape,
    n_threads: int | None,
    key: str | None,
    named: str | None,
    image_size: int | None,
    planned: Any,
) -> OpenedNetwork:
    kind = kind_of(path, content)
    library, other = _LIBRARIES[kind]
    try:
        if kind == ONNX:
            from svmcifar.cnn.onnx_runtime import open_network as open_graph
        else:
            from svmcifar.cnn.torch_runtime import open_network as open_state
    except ImportError as error:
        raise BackendUnavailableError(
            f"{path}: a {path.suffix} file needs {library}, got '{error}'; "
            f"pip install 'svmcifar[cnn]', or use the {other} file beside it"
        ) from error
    if kind == ONNX:
        if image_size is not None:
            image_shape = image_shape._replace(height=image_size, width=image_size)
        return open_graph(path, content, image_shape, n_threads, external)
    return open_state(path, content, image_shape, n_threads, key, named, image_size, planned)


def _check_names(card: Path, names: list[str], expected: Sequence[str]) -> None:
    if names != list(expected):
        pairs = zip_longest(names, expected, fillvalue="none")
        number, pair = next((k, pair) for k, pair in enumerate(pairs) if pair[0] != pair[1])
        got, wanted = map(shortened, pair)
        raise CheckpointError(
            f"{card}: the network's classes must be those of the data set, in their order, "
            f"got '{got}' for class {number}, '{wanted}'; use a network for these classes"
        )
