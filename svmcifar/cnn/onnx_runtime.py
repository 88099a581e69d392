"""Networks from .onnx files, computed by ONNX Runtime in a process of their own.

A graph is a program: it can compute for ever, take any memory, or end its process.  Each is one
line here, and the process is ended with it.
"""

import atexit
import json
import os
import signal
import sys
import weakref
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from threading import Lock, Timer
from typing import Any, BinaryIO, ClassVar, NoReturn, cast

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from svmcifar.cnn import onnx_process
from svmcifar.cnn.image_network import OpenedNetwork
from svmcifar.cnn.model_card import Normalisation, read_normalisation
from svmcifar.compute.image_shape import ImageShape
from svmcifar.compute.memory import default_memory_limit, format_bytes
from svmcifar.compute.stopwatch import Stopwatch
from svmcifar.errors import CheckpointError
from svmcifar.text import shortened

_BATCH = 128
# What a graph may take: hundreds of times what large networks do on one core.
_OPEN_S, _BATCH_S, _IMAGE_S = 300.0, 60.0, 10.0
_MOST_BYTES = 8 * 2**30  # besides four times its weights


def open_network(
    path: Path,
    content: bytes,
    image_shape: ImageShape,
    n_threads: int | None,
    external: bytes | None = None,
) -> OpenedNetwork:
    """Open the content of a file, an ONNX graph from images to logits, on the CPU.

    `external` is the content of the file beside it, `external_path`, if there is one: no other is
    read.  Without `n_threads`, ONNX Runtime chooses.  Raise CheckpointError, which names `path`, if
    it is no ONNX graph, keeps weights elsewhere, has other inputs or outputs, answers at random, or
    takes too much time or memory.
    """
    parts = [content] if external is None else [content, external]
    graph = _Graph(path, parts, image_shape, n_threads)
    opened = graph.opened
    n_classes, about = opened["n_classes"], opened["about"]
    threads = f", {n_threads} threads" if n_threads else ""
    return OpenedNetwork(
        architecture=shortened(about.get("architecture", f"ONNX graph, {n_classes} classes")),
        n_classes=n_classes,
        n_parameters=None,
        runtime=f"ONNX Runtime {onnxruntime.__version__}{threads}",
        normalisation=_normalisation(path, about.get("normalisation")),
        size=tuple(opened["size"]),
        takes_bytes=opened["takes_bytes"],
        batch_size=opened["fixed_batch"] or _BATCH,
        compute_logits=graph.compute,
    )


class _Graph:
    """A graph that was opened in another process."""

    def __init__(
        self, path: Path, parts: Sequence[bytes], image_shape: ImageShape, n_threads: int | None
    ) -> None:
        self._path = path
        self._most_bytes = _MOST_BYTES + 4 * sum(map(len, parts))
        if (limit := default_memory_limit()) is not None:
            self._most_bytes = min(self._most_bytes, limit)
        request = {
            "path": str(path),
            "image_shape": list(image_shape),
            "n_threads": n_threads,
            "most_bytes": self._most_bytes,
        }
        self._process = _Process.idle()
        self._end = weakref.finalize(self, self._process.release)
        entries, _ = self._ask({"open": request}, parts, _OPEN_S, 0, "open")
        self.opened: dict[str, Any] = entries["opened"]

    def compute(self, images: NDArray[np.float32] | NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute logits (n_images, n_classes) of images (n_images, channels, height, width)."""
        batch: Any = np.ascontiguousarray(images)
        shape = len(images), self.opened["n_classes"]
        request = {"images": [batch.dtype.str, batch.shape]}
        seconds = _BATCH_S + _IMAGE_S * len(images)
        answered = f"answer {len(images)} images"
        answer, parts = self._ask(request, [batch], seconds, 4 * shape[0] * shape[1], answered)
        Stopwatch.helpers_cpu_s += answer["cpu_s"]
        if answer["shape"] != list(shape):
            self._refuse(f"must {answered} with {shape[1]} logits each, got {answer['shape']}")
        (logits,) = parts
        return np.frombuffer(logits, np.float32).reshape(shape)

    def _ask(
        self, request: dict[str, Any], parts: Sequence[Any], seconds: float, most: int, what: str
    ) -> tuple[dict[str, Any], onnx_process.Parts]:
        try:
            answer, of_answer = self._process.ask(request, parts, seconds, most)
        except TimeoutError:
            self._refuse(f"must {what} within {seconds:.0f} s, and does not")
        except OSError as error:
            self._refuse(f"must {what}, and ended its process ({error.strerror})")
        if "error" not in answer:
            return answer, of_answer
        if answer["error"] is None:
            self._refuse(f"must {what} within {format_bytes(self._most_bytes)} of memory")
        raise CheckpointError(answer["error"])

    def _refuse(self, rule: str) -> NoReturn:
        raise CheckpointError(f"{self._path}: the graph {rule}; use another network") from None


class _Process:
    """A process that holds one graph at a time."""

    _idle: ClassVar[list["_Process"]] = []
    _all: ClassVar["weakref.WeakSet[_Process]"] = weakref.WeakSet()

    def __init__(self) -> None:
        # What this process imports is what that one does, and nothing of the current folder.
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        command = [sys.executable, "-P", onnx_process.__file__]
        self._popen = Popen(command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env=environment)
        self._to = cast(BinaryIO, self._popen.stdin)
        self._from = cast(BinaryIO, self._popen.stdout)
        self._lock = Lock()
        self._pid = os.getpid()
        self._is_late = False
        self._all.add(self)

    @classmethod
    def idle(cls) -> "_Process":
        """Return a process that nobody uses."""
        with suppress(IndexError):
            while True:
                process = cls._idle.pop()
                if process._pid == os.getpid() and process._popen.poll() is None:
                    return process
        return cls()

    def release(self) -> None:
        """Let its graph go; the next one may use the process."""
        if self._pid == os.getpid() and self._popen.poll() is None:
            with suppress(OSError):
                onnx_process.send(self._to, {"close": True})
                self._idle.append(self)

    def ask(
        self, request: dict[str, Any], parts: Sequence[Any], seconds: float, most_bytes: int
    ) -> tuple[dict[str, Any], onnx_process.Parts]:
        """Return the answer to a request, with at most so many bytes.

        Raise TimeoutError if there is none within some seconds, and OSError if the process ended.
        """
        if self._pid != os.getpid():  # two would read each other's answers
            raise OSError(0, "it belongs to the process that this one was forked from")
        with self._lock:
            timer = Timer(seconds, self._end_late)
            timer.daemon = True
            timer.start()
            try:
                onnx_process.send(self._to, request, parts)
                return onnx_process.receive(self._from, most_bytes)
            except (
                BaseException
            ) as error:  # an answer that nobody waits for would be the next one's
                self.end()
                if self._is_late:
                    raise TimeoutError from error
                if isinstance(error, OSError | EOFError | ValueError):
                    raise OSError(0, self._how_it_ended()) from error
                raise
            finally:
                timer.cancel()

    def _end_late(self) -> None:
        self._is_late = True
        self._popen.kill()

    def end(self) -> None:
        """End the process, whatever it does."""
        if self._pid == os.getpid():
            self._popen.kill()
            self._popen.wait()

    def _how_it_ended(self) -> str:
        code = self._popen.returncode
        with suppress(ValueError):
            return signal.Signals(-code).name
        return f"exit code {code}"

    @classmethod
    def end_all(cls) -> None:
        for process in list(cls._all):
            process.end()


atexit.register(_Process.end_all)


def _normalisation(path: Path, text: str | None) -> Normalisation | None:
    """Read the normalisation that `svmcifar.cnn.onnx_export` keeps in the metadata."""
    if text is None:
        return None
    try:
        return read_normalisation(path, json.loads(text))
    except (ValueError, RecursionError):
        return read_normalisation(path, text)
