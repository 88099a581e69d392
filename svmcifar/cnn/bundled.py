"""The trained networks that come with the package."""

from importlib.resources import files
from pathlib import Path

_REAL, _SYNTHETIC = "reference-w16.onnx", "synthetic-w8.onnx"


def bundled_checkpoint(synthetic: bool) -> Path:
    """Return the path of the network for CIFAR-100, or of that for its synthetic stand-in.

    It is an ``.onnx`` file, so that no PyTorch is needed; the ``.pth`` file and
    the model card lie beside it.
    """
    folder = files("svmcifar.cnn") / "checkpoints"
    return Path(str(folder / (_SYNTHETIC if synthetic else _REAL)))
