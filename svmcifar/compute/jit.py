"""numba's compilers; compiled code is kept where there is room and others cannot write."""

import os
import stat
import tempfile
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cache
from typing import Any

import numba
from numba.core import config, event
from numba.core.caching import FunctionCache

from svmcifar.compute.progress import stage

# More than the code of a function takes.
_PROBE = bytes(2**18)

_is_usable: dict[str, bool] = {}


def njit(*, cache: bool = False, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile as `numba.njit`, which with `cache` raises where it finds no folder for code.

    Here code is then kept in a folder of this user's among the temporary files, or, with a warning,
    not at all.  Kept code is read as a pickle: a folder that others can write is not used either.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        dispatcher = numba.njit(**options)(function)
        if cache:
            _keep_code(dispatcher)
        return dispatcher

    return decorate


class _Compiling(event.Listener):
    """Makes a stage of what numba compiles, which takes seconds; kept code is not compiled."""

    def __init__(self) -> None:
        self._stages: list[AbstractContextManager[Any]] = []

    def on_start(self, event: Any) -> None:
        """Begin a stage; one function may have others compiled."""
        self._stages.append(stage("compiling, once after an installation"))
        self._stages[-1].__enter__()

    def on_end(self, event: Any) -> None:
        """End the stage."""
        self._stages.pop().__exit__(None, None, None)


event.register("numba:compile", _Compiling())


def _keep_code(dispatcher: Any) -> None:
    """Keep what is compiled, in the folder that numba chooses or in one of our own."""
    if not hasattr(dispatcher, "enable_caching"):
        return  # NUMBA_DISABLE_JIT: there is no code
    if _numba_has_a_folder(dispatcher.py_func):
        dispatcher.enable_caching()
    elif folder := _own_folder():
        chosen, config.CACHE_DIR = config.CACHE_DIR, folder
        try:
            dispatcher.enable_caching()
        finally:
            config.CACHE_DIR = chosen


def _numba_has_a_folder(function: Callable[..., Any]) -> bool:
    """Return whether numba finds a folder, one for each folder of sources, that may be used."""
    sources = os.path.dirname(function.__code__.co_filename)
    if sources not in _is_usable:
        try:
            folder = FunctionCache(function).cache_path
            _is_usable[sources] = _is_private(os.stat(folder), stat.S_IWOTH) and _has_room(folder)
        except (RuntimeError, OSError):  # numba has found none
            _is_usable[sources] = False
    return _is_usable[sources]


@cache
def _own_folder() -> str | None:
    """Make a folder that is this user's alone; warn if there can be none."""
    try:
        user = os.geteuid() if hasattr(os, "geteuid") else ""
        folder = os.path.join(tempfile.gettempdir(), f"svmcifar-numba-{user}")
        os.makedirs(folder, mode=0o700, exist_ok=True)
        if _is_private(os.lstat(folder), stat.S_IRWXG | stat.S_IRWXO) and _has_room(folder):
            return folder
    except OSError:
        pass
    warnings.warn(
        "compiled code cannot be kept, so that each start of Python compiles it again: no folder "
        "for it can be written; set NUMBA_CACHE_DIR to one that you alone can write",
        RuntimeWarning,
        stacklevel=2,
    )
    return None


def _is_private(folder: os.stat_result, others: int) -> bool:
    """Return whether a folder is this user's, or root's, and grants others none of these rights."""
    if not hasattr(os, "geteuid"):
        return True  # rights are not those of POSIX
    is_ours = folder.st_uid in (0, os.geteuid())
    return stat.S_ISDIR(folder.st_mode) and is_ours and not folder.st_mode & others


def _has_room(folder: str) -> bool:
    """Return whether a file can be filled; a full disk or quota lets one still make a file."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(_PROBE)
    except OSError:
        return False
    return True
