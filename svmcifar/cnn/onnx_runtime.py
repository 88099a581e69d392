"""Networks from .onnx files, computed by ONNX Runtime."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from svmcifar.cnn.image_network import OpenedNetwork
from svmcifar.cnn.model_card import REFERENCE_NORMALISATION, Normalisation, read_normalisation
from svmcifar.compute.image_shape import ImageShape
from svmcifar.errors import CheckpointError
from svmcifar.text import shortened

_BATCH, _FLOAT = 128, "tensor(float)"
_EXTERNAL_WEIGHTS = "session.model_external_initializers_file_folder_path"


def open_network(
    path: Path, content: bytes, image_shape: ImageShape, n_threads: int | None
) -> OpenedNetwork:
    """Open the content of a file, an ONNX graph from images to logits, on the CPU.

    Without `n_threads`, ONNX Runtime chooses.  Raise CheckpointError, which names `path`, if it
    is no ONNX graph, keeps weights elsewhere, or has other inputs or outputs.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # errors come as exceptions
    options.intra_op_num_threads = n_threads or 0
    # ONNX Runtime searches for weights in other files under `path`, a file: it reads none.
    options.add_session_config_entry(_EXTERNAL_WEIGHTS, str(path.absolute()))
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions have no base of their own
        raise CheckpointError(
            f"{path}: an .onnx file must be an ONNX graph that holds its own weights, "
            f"got '{_first_line(error)}'; copy it again, or export it anew with the weights inside"
        ) from error
    fixed_batch = _check_ends(path, session, image_shape)
    compute_logits = partial(_compute_logits, path, session, fixed_batch)
    n_classes = _probe(path, compute_logits, image_shape)
    threads = f", {n_threads} threads" if n_threads else ""
    about = session.get_modelmeta().custom_metadata_map
    return OpenedNetwork(
        architecture=shortened(about.get("architecture", f"ONNX graph, {n_classes} classes")),
        n_classes=n_classes,
        n_parameters=None,
        runtime=f"ONNX Runtime {onnxruntime.__version__}{threads}",
        normalisation=_normalisation(path, about.get("normalisation")),
        batch_size=fixed_batch or _BATCH,
        compute_logits=compute_logits,
    )


def _check_ends(path: Path, session: onnxruntime.InferenceSession, image_shape: ImageShape) -> int:
    """Check types and shapes; return the number of images that the graph is fixed to, or 0."""
    inputs, outputs = session.get_inputs(), session.get_outputs()
    ends = [f"{end.type}{end.shape}" for end in (*inputs, *outputs)]
    shape = (0, *image_shape)
    if len(inputs) != 1 or inputs[0].type != _FLOAT or not _fits(inputs[0].shape, shape):
        raise CheckpointError(
            f"{path}: the graph must have one input, float (N, {str(tuple(image_shape))[1:]}, "
            f"got {', '.join(ends[: len(inputs)]) or 'none'}; export it for such images"
        )
    if len(outputs) != 1 or outputs[0].type != _FLOAT or not _fits(outputs[0].shape, (0, 0)):
        raise CheckpointError(
            f"{path}: the graph must have one output, float (N, n_classes), "
            f"got {', '.join(ends[len(inputs) :])}; export it with the logits as its output"
        )
    n = inputs[0].shape[0]
    return n if isinstance(n, int) else 0


def _fits(shape: list[int | str | None], wanted: tuple[int, ...]) -> bool:
    """Return whether a graph's shape, which may leave sizes open, fits; 0 stands for any size."""
    return len(shape) == len(wanted) and all(
        not isinstance(got, int) or (got == size if size else got > 0)
        for got, size in zip(shape, wanted, strict=True)
    )


def _compute_logits(
    path: Path,
    session: onnxruntime.InferenceSession,
    fixed_batch: int,
    images: NDArray[np.float32],
) -> NDArray[np.float32]:
    missing = max(fixed_batch - len(images), 0)
    padded = np.pad(images, [(0, missing), (0, 0), (0, 0), (0, 0)]) if missing else images
    try:
        (logits,) = session.run(None, {session.get_inputs()[0].name: padded})
    except Exception as error:  # its exceptions have no base of their own
        raise CheckpointError(
            f"{path}: the graph must work on {len(padded)} images, got '{_first_line(error)}'; "
            "export it with a batch of any size"
        ) from error
    if logits.ndim != 2 or len(logits) != len(padded):
        raise CheckpointError(
            f"{path}: the graph must answer {len(padded)} images with as many rows of logits, "
            f"got the shape {logits.shape}; export it with the logits as its output"
        )
    return logits[: len(images)]


def _probe(
    path: Path,
    compute_logits: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    image_shape: ImageShape,
) -> int:
    """Try one gray image; return the number of classes."""
    logits = compute_logits(np.zeros((1, *image_shape), np.float32))
    if (logits >= 0).all() and abs(logits.sum() - 1) < 1e-4:
        raise CheckpointError(
            f"{path}: the graph must answer with logits, got probabilities; "
            "export it without its softmax"
        )
    return logits.shape[1]


def _normalisation(path: Path, text: str | None) -> Normalisation:
    """Read the normalisation that `svmcifar.cnn.onnx_export` keeps in the metadata."""
    if text is None:
        return REFERENCE_NORMALISATION
    try:
        return read_normalisation(path, json.loads(text))
    except (ValueError, RecursionError):
        return read_normalisation(path, text)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
