"""Features, and the fitted state of the pipelines that compute them, kept on disk by joblib.

joblib pickles entries, so the folder must be its user's own: nobody else may write to it.
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
    list_entries,
    make_store,
    read_cache_settings,
    require_own_entry,
)
from svmcifar.features.transfer import single_steps
from svmcifar.io.content_hash import content_hash
from svmcifar.io.files import atomic_path
from svmcifar.io.unfinished import remove_abandoned

# Results that take fewer seconds are not worth their place; raw pixels never are.
_LEAST_S = 10.0
# Bounds the size of a file besides its arrays.
_OVERHEAD_BYTES = 8192
# The code that computes features, besides everything in svmcifar/features.
_CODE = (
    "compute/arrays.py", "compute/cholesky.py", "compute/image_shape.py", "compute/jit.py",
    "compute/llvm.py", "compute/memory.py", "compute/progress.py", "compute/threads.py",
    "json_values.py", "svm/kernels/blocks.py", "svm/kernels/invariant_rbf.py",
    "svm/kernels/kernel.py", "svm/kernels/rbf.py", "svm/moments.py", "svm/samples.py",
)  # fmt: skip

# The fitted attributes of each step of a pipeline, or {"X": features} alone.
_Result = list[dict[str, Any]]


class FeatureCache:
    """Keeps the state of fitted pipelines, and computed features, in a folder.

    An entry is found again if everything that the result depends on is the same: the classes,
    parameters and fitted arrays of the pipeline, every byte of the images, the code that computes
    features (a checkout changes without its version), the versions of the packages, the processor
    and its BLAS kernels.  The number of threads does not count; BLAS may round otherwise with
    another, and then the entry keeps the values of the run that wrote it.  A damaged entry is
    computed again, with a warning.  What is computed from images on a device is not cached.

    Parameters
    ----------
    folder : str or Path
        Made, for its user alone, if it does not exist; raise OutputError if it cannot be made,
        belongs to another user, or others can write to it.
    limit_bytes : int
        Limit of all entries together; the least recently used ones are removed first.
    least_s : float, default=10.0
        Results of fewer seconds are not kept.
    """

    def __init__(self, folder: str | Path, limit_bytes: int, least_s: float = _LEAST_S) -> None:
        self.folder = Path(folder)
        self.limit_bytes = limit_bytes
        self.least_s = least_s
        self.n_found = 0  # results found so far
        self.kept_bytes = 0  # size of all results kept so far
        self._memory = joblib.Memory(make_store(self.folder), verbose=0)
        environment = describe_environment()
        host = environment["host"]
        self._context = [environment["versions"], host["processor"], host["blas"], _CODE_SHA256]

    def fit(
        self, pipeline: Pipeline, images: Any, compute: Callable[[], Any], *others: Any
    ) -> Pipeline:
        """Fit a pipeline on images in place: by `compute`, or by an entry's fitted attributes.

        The images may be samples, and `others` are what else the result depends on.
        """

        def fit_and_list() -> _Result:
            compute()
            return [_fitted_attributes(step) for step in single_steps(pipeline.steps)]

        fitted = self._find("pipeline", images, [clone(pipeline), *others], fit_and_list)
        for step, attributes in zip(single_steps(pipeline.steps), fitted, strict=True):
            vars(step).update(attributes)
        return pipeline

    def features(
        self, pipeline: Pipeline, images: Any, views: Sequence[View], compute: Callable[[], Any]
    ) -> Any:
        """Return the features, float32, of views of images by a fitted pipeline.

        They are read, or else computed by `compute`, which returns an array of its own.
        """
        parts = [pipeline, joblib.hash(list(views))]
        (result,) = self._find("features", images, parts, lambda: [{"X": compute()}])
        return result["X"]

    def _find(
        self, kind: str, images: Any, parts: list[Any], compute: Callable[[], _Result]
    ) -> _Result:
        """Read the entry of images and other parts, or compute the result and keep it if slow."""
        if not is_host(images):
            return compute()
        key = content_hash(np.asarray(images), *parts, self._context)
        result = self._read(kind, key)
        if result is not None:
            self.n_found += 1
            return result
        clock = perf_counter()
        result = compute()
        if perf_counter() - clock >= self.least_s:
            self._keep(kind, key, result)
        return result

    def _read(self, kind: str, key: str) -> _Result | None:
        """Read an entry; remove it, with a warning, if it is damaged."""
        store = self._memory.store_backend
        path = Path(store.location, kind, key)
        if not store.contains_item((kind, key)):
            return None
        try:
            require_own_entry(path)
            checksum, result = store.load_item((kind, key))
            if content_hash(result) != checksum:
                raise ValueError("its checksum is another")
        except Exception as error:  # unpickling a damaged file may raise any
            if store.contains_item((kind, key)):  # or another process has removed it
                reason = " ".join(str(error).split()) or type(error).__name__
                warnings.warn(
                    f"{path}: an entry of the feature cache must be whole, yours and fit the "
                    f"memory, got '{reason}'; it is removed, and features are computed again",
                    stacklevel=2,
                )
                store.clear_item((kind, key))
            return None
        with suppress(OSError):  # marks it as used where reading does not
            os.utime(path / "output.pkl")
        return result

    def _keep(self, kind: str, key: str, result: _Result) -> None:
        """Write an entry, after removing the least recently used ones to make room for it."""
        try:
            make_store(self.folder)  # another process may have removed it
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
        for entry in list_entries(self.folder):
            remove_abandoned(entry.path)
            with suppress(OSError):  # it is none, if nothing else is in it
                entry.path.rmdir()
        self._memory.reduce_size(bytes_limit=self.limit_bytes - n_bytes)
        path = Path(self._memory.store_backend.location, kind, key, "output.pkl")
        try:
            with atomic_path(path) as temporary:
                joblib.dump((content_hash(result), result), temporary)
        except OutputError as error:
            if not isinstance(error.__cause__, FileNotFoundError):  # else another has cleared it
                warnings.warn(f"{error}; features are not kept", stacklevel=2)
        else:
            self.kept_bytes += n_bytes


def open_cache() -> FeatureCache | None:
    """Open the cache of the environment variables (see `read_cache_settings`).

    None if its limit is 0, or, with a warning, if its folder is not its user's own.
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
    """Return all attributes but the parameters: some, such as n_jobs, are not part of the key."""
    parameters = step.get_params(deep=False)
    return {name: value for name, value in vars(step).items() if name not in parameters}


def _hash_code() -> str:
    package = Path(svmcifar.__file__).parent
    paths = [*(package / name for name in _CODE), *sorted(package.glob("features/**/*.py"))]
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()


# When it is imported: files that change later are not the code that runs.
_CODE_SHA256 = _hash_code()
