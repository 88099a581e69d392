"""Features, and the fitted state of the pipelines that compute them, kept on disk by joblib.

joblib pickles what it keeps, so the folder must be its user's own: nobody else may write to it.
"""

import hashlib
import os
import shutil
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from time import perf_counter
from typing import Any

import joblib
import numpy as np
from sklearn.base import clone
from sklearn.pipeline import Pipeline

import svmcifar
from svmcifar.compute.arrays import is_host
from svmcifar.compute.environment import describe_environment
from svmcifar.compute.memory import format_bytes
from svmcifar.errors import OutputError
from svmcifar.features.augmentation import View
from svmcifar.features.cache_folder import (
    FOLDER_VARIABLE,
    LIMIT_VARIABLE,
    make_store,
    read_cache_settings,
)
from svmcifar.features.transfer import single_steps
from svmcifar.io.content_hash import content_hash

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
        self._memory = joblib.Memory(make_store(self.folder), verbose=0)
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
        store = self._memory.store_backend
        path = Path(store.location, kind, key)
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
            make_store(self.folder)  # it may be gone
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
                f"${LIMIT_VARIABLE} or name another folder with ${FOLDER_VARIABLE}",
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


def open_cache() -> FeatureCache | None:
    """Open the cache that the environment describes.

    Returns
    -------
    FeatureCache or None
        None if its limit is 0, or, with a warning, if its folder is not its user's own.

    Raises
    ------
    InputError
        If a variable is invalid (see `svmcifar.features.cache_folder.read_cache_settings`).
    """
    settings = read_cache_settings()
    if settings.limit_bytes == 0:
        return None
    try:
        return FeatureCache(settings.folder, settings.limit_bytes)
    except OutputError as error:
        warnings.warn(f"{error}; features are not kept", stacklevel=2)
        return None


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
