"""The process that ONNX graphs of others are opened and computed in; run as a script.

It answers one request after the other, from standard input to standard output.  A message is a
line of JSON and as many bytes as its entry "sizes" adds up to.
"""

import json
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from time import process_time
from typing import Any, BinaryIO

import numpy as np

from svmcifar.compute.image_shape import ImageShape
from svmcifar.errors import CheckpointError

_MOST_LINE = 2**20

Parts = list[bytearray]


def send(file: BinaryIO, entries: dict[str, Any], parts: Sequence[Any] = ()) -> None:
    """Write a message: entries that JSON knows, and parts that are bytes or contiguous arrays."""
    views = [memoryview(part).cast("B") for part in parts]
    line = json.dumps(entries | {"sizes": [len(view) for view in views]})
    file.write(f"{line}\n".encode())
    for view in views:
        file.write(view)
    file.flush()


def receive(file: BinaryIO, most_bytes: int | None = None) -> tuple[dict[str, Any], Parts]:
    """Read a message; raise EOFError at the end of the file, or if its parts are larger."""
    line = file.readline(_MOST_LINE)
    if not line.endswith(b"\n"):
        raise EOFError
    entries = json.loads(line)
    if most_bytes is not None and sum(entries["sizes"]) > most_bytes:
        raise EOFError
    parts = []
    for size in entries["sizes"]:
        part = bytearray(size)
        if file.readinto(part) != size:  # type: ignore[attr-defined]
            raise EOFError
        parts.append(part)
    return entries, parts


def main() -> None:
    """Answer requests until there are none."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends when the command does
    answers = os.fdopen(os.dup(1), "wb")
    silence = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):  # whatever ONNX Runtime prints
        os.dup2(silence, stream)
    requests = _Requests(sys.stdin.buffer)
    compute: Any = None
    while True:
        entries, parts = requests.next()
        try:
            if "open" in entries:
                compute = None
                compute, opened = _open(entries["open"], parts)
                send(answers, {"opened": opened})
            elif "close" in entries:
                compute = None
            else:
                dtype, shape = entries["images"]
                images = np.frombuffer(parts[0], dtype=dtype).reshape(shape)
                send(answers, *answered(compute, images))
        except CheckpointError as error:
            send(answers, {"error": str(error)})
        except MemoryError:
            send(answers, {"error": None})


class _Requests:
    """Reads ahead, in a thread: so the process ends with the one that asks, whatever it does."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._message: Any = None
        self._is_wanted, self._is_there = Event(), Event()
        Thread(target=self._read, daemon=True).start()

    def next(self) -> tuple[dict[str, Any], Parts]:
        """Wait for the next message."""
        self._is_there.wait()
        self._is_there.clear()
        message, self._message = self._message, None
        self._is_wanted.set()
        return message

    def _read(self) -> None:
        with suppress(EOFError, OSError, ValueError):
            while True:
                self._message = receive(self._file)
                self._is_there.set()
                self._is_wanted.wait()
                self._is_wanted.clear()
        os._exit(0)


def _open(request: dict[str, Any], parts: Parts) -> tuple[Any, dict[str, Any]]:
    """Open a graph; return what computes its logits, and what it is."""
    _limit_memory(request["most_bytes"])
    path, shape = Path(request["path"]), ImageShape(*request["image_shape"])
    external = bytes(parts[1]) if len(parts) > 1 else None
    return opened(path, bytes(parts[0]), shape, request["n_threads"], external)


def opened(*arguments: Any) -> tuple[Any, dict[str, Any]]:
    """Return a graph's parts by `svmcifar.cnn.onnx_session.open_session`: JSON-ready but one."""
    from svmcifar.cnn.onnx_session import open_session

    entries = dict(vars(open_session(*arguments)))
    return entries.pop("compute"), entries


def answered(compute: Any, images: Any) -> tuple[dict[str, Any], list[Any]]:
    """Return the answer to images: the shape of their logits and the time they took, and these."""
    start = process_time()
    logits = np.ascontiguousarray(compute(images))
    return {"shape": logits.shape, "cpu_s": process_time() - start}, [logits]


def _limit_memory(most_bytes: int) -> None:
    """Let this process have no more data than this, where the system can see to that."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        most = most_bytes if hard == resource.RLIM_INFINITY else min(most_bytes, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (most, hard))


if __name__ == "__main__":
    main()
