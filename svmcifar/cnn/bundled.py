"""The trained networks that come with the package."""

from importlib.resources import files
from pathlib import Path

_REAL, _SYNTHETIC = "reference-w16.onnx", "synthetic-w8.onnx"


def bundled_checkpoint(synthetic: bool) -> Path:
    """Give the path of a network that comes with the package.

    It is an ``.onnx`` file, so that no PyTorch is needed; the ``.pth`` file and
    the card lie beside it.

    Parameters
    ----------
    synthetic : bool
        Whether it shall be the one for the synthetic data set.

    Returns
    -------
    Path
    """
    folder = files("svmcifar.cnn") / "checkpoints"
    return Path(str(folder / (_SYNTHETIC if synthetic else _REAL)))
