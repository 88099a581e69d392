"""Which kind of file holds a network, by its content; a way out for those that are not read."""

import io
import zipfile
from pathlib import Path

from svmcifar.errors import CheckpointError
from svmcifar.io.stored_zip import ZIP_ERRORS

TORCH, SAFETENSORS, ONNX = "torch", "safetensors", "onnx"

# Kinds by the end of a name.
_ENDS = {
    ".pth": TORCH, ".pt": TORCH, ".ckpt": TORCH, ".bin": TORCH, ".pth.tar": TORCH, ".pt.tar": TORCH,
    ".safetensors": SAFETENSORS, ".onnx": ONNX,
}  # fmt: skip
_KERAS = (".h5", ".hdf5", ".keras", ".pb", ".tflite")
_TO_ONNX = "convert it with 'python -m tf2onnx.convert --keras FILE --output model.onnx'"
_STATE_DICT = "save it with torch.save(network.state_dict(), ...), or export it to .onnx"


def external_path(path: Path) -> Path:
    """Return the file beside an ONNX graph in which PyTorch keeps large weights."""
    return path.with_name(f"{path.name}.data")


def is_network_name(path: Path) -> bool:
    """Return whether a file's name is that of a network, be it one that is read or of Keras."""
    return path.name.lower().endswith((*_ENDS, *_KERAS))


def kind_by_name(path: Path) -> str:
    """Return the kind of a network's file by its name.

    Raise CheckpointError if it is none that is read.
    """
    name = path.name.lower()
    kind = next((kind for end, kind in _ENDS.items() if name.endswith(end)), None)
    if kind is None:
        remedy = _TO_ONNX if name.endswith(_KERAS) else "rename or export it"
        raise CheckpointError(
            f"{path}: a network's file must end in .pth, .pt, .ckpt, .bin or .pth.tar (PyTorch), "
            f".safetensors or .onnx, got '{path.suffix}'; {remedy}"
        )
    return kind


def kind_of(path: Path, content: bytes) -> str:
    """Return the kind of a file by its content, or by its name where that does not tell.

    Raise CheckpointError for files that would run code, and those of other libraries.
    """
    if content.startswith(b"\x89HDF"):
        raise _foreign(path, "a file of Keras", _TO_ONNX)
    if content[4:8] == b"ORTM":
        raise _foreign(path, "ONNX Runtime's own format", "give the .onnx file it was made from")
    if content[8:9] == b"{" and 0 < int.from_bytes(content[:8], "little") <= len(content) - 8:
        return SAFETENSORS
    if content.startswith(b"PK\x03\x04"):
        names = _members(content)
        if any(name.endswith("model.weights.h5") for name in names):
            raise _foreign(path, "a file of Keras", _TO_ONNX)
        if any("/code/" in name or name.endswith("constants.pkl") for name in names):
            raise _foreign(path, "TorchScript, which is code", _STATE_DICT)
        if any("archive_format" in name or name.endswith(".pt2") for name in names):
            raise _foreign(path, "a program exported by torch.export", _STATE_DICT)
        if any(name.endswith("data.pkl") for name in names):
            return TORCH
    return kind_by_name(path)


def _members(content: bytes) -> list[str]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return archive.namelist()
    except (*ZIP_ERRORS, OSError):
        return []


def _foreign(path: Path, what: str, remedy: str) -> CheckpointError:
    return CheckpointError(
        f"{path}: a network must be a state dict or an ONNX graph, got {what}; {remedy}"
    )
