"""ONNX graphs from images to logits, opened and computed by ONNX Runtime in this process."""

import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from svmcifar.cnn.formats import external_path
from svmcifar.compute.image_shape import ImageShape
from svmcifar.errors import CheckpointError
from svmcifar.text import one_line

_EXTERNAL_WEIGHTS = "session.model_external_initializers_file_folder_path"
_INPUTS: dict[str, np.dtype[Any]] = {
    "tensor(float)": np.dtype(np.float32),
    "tensor(float16)": np.dtype(np.float16),
    "tensor(double)": np.dtype(np.float64),
    "tensor(uint8)": np.dtype(np.uint8),
}
_OUTPUTS = ("tensor(float)", "tensor(float16)", "tensor(double)")
# Images that a graph is tried on, and how far its answers may differ, as a share of their range:
# from run to run, and with the other images of a batch (quantised graphs scale whole batches).
_N_PROBES = 4
_MOST_BETWEEN_RUNS, _MOST_BETWEEN_BATCHES = 1e-3, 0.1

Images = NDArray[np.float32] | NDArray[np.uint8]


@dataclass(frozen=True)
class Opened:
    """A graph that has answered images: what it needs and tells, and what computes its logits."""

    n_classes: int
    size: tuple[int, int]  # height and width of its images
    takes_bytes: bool
    fixed_batch: int  # number of images that it is fixed to, or 0
    about: dict[str, str]  # its metadata
    compute: Callable[[Images], NDArray[np.float32]]


def open_session(
    path: Path,
    content: bytes,
    image_shape: ImageShape,
    n_threads: int | None,
    external: bytes | None,
) -> Opened:
    """Open a graph as `svmcifar.cnn.onnx_runtime.open_network`, and try it on some images."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # errors come as exceptions
    options.intra_op_num_threads = n_threads or 0
    with tempfile.TemporaryDirectory() as folder:
        # ONNX Runtime searches for weights in this folder, and refuses paths that lead out of it.
        options.add_session_config_entry(_EXTERNAL_WEIGHTS, folder)
        if external is not None:
            Path(folder, external_path(path).name).write_bytes(external)
        try:
            session = onnxruntime.InferenceSession(
                content, options, providers=["CPUExecutionProvider"], enable_fallback=0
            )
            about = dict(session.get_modelmeta().custom_metadata_map)
            ends = session.get_inputs(), session.get_outputs()
            for end in (*ends[0], *ends[1]):
                f"{end.name}{end.type}{end.shape}".encode()  # names need not be text
        except Exception as error:  # its exceptions have no base of their own
            _check_memory(error)
            raise _refused(path, error) from error
    graph = _Graph.of(path, session, image_shape)
    compute, n_classes = _probe(graph)
    return Opened(
        n_classes=n_classes,
        size=(graph.height, graph.width),
        takes_bytes=graph.dtype == np.uint8,
        fixed_batch=graph.fixed_batch,
        about=about,
        compute=compute,
    )


@dataclass(frozen=True)
class _Graph:
    """A graph with one input of images and one output of a row each."""

    path: Path
    session: onnxruntime.InferenceSession
    output: str
    dtype: np.dtype  # of its input
    channels: int
    height: int
    width: int
    channels_last: bool
    fixed_batch: int  # number of images that it is fixed to, or 0

    @classmethod
    def of(
        cls, path: Path, session: onnxruntime.InferenceSession, image_shape: ImageShape
    ) -> "_Graph":
        """Check types and shapes; sizes that are left open are those of `image_shape`."""
        inputs, outputs = session.get_inputs(), session.get_outputs()
        ends = [f"{end.type}{end.shape}" for end in (*inputs, *outputs)]
        channels, *size = image_shape
        sizes, channels_last = None, False
        if len(inputs) == 1 and inputs[0].type in _INPUTS and len(inputs[0].shape) == 4:
            n, *sizes = inputs[0].shape
            channels_last = sizes[0] != channels and sizes[2] == channels
            if channels_last:
                sizes = [sizes[2], *sizes[:2]]
        if sizes is None or not _fits([n, *sizes], (0, channels, 0, 0)):
            raise CheckpointError(
                f"{path}: the graph must have one input, images (N, {channels}, height, width) or "
                f"(N, height, width, {channels}), got {', '.join(ends[: len(inputs)]) or 'none'}; "
                f"export it for such images"
            )
        rows = [out for out in outputs if out.type in _OUTPUTS and _fits(out.shape, (0, 0))]
        if len(rows) != 1:
            raise CheckpointError(
                f"{path}: the graph must have one output, float (N, n_classes), "
                f"got {', '.join(ends[len(inputs) :])}; export it with the logits as its output"
            )
        height, width = (
            got if isinstance(got, int) else wanted
            for got, wanted in zip(sizes[1:], size, strict=True)
        )
        return cls(
            path=path,
            session=session,
            output=rows[0].name,
            dtype=_INPUTS[inputs[0].type],
            channels=channels,
            height=height,
            width=width,
            channels_last=channels_last,
            fixed_batch=n if isinstance(n, int) else 0,
        )

    def compute(self, images: Images) -> NDArray[np.float32]:
        """Compute the answers to images (n, channels, height, width)."""
        missing = max(self.fixed_batch - len(images), 0)
        batch = np.pad(images, [(0, missing), (0, 0), (0, 0), (0, 0)]) if missing else images
        if self.channels_last:
            batch = np.ascontiguousarray(batch.transpose(0, 2, 3, 1))
        batch = batch.astype(self.dtype, copy=False)
        try:
            (rows,) = self.session.run([self.output], {self.session.get_inputs()[0].name: batch})
        except Exception as error:  # its exceptions have no base of their own
            _check_memory(error)
            raise CheckpointError(
                f"{self.path}: the graph must work on {len(batch)} images, "
                f"got '{_first_line(error)}'; export it with a batch of any size"
            ) from error
        if rows.ndim != 2 or len(rows) != len(batch):
            raise CheckpointError(
                f"{self.path}: the graph must answer {len(batch)} images with as many rows of "
                f"logits, got the shape {rows.shape}; export it with the logits as its output"
            )
        result: NDArray[np.float32] = rows[: len(images)].astype(np.float32, copy=False)
        return result

    def compute_from_probabilities(self, images: Images) -> NDArray[np.float32]:
        """Compute logits for a graph that answers with probabilities: their logarithms."""
        return np.log(np.maximum(self.compute(images), np.finfo(np.float32).tiny))


def _fits(shape: list[int | str | None], wanted: tuple[int, ...]) -> bool:
    """Return whether a graph's shape, which may leave sizes open, fits; 0 stands for any size."""
    return len(shape) == len(wanted) and all(
        not isinstance(got, int) or (got == size if size else got > 0)
        for got, size in zip(shape, wanted, strict=True)
    )


def _probe(graph: _Graph) -> tuple[Callable[[Images], NDArray[np.float32]], int]:
    """Try some images; return what computes logits, and the number of classes.

    Raise CheckpointError if answers differ from run to run, or with the other images of a batch, as
    they do when a network was exported while it was training.
    """
    n_probes = min(_N_PROBES, graph.fixed_batch or _N_PROBES)
    shape = n_probes, graph.channels, graph.height, graph.width
    rng = np.random.default_rng(0)
    images: Images
    if graph.dtype == np.uint8:
        images = rng.integers(0, 256, shape, dtype=np.uint8)
    else:
        images = rng.standard_normal(shape, dtype=np.float32)
    together, again = graph.compute(images), graph.compute(images)
    alone = np.concatenate([graph.compute(images[i : i + 1]) for i in range(n_probes)])
    if not np.isfinite(together).all():
        raise CheckpointError(
            f"{graph.path}: a network must answer with finite logits, got others for random "
            f"images; export that of an earlier epoch"
        )
    scale = float(np.ptp(together)) + float(np.finfo(np.float32).tiny)
    for other, most, differ in (
        (again, _MOST_BETWEEN_RUNS, "from run to run"),
        (alone, _MOST_BETWEEN_BATCHES, "with the other images of a batch"),
    ):
        if np.abs(other - together).max() > most * scale:
            raise CheckpointError(
                f"{graph.path}: a network must answer an image in one way, and its answers differ "
                f"{differ}; export it anew after network.eval()"
            )
    sums = together.sum(axis=1, dtype=np.float64)
    is_probability = (together >= 0).all() and np.abs(sums - 1).max() < 1e-3
    compute = graph.compute_from_probabilities if is_probability else graph.compute
    return compute, together.shape[1]


def _refused(path: Path, error: Exception) -> CheckpointError:
    """Return the error for a file that ONNX Runtime cannot open."""
    reason = _first_line(error)
    if "IR version" in reason or "till opset" in reason:
        remedy = "upgrade onnxruntime, or export it for an older one (opset_version, ir_version)"
        rule = f"must be of a version that ONNX Runtime {onnxruntime.__version__} reads"
    elif "xternal" in reason:
        name = external_path(path).name
        remedy = f"put {name} beside it, or export it with external_data=False"
        rule = f"must hold its weights, or have them in a file {name} beside it"
    else:
        rule, remedy = "must be an ONNX graph", "copy it again, or export it anew"
    # Its messages begin with places in its own sources.
    shown = one_line(reason.rpartition("Error: ")[2] or reason)[:150]
    return CheckpointError(f"{path}: an .onnx file {rule}, got '{shown}'; {remedy}")


def _check_memory(error: Exception) -> None:
    """Raise MemoryError if this is what ONNX Runtime says of too little memory."""
    if isinstance(error, MemoryError) or re.search("allocate memory|bad_alloc", str(error)):
        raise MemoryError from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
