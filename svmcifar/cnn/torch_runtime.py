"""State dicts in .pth files: read, written, and their networks computed by PyTorch."""

import io
import re
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load as safetensors_load
from torch import Tensor, nn

from svmcifar.cnn.architectures import (
    Architecture,
    Known,
    fitting_architectures,
    named_architecture,
)
from svmcifar.cnn.differences import build_empty, with_counters
from svmcifar.cnn.formats import SAFETENSORS, kind_of
from svmcifar.cnn.image_network import Compute, OpenedNetwork
from svmcifar.cnn.planned import find_planned
from svmcifar.cnn.state_dict import find_state
from svmcifar.compute.image_shape import ImageShape
from svmcifar.errors import BackendUnavailableError, CheckpointError, InputError
from svmcifar.io.stored_zip import open_zip

_BATCH = 128
_SAFE_TORCH = "2.10"  # a file can make older ones run code in spite of weights_only


def require_safe_torch(path: Path) -> None:
    """Raise BackendUnavailableError if a file could make this PyTorch run code."""
    if torch.__version__ < _SAFE_TORCH:
        raise BackendUnavailableError(
            f"{path}: reading a PyTorch file safely needs PyTorch 2.10 or newer, "
            f"got {torch.__version__}; upgrade it, or use an .onnx file"
        )


def open_network(
    path: Path,
    content: bytes,
    image_shape: ImageShape,
    n_threads: int | None,
    key: str | None = None,
    named: str | None = None,
    image_size: int | None = None,
    planned: Any = None,
) -> OpenedNetwork:
    """Open the content of a file, the state dict of a known network, on the CPU.

    It may lie under a key, and its names may begin with what wrappers put before them (see
    `svmcifar.cnn.state_dict.find_state`).  `n_threads` is set for all of PyTorch.  An architecture
    that is `named` is not recognised but made (see `named_architecture`), and so is one that is
    `planned` by a card's entry which is that of a `Blueprint`.  `image_size` is the
    side of the images that it gets: by default what its tensors or its library tell, else that of
    `image_shape`.

    Raise CheckpointError, which names `path`, if the file is damaged, holds anything but
    tensors and plain values, belongs to no known network, or to one for images of another
    shape; BackendUnavailableError if PyTorch is too old to read it safely.
    """
    require_safe_torch(path)
    if n_threads is not None:
        torch.set_num_threads(n_threads)
    try:
        state, others = find_state(read_state(path, content), key)
        alike: list[Known] = []
        architecture: Known
        if named is not None:
            architecture, state = named_architecture(named, state, image_size)
        elif (found := find_planned(planned, state, image_shape)) is not None:
            architecture = found
        else:
            (architecture, *alike), state = fitting_architectures(state, image_size)
    except CheckpointError as error:
        if str(error).startswith(str(path)):
            raise
        raise CheckpointError(f"{path}: {error}") from error
    if others:
        warnings.warn(
            f"{path} holds several state dicts; for another one than was taken give "
            f"--checkpoint-key {' or '.join(others)}",
            stacklevel=2,
        )
    if isinstance(architecture, Architecture) and architecture.network.image_shape != image_shape:
        raise CheckpointError(
            f"{path}: a network must take images of shape {tuple(image_shape)}, got {architecture} "
            f"for {tuple(architecture.network.image_shape)}; use a network for these images"
        )
    network = _load(path, architecture, state)
    side = architecture.image_size or image_size
    taken = image_shape._replace(height=side, width=side) if side else image_shape
    try:
        logits = _compute_logits(network, np.zeros((1, *taken), np.float32))
    except Exception as error:  # of networks that are not ours
        raise CheckpointError(
            f"{path}: the network must work on images of shape {tuple(taken)}, got "
            f"{architecture} and {_named(error, str(error))}; use a network for these images, or "
            f"name another size with --image-size"
        ) from error
    return OpenedNetwork(
        architecture=str(architecture),
        n_classes=logits.shape[1],
        n_parameters=count_parameters(network),
        runtime=f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads",
        normalisation=None,
        size=(taken.height, taken.width),
        batch_size=_BATCH,
        compute_logits=partial(_compute_logits, network),
        alternatives=tuple((str(one), partial(_compute_by, path, one, state)) for one in alike),
    )


def _load(path: Path, architecture: Known, state: dict[str, Tensor]) -> nn.Module:
    """Build a network with these weights."""
    expected = build_empty(architecture.build).state_dict()
    if strange := [n for n, value in state.items() if not _is_plain(n, value, expected[n])]:
        raise CheckpointError(
            f"{path}: weights must be dense floating-point tensors, got {strange[0]!r} of "
            f"{state[strange[0]].dtype}, {state[strange[0]].layout}; save the network unquantised"
        )
    if broken := [n for n, value in state.items() if not value.isfinite().all()]:
        raise CheckpointError(
            f"{path}: weights must be finite, got others in {broken[0]!r}; take the checkpoint of "
            f"an earlier epoch"
        )
    try:
        network = architecture.build()
        weights = network.state_dict()
        # In place: what is noted beside the weights, such as versions of layers, stays.
        weights.update(with_counters(state, weights))
        network.load_state_dict(weights)
    except (RuntimeError, InputError) as error:
        raise CheckpointError(
            f"{path}: the network must fit the memory, got {architecture} and "
            f"{_named(error, str(error))}; use another network"
        ) from error
    network.eval().to(memory_format=torch.channels_last)
    return network


def _compute_by(path: Path, architecture: Known, state: dict[str, Tensor]) -> Compute:
    return partial(_compute_logits, _load(path, architecture, state))


def state_to_store(path: Path, network: nn.Module, half: bool) -> dict[str, Tensor]:
    """Return the state dict as it is written; `half` stores the large weights as float16.

    Raise CheckpointError if a weight is not finite, or beyond the range of float16.
    """
    state = {}
    for name, value in network.state_dict().items():
        stored = value.half() if half and _is_large(value) else value
        if not stored.isfinite().all():
            raise CheckpointError(
                f"{path}: weights must be finite{' and at most 65504 as float16' if half else ''}, "
                f"got others in {name!r}; train with a lower learning rate"
            )
        state[name] = stored.contiguous()
    return state


def to_bytes(state: dict[str, Tensor]) -> bytes:
    """Serialise a state dict: the same bytes for the same tensors."""
    buffer = io.BytesIO()  # torch.save would keep the name of a file
    torch.save(state, buffer)
    return buffer.getvalue()


@torch.no_grad()
def round_weights(network: nn.Module) -> None:
    """Round convolution and product weights, in place, to values that float16 holds."""
    for value in network.state_dict().values():
        if _is_large(value):
            value.copy_(value.half())


def count_parameters(network: nn.Module) -> int:
    """Count learned weights."""
    return sum(value.numel() for value in network.parameters())


def load_tensors(content: bytes) -> Any:
    """Read what `torch.save` wrote, tensors and plain values, on the host.

    A damaged file raises anything.  An archive takes no more memory than it is large, as those that
    PyTorch writes.
    """
    if content.startswith(b"PK\x03\x04"):
        open_zip(io.BytesIO(content)).close()
    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


def read_state(path: Path, content: bytes) -> Any:
    """Read what a file of weights holds; raise CheckpointError if it is damaged or holds code."""
    if kind_of(path, content) == SAFETENSORS:
        try:
            return safetensors_load(content)
        except Exception as error:  # a damaged file fails in any way
            raise CheckpointError(
                f"{path}: a .safetensors file must be whole, got {_named(error, str(error))}; "
                "copy it again"
            ) from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on the pickle's age: it is read or refused
            return load_tensors(content)
    except Exception as error:  # a damaged file fails in any way
        # PyTorch's own message tells the user to switch the safeguard off: keep its last part.
        reason = str(error).rpartition("WeightsUnpickler error:")[2]
        if match := re.search(r"GLOBAL (\S+)", reason):
            raise CheckpointError(
                f"{path}: a .pth file must hold tensors and plain values only, got {match[1]}; "
                "none of it was run; save it with torch.save(network.state_dict(), ...)"
            ) from error
        raise CheckpointError(
            f"{path}: a .pth file must be whole, got {_named(error, reason)}; "
            "copy it again, or save it with torch.save(network.state_dict(), ...)"
        ) from error


def _is_plain(name: str, value: Tensor, expected: Tensor) -> bool:
    """Return whether a tensor is of the kind that is expected, and no larger than its memory."""
    if value.layout != torch.strided:
        return False
    if value.untyped_storage().nbytes() < value.numel() * value.element_size():
        return False  # a small file would claim to hold a huge tensor
    is_counter = name.endswith(".num_batches_tracked")
    return is_counter or value.is_floating_point() == expected.is_floating_point()


def _named(error: Exception, reason: str) -> str:
    return f"{type(error).__name__} '{reason.strip()[:60]}'".splitlines()[0]


def _is_large(value: Tensor) -> bool:
    """Return whether these are convolution or product weights; vectors are small and stay exact."""
    return value.ndim > 1 and value.is_floating_point()


@torch.inference_mode()
def _compute_logits(network: nn.Module, images: NDArray[np.float32]) -> NDArray[np.float32]:
    batch = torch.from_numpy(images).contiguous(memory_format=torch.channels_last)
    logits: NDArray[np.float32] = network(batch).numpy()
    return logits
