"""Features, and the fitted state of the pipelines that compute them, kept on disk by joblib.

joblib pickles what it keeps, so the folder must be its user's own: nobody else may write to it.
"""

import hashlib
import os
import shutil
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import joblib
import numpy as np
from sklearn.base import clone
from sklearn.pipeline import Pipeline

import svmcifar
from svmcifar.compute.arrays import is_host
from svmcifar.compute.environment import describe_environment
from svmcifar.compute.memory import format_bytes, parse_bytes
from svmcifar.errors import InputError, OutputError
from svmcifar.features.augmentation import View
from svmcifar.features.transfer import single_steps
from svmcifar.io.content_hash import content_hash

_FOLDER_VARIABLE, _LIMIT_VARIABLE = "SVMCIFAR_CACHE", "SVMCIFAR_CACHE_LIMIT"
_DEFAULT_LIMIT = "10GiB"
# A folder of its own, which is cleared as a whole.
_STORE = "entries"
# What older releases kept, beside it.
_FORMER_ENTRIES = f"*-{'[0-9a-f]' * 32}-{'[0-9a-f]' * 32}.zip"
# What is computed faster is not worth its place; raw pixels never are.
_LEAST_S = 10.0
# Bounds what a file has besides its arrays.
_OVERHEAD_BYTES = 8192
# What computes features, besides everything in svmcifar/features.
_CODE = (
    "compute/arrays.py", "compute/image_shape.py", "compute/llvm.py", "compute/threads.py",
)  # fmt: skip


class FeatureCache:
    """Keeps the state of fitted pipelines and computed features in a folder.

    An entry is found again if everything that the result depends on is the same: the classes,
    parameters and fitted arrays of the pipeline, every byte of the images, the code that computes
    features, the versions of the packages, the processor and its BLAS kernels.  The number of
    threads does not count; BLAS may round otherwise with another, and then the entry is as the
    one that wrote it had it.  An entry that is damaged is computed again, with a warning.

    Images on a device pass by: what is computed from them is neither kept nor looked for.

    Parameters
    ----------
    folder : str or Path
        Made, for its user alone, if it does not exist.
    limit_bytes : int
        What all entries may take together; the least recently used ones are removed first.
    least_s : float, default=10.0
        What was computed in fewer seconds is not kept.

    Attributes
    ----------
    n_found : int
        Results found so far.
    kept_bytes : int
        What all results kept so far take.

    Raises
    ------
    OutputError
        If the folder cannot be made, belongs to another user, or others can write to it.
    """

    def __init__(self, folder: str | Path, limit_bytes: int, least_s: float = _LEAST_S) -> None:
        self.folder = Path(folder)
        self.limit_bytes = limit_bytes
        self.least_s = least_s
        self.n_found = 0
        self.kept_bytes = 0
        self._make_folder()
        self._memory = joblib.Memory(self.folder / _STORE, verbose=0)
        self._context = _describe_context()

    def fit(self, pipeline: Pipeline, images: Any, compute: Callable[[], Any]) -> Pipeline:
        """Fit a pipeline, or take over what was fitted before.

        Parameters
        ----------
        pipeline : Pipeline
            As `svmcifar.features.build.make_feature_pipeline` returns it; fitted in place.
        images : array of shape (n_images, n_pixels), uint8
            On the host or on a device.
        compute : callable
            Fits the pipeline, in place, on the images.

        Returns
        -------
        Pipeline
            The same.
        """
        if not is_host(images):
            compute()
            return pipeline

        def fit_and_list() -> list[dict[str, Any]]:
            compute()
            return [_fitted_attributes(step) for step in single_steps(pipeline.steps)]

        key = content_hash(clone(pipeline), np.asarray(images), self._context)
        fitted = self._find("pipeline", key, fit_and_list)
        for step, attributes in zip(single_steps(pipeline.steps), fitted, strict=True):
            vars(step).update(attributes)
        return pipeline

    def features(
        self,
        pipeline: Pipeline,
        images: Any,
        views: Sequence[View],
        compute: Callable[[], Any],
    ) -> Any:
        """Compute features, or read them.

        Parameters
        ----------
        pipeline : Pipeline
            Fitted.
        images : array of shape (n_images, n_pixels), uint8
            On the host or on a device.
        views : sequence of callable
            From `svmcifar.features.augmentation`.
        compute : callable
            Returns the features of the views by the pipeline, in an array of its own.

        Returns
        -------
        array of shape (n_images * n_views, n_features), float32
            On the host or on the device of the images.
        """
        if not is_host(images):
            return compute()
        key = content_hash(pipeline, np.asarray(images), joblib.hash(list(views)), self._context)
        (result,) = self._find("features", key, lambda: [{"X": compute()}])
        return result["X"]

    def _make_folder(self) -> None:
        """Make the folder if it does not exist; raise if others could put files there."""
        for path in (self.folder, self.folder / _STORE):
            _make_private(path)

    def _find(
        self, kind: str, key: str, compute: Callable[[], list[dict[str, Any]]]
    ) -> list[dict[str, Any]]:
        """Read an entry, or compute it and keep what took long."""
        result = self._read(kind, key)
        if result is not None:
            self.n_found += 1
            return result
        clock = perf_counter()
        result = compute()
        if perf_counter() - clock >= self.least_s:
            self._keep(kind, key, result)
        return result

    def _read(self, kind: str, key: str) -> list[dict[str, Any]] | None:
        """Read an entry; remove it, with a warning, if it is damaged."""
        store, path = self._memory.store_backend, self.folder / _STORE / kind / key
        if not store.contains_item((kind, key)):
            return None
        try:
            checksum, result = store.load_item((kind, key))
            if content_hash(result) != checksum:
                raise ValueError("its checksum is another")
        except Exception as error:  # unpickling a damaged file may raise any
            if store.contains_item((kind, key)):  # or another process has removed it
                reason = " ".join(str(error).split()) or type(error).__name__
                warnings.warn(
                    f"{path}: an entry of the feature cache must be whole and fit the memory, got "
                    f"'{reason}'; it is removed, and features are computed again",
                    stacklevel=2,
                )
                store.clear_item((kind, key))
            return None
        with suppress(OSError):  # so that it counts as used where reading does not
            os.utime(path / "output.pkl")
        return result

    def _keep(self, kind: str, key: str, result: list[dict[str, Any]]) -> None:
        """Write an entry, after removing the least recently used ones to make room for it."""
        try:
            self._make_folder()  # it may be gone
        except OutputError as error:
            warnings.warn(f"{error}; features are not kept", stacklevel=2)
            return
        n_bytes = _OVERHEAD_BYTES
        n_bytes += sum(getattr(value, "nbytes", 0) for part in result for value in part.values())
        # Leave as much again free on the disk: the model is still to be written.
        room = min(self.limit_bytes, shutil.disk_usage(self.folder).free // 2)
        if n_bytes > room:
            warnings.warn(
                f"{self.folder}: an entry of the feature cache must fit its limit of "
                f"{format_bytes(self.limit_bytes)} and half of the disk's free space, got "
                f"{format_bytes(n_bytes)}; it is not kept; raise the limit with "
                f"${_LIMIT_VARIABLE} or name another folder with ${_FOLDER_VARIABLE}",
                stacklevel=2,
            )
            return
        self._memory.reduce_size(bytes_limit=self.limit_bytes - n_bytes)
        store = self._memory.store_backend
        store.dump_item((kind, key), (content_hash(result), result), verbose=0)
        if store.contains_item((kind, key)):
            self.kept_bytes += n_bytes
        else:
            store.clear_item((kind, key))  # what was begun and, with a warning, given up


class CacheSettings(NamedTuple):
    """Where the cache lies and how large it may be.

    Attributes
    ----------
    folder : Path
    limit_bytes : int
        What all entries may take together; 0 turns the cache off.
    """

    folder: Path
    limit_bytes: int


def open_cache() -> FeatureCache | None:
    """Open the cache that the environment describes.

    Returns
    -------
    FeatureCache or None
        None if its limit is 0, or, with a warning, if its folder is not its user's own.

    Raises
    ------
    InputError
        If a variable is invalid (see `read_cache_settings`).
    """
    settings = read_cache_settings()
    if settings.limit_bytes == 0:
        return None
    try:
        return FeatureCache(settings.folder, settings.limit_bytes)
    except OutputError as error:
        warnings.warn(f"{error}; features are not kept", stacklevel=2)
        return None


def read_cache_settings() -> CacheSettings:
    """Read the settings from the environment.

    ``SVMCIFAR_CACHE`` names the folder, ``SVMCIFAR_CACHE_LIMIT`` the limit (as
    `svmcifar.compute.memory.parse_bytes` reads it, or 0).  Without them it is the platform's
    folder for caches and 10 GiB.

    Raises
    ------
    InputError
        If a variable is invalid, or no home folder is known.
    """
    return CacheSettings(_folder(), _limit_bytes())


def list_entries(folder: Path) -> list[Any]:
    """List the entries in a folder, the least recently used first.

    Returns
    -------
    list of joblib's CacheItemInfo
        With ``path``, whose parent is named "pipeline" or "features", ``size`` in bytes and
        ``last_access``.
    """
    if not (folder / _STORE).is_dir():
        return []
    items = joblib.Memory(folder / _STORE, verbose=0).store_backend.get_items()
    return sorted(items, key=lambda item: item.last_access)


def clear_entries(folder: Path) -> list[Any]:
    """Remove every entry, those of older releases too, and no other file.

    Returns
    -------
    list of joblib's CacheItemInfo
        Those that were removed, as `list_entries` lists them.

    Raises
    ------
    OutputError
        If the operating system refuses to remove one.
    """
    entries = list_entries(folder)
    try:
        for path in (folder / _STORE).glob("*/"):
            shutil.rmtree(path)
        for path in folder.glob(_FORMER_ENTRIES):
            path.unlink()
    except OSError as error:
        raise OutputError(
            f"{error.filename}: an entry of the feature cache must be removable, got "
            f"'{error.strerror}'; fix the folder or remove it yourself"
        ) from error
    return entries


def _make_private(path: Path) -> None:
    """Make a folder if it does not exist; raise if it is not this user's own."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        status, reason = path.stat(), ""
    except OSError as error:
        reason = str(error.strerror)
    else:
        if hasattr(os, "getuid"):  # not on Windows, where homes are private
            if status.st_uid != os.getuid():
                reason = "it belongs to another user"
            elif status.st_mode & 0o022:
                reason = f"others can write to it (mode {status.st_mode & 0o777:o})"
    if reason:
        raise OutputError(
            f"{path}: the folder of the feature cache must be yours, and only you may write to "
            f"it, got '{reason}'; fix it or name another with ${_FOLDER_VARIABLE}"
        )


def _fitted_attributes(step: Any) -> dict[str, Any]:
    """List all but the parameters, some of which, such as n_jobs, are not part of the key."""
    parameters = step.get_params(deep=False)
    return {name: value for name, value in vars(step).items() if name not in parameters}


def _describe_context() -> list[Any]:
    """List what features depend on besides images and pipeline.

    The code is hashed, since a checkout changes without its version; rounding depends on the
    processor and the kernels of BLAS.
    """
    environment = describe_environment()
    host = environment["host"]
    return [environment["versions"], host["processor"], host["blas"], _CODE_SHA256]


def _hash_code() -> str:
    package = Path(svmcifar.__file__).parent
    paths = [*(package / name for name in _CODE), *sorted(package.glob("features/**/*.py"))]
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()


# When it is imported: files that change later are not the code that runs.
_CODE_SHA256 = _hash_code()


def _folder() -> Path:
    named = os.environ.get(_FOLDER_VARIABLE)
    try:
        return Path(named).expanduser() if named else _platform_folder() / "svmcifar"
    except RuntimeError as error:  # from expanduser
        raise InputError(
            f"The feature cache must have a folder, and no home folder is known. "
            f"Got ${_FOLDER_VARIABLE}={named or ''}. Name a folder with it, or set "
            f"{_LIMIT_VARIABLE}=0 to do without."
        ) from error


def _platform_folder() -> Path:
    """Return the folder where programs keep what they can make again."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or "~/AppData/Local").expanduser()
    if sys.platform == "darwin":
        return Path("~/Library/Caches").expanduser()
    named = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # The specification has relative paths ignored.
    return named if named.is_absolute() else Path("~/.cache").expanduser()


def _limit_bytes() -> int:
    text = os.environ.get(_LIMIT_VARIABLE) or _DEFAULT_LIMIT
    try:
        return 0 if text.strip() == "0" else parse_bytes(text)
    except InputError as error:
        raise InputError(
            f"${_LIMIT_VARIABLE} must be 0, a number of bytes, or such as '3GB' or '512MiB'. "
            f"Got {text!r} instead."
        ) from error
