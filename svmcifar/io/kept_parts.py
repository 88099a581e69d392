"""Finished parts of a long run, in a folder from which a later run with the same settings goes on.

A run names the folder (`parts_kept`), and whatever it computes keeps there what is finished
(`KeptParts`).  Names of folders within it are hashes of all that parts depend on, so that no run
takes parts of another problem.
"""

import json
import os
import re
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import Any

import numpy as np

from svmcifar.errors import OutputError
from svmcifar.io.files import atomic_path
from svmcifar.io.reading import read_file
from svmcifar.io.unfinished import remove_abandoned
from svmcifar.json_values import is_of_type, plain

Arrays = Mapping[str, Any]  # NumPy arrays by name
Collect = Callable[[], Arrays]

# Nothing is written before a run has lasted so long, so that no short one is slower; then parts are
# written together, so often at most.
_FIRST_S, _EVERY_S = 60.0, 20.0
_SETTINGS = "run.json"
_MOST_BYTES = 2**20
_OF_PROBLEM = re.compile("[0-9a-f]{32}")


class _Run:
    """The run whose parts are kept now."""

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self.folder = folder
        self.settings = settings
        self.started = monotonic()
        self.is_writable = True


_run: ContextVar[_Run | None] = ContextVar("_run", default=None)


def check_parts(folder: Path, *, resume: bool, overwrite: bool) -> None:
    """Raise OutputError if there are parts of a stopped run, and the user has not said what to do.

    `resume` goes on with it, `overwrite` starts anew.  A folder of anything else is never used.
    """
    if not os.path.lexists(folder):
        return
    if folder.is_dir() and not folder.is_symlink():
        remove_abandoned(folder)
        if not os.listdir(folder):
            return
    if folder.is_symlink() or not (folder / _SETTINGS).is_file():
        raise OutputError(
            f"{folder}: parts of a run must be kept there, and it is something else; move it away "
            f"or name another output"
        )
    if not resume and not overwrite:
        raise OutputError(
            f"{folder}: a stopped run must not be lost; go on with --resume and its own options, "
            f"or start anew with --overwrite"
        )


@contextmanager
def parts_kept(
    folder: Path, settings: Mapping[str, Any], *, resume: bool = False, at_once: bool = False
) -> Iterator[None]:
    """Let what the block computes keep finished parts in `folder`, and go on from those there.

    The folder is made when there is something to keep, or `at_once`, and removed when the block
    succeeds.  `settings` are plain values: with other ones a run is another.  Without `resume`,
    parts that are there are removed first; call `check_parts` before.

    Raise OutputError if they cannot be removed or, with `resume`, are unreadable or those of other
    settings.
    """
    run = _Run(folder, plain(dict(settings)))
    if resume and (folder / _SETTINGS).is_file():
        _require_same(run)
    else:
        _remove(folder)
    if at_once:
        _write_settings(run)
    token = _run.set(run)
    try:
        yield
    except BaseException:
        if not _problems(folder):
            _remove(folder)
        raise
    finally:
        _run.reset(token)
    with suppress(OutputError):  # what it was for is there
        _remove(folder)


def _problems(folder: Path) -> list[Path]:
    """Return the folders of problems."""
    return [path for path in folder.glob("*/") if _OF_PROBLEM.fullmatch(path.name)]


def _require_same(run: _Run) -> None:
    """Raise OutputError if the parts that are there are those of other settings."""
    path = run.folder / _SETTINGS
    try:
        was = json.loads(read_file(path, _MOST_BYTES))
        if not is_of_type(was, dict[str, Any]):
            raise ValueError("it must be an object with names")
    except (OSError, ValueError, TypeError, RecursionError) as error:
        reason = " ".join(str(error).split())[:100]
        raise OutputError(
            f"{path}: the settings of a stopped run must be readable, got '{reason}'; start anew "
            f"with --overwrite"
        ) from error
    differing = [key for key in {**run.settings, **was} if was.get(key) != run.settings.get(key)]
    if differing:
        raise OutputError(
            f"{run.folder}: a stopped run must have the same data and settings, got another "
            f"{', '.join(differing)}; go on with its own options and --resume, or start anew with "
            f"--overwrite"
        )


def _write_settings(run: _Run) -> None:
    if not (run.folder / _SETTINGS).is_file():
        with atomic_path(run.folder / _SETTINGS) as temporary:
            temporary.write_text(json.dumps(run.settings))


def _remove(folder: Path) -> None:
    """Remove the parts of a run, their settings after them, and nothing else."""
    try:
        for path in _problems(folder):
            shutil.rmtree(path)
        (folder / _SETTINGS).unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            f"{folder}: parts of a run must be removable, got '{error.strerror}'; remove it "
            f"yourself"
        ) from error
    with suppress(OSError):  # it is not there, or another run keeps parts in it just now
        folder.rmdir()


class KeptParts:
    """The finished parts of one problem of the run, if it has a folder.

    Parameters
    ----------
    hash_problem : callable
        Computes a hash, in hexadecimal, of all that the parts depend on; called once, if at all.
    """

    def __init__(self, hash_problem: Callable[[], str]) -> None:
        self._run = _run.get()
        self._hash_problem = hash_problem
        self._folder: Path | None = None
        self._waiting: dict[str, Collect] = {}
        self._written = monotonic()
        self._lock = Lock()

    def __enter__(self) -> "KeptParts":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        """Write what is waiting, if the run may be stopped here or it took long."""
        with self._lock:
            self._write(0.0 if kind else _EVERY_S)
            self._waiting.clear()

    def find(self, name: str, collect: Collect) -> Arrays | None:
        """Read a part; None if it is not there, damaged, or not as what `collect` returns."""
        if self._run is None or not self._run.folder.is_dir():
            return None
        like = collect()
        try:
            with np.load(self._place() / f"{name}.npz", allow_pickle=False) as content:
                arrays = {key: content[key] for key in like}
            same = all(
                (a.shape, a.dtype) == (like[k].shape, like[k].dtype) for k, a in arrays.items()
            )
        except Exception:  # a damaged archive may raise any; the part is computed again
            return None
        return arrays if same else None

    def add(self, name: str, collect: Collect) -> None:
        """Keep a part that is finished; any thread may.

        `collect` is called when it is written, until this object is left.
        """
        if self._run is None:
            return
        with self._lock:
            self._waiting[name] = collect
            self._write(_EVERY_S)

    def _write(self, least_s: float) -> None:
        """Write what is waiting; warn, and keep no more, if that cannot be."""
        run, now = self._run, monotonic()
        if run is None or not self._waiting or not run.is_writable:
            return
        if now - run.started < _FIRST_S or now - self._written < least_s:
            return
        try:
            _write_settings(run)
            for name, collect in self._waiting.items():
                with atomic_path(self._place() / f"{name}.npz") as temporary:
                    np.savez(temporary, **collect())
        except OutputError as error:
            run.is_writable = False
            warnings.warn(f"{error}; finished parts are not kept", stacklevel=2)
        self._waiting.clear()
        self._written = monotonic()

    def _place(self) -> Path:
        """Return the folder of the problem."""
        assert self._run is not None
        if self._folder is None:
            self._folder = self._run.folder / self._hash_problem()[:32]
        return self._folder
