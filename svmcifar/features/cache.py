"""Features, and the pipelines that compute them, kept on disk."""

import json
import math
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

import joblib
import numpy as np
import skops.io
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from svmcifar.compute.arrays import is_host
from svmcifar.errors import InputError
from svmcifar.features.augmentation import View
from svmcifar.features.cache_folder import CacheFolder
from svmcifar.features.cache_keys import CacheKey, describe_surroundings, hash_parameters
from svmcifar.features.cache_settings import DTYPES, read_cache_settings
from svmcifar.features.kinds import TRUSTED
from svmcifar.features.transfer import single_steps
from svmcifar.io.safe_skops import read_trusted

_ENTRY, _PIPELINE, _FEATURES = "entry.json", "pipeline.skops", "features.npy"
# What is computed faster is not worth its place; raw pixels never are.
_LEAST_S = 10.0


class FeatureCache:
    """Keeps fitted pipelines and computed features in a folder, and finds them again.

    An entry is found again if everything that the result depends on is the same: the classes,
    parameters and fitted arrays of the pipeline, every byte of the images, the code that computes
    features, the versions of the packages, the processor and its BLAS kernels.  The number of
    threads does not count; BLAS may round otherwise with another, and then the entry is as the
    one that wrote it had it.

    Images on a device pass by: what is computed from them is neither kept nor looked for.

    Parameters
    ----------
    folder : str or Path
        Made when the first entry is written.
    limit_bytes : int
        What all entries may take together; the least recently used ones are removed first.
    dtype : {"float32", "float16"}, default="float32"
        That features are kept in.  With float16 those that were not kept are rounded too, so
        that a result does not depend on what was found; features beyond its range stay as they
        are.
    least_s : float, default=10.0
        What was computed in fewer seconds is not kept.

    Attributes
    ----------
    folder : CacheFolder
    saved_s : float
        Seconds that all results found so far had taken to compute.
    kept_bytes : int
        What all results kept so far take.
    overhead_s : float
        Seconds that looking for results, reading and keeping them took so far.

    Raises
    ------
    InputError
        If the dtype is another.
    """

    def __init__(
        self,
        folder: str | Path,
        limit_bytes: int,
        dtype: str = DTYPES[0],
        least_s: float = _LEAST_S,
    ) -> None:
        if dtype not in DTYPES:
            raise InputError(
                f"The 'dtype' parameter of FeatureCache must be one of {', '.join(DTYPES)}. "
                f"Got {dtype!r} instead."
            )
        self.folder = CacheFolder(Path(folder), limit_bytes)
        self.dtype = dtype
        self.least_s = least_s
        self.saved_s = 0.0
        self.kept_bytes = 0
        self.overhead_s = 0.0
        self._computed_s = 0.0
        self._surroundings = describe_surroundings()

    @property
    def clock_correction_s(self) -> float:
        """Seconds to add to those of a clock, for those that computing alone takes."""
        return self.saved_s - self.overhead_s

    def fit(self, pipeline: Pipeline, images: Any, compute: Callable[[], Any]) -> Pipeline:
        """Fit a pipeline, or take over what was fitted before.

        Parameters
        ----------
        pipeline : Pipeline
            As `svmcifar.features.build.make_feature_pipeline` gives it; fitted in place.
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
        with self._counted():
            key = CacheKey("pipeline", pipeline, images, *self._surroundings)
            fitted = self._find(key, lambda archive: _read_pipeline(archive, pipeline))
            if fitted is not None:
                _take_over(pipeline, fitted)
                return pipeline
            _, seconds = self._timed(compute)
            if seconds >= self.least_s:
                data = skops.io.dumps(pipeline)
                self._keep(key, seconds, len(data), lambda file: file.writestr(_PIPELINE, data))
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
            What stands for an image, as from `svmcifar.features.augmentation`.
        compute : callable
            Gives the features of the views by the pipeline, in an array of its own.

        Returns
        -------
        array of shape (n_images * n_views, n_features), float32
            Where the images are.
        """
        if not is_host(images):
            return compute()
        with self._counted():
            options = [joblib.hash(list(views)), self.dtype, *self._surroundings]
            key = CacheKey("features", pipeline, images, *options)
            n_rows = len(views) * len(images)
            features = self._find(key, lambda archive: _read_features(archive, n_rows))
            if features is not None:
                return features
            features, seconds = self._timed(compute)
            kept = _rounded(features) if self.dtype == "float16" else features
            if seconds >= self.least_s:
                self._keep(key, seconds, kept.nbytes, lambda file: _write_features(file, kept))
            if kept is not features:
                features[...] = kept
        return features

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Count the seconds of all that is not computing."""
        clock, computed_s = perf_counter(), self._computed_s
        yield
        self.overhead_s += perf_counter() - clock - (self._computed_s - computed_s)

    def _timed(self, compute: Callable[[], Any]) -> tuple[Any, float]:
        clock = perf_counter()
        result = compute()
        seconds = perf_counter() - clock
        self._computed_s += seconds
        return result, seconds

    def _find(self, key: CacheKey, load: Callable[[zipfile.ZipFile], Any]) -> Any:
        """Read an entry if there is one, and count the seconds that it saved."""
        # Most results were never kept: for them nothing large is hashed.
        if not self.folder.has_any(key.prefix):
            return None
        name = key.name

        def load_checked(archive: zipfile.ZipFile) -> tuple[Any, float]:
            described = json.loads(archive.read(_ENTRY))
            if described["name"] != name:
                raise ValueError(f"the entry {described['name']}")
            return load(archive), float(described["seconds"])

        found = self.folder.read(name, load_checked)
        if found is None:
            return None
        content, seconds = found
        self.saved_s += seconds
        return content

    def _keep(
        self, key: CacheKey, seconds: float, n_bytes: int, save: Callable[[zipfile.ZipFile], None]
    ) -> None:
        """Write an entry."""

        def save_described(archive: zipfile.ZipFile) -> None:
            archive.writestr(_ENTRY, json.dumps({"name": key.name, "seconds": seconds}))
            save(archive)

        if self.folder.write(key.name, n_bytes, save_described):
            self.kept_bytes += n_bytes


def open_cache() -> FeatureCache | None:
    """Open the cache that the environment describes.

    Returns
    -------
    FeatureCache or None
        None if its limit is 0.

    Raises
    ------
    InputError
        If a variable is not what it may be (see
        `svmcifar.features.cache_settings.read_cache_settings`).
    """
    settings = read_cache_settings()
    if settings.limit_bytes == 0:
        return None
    return FeatureCache(settings.folder, settings.limit_bytes, settings.dtype)


def _read_pipeline(archive: zipfile.ZipFile, pipeline: Pipeline) -> Pipeline:
    """Read a fitted pipeline with the parameters of another."""
    fitted = read_trusted(archive.read(_PIPELINE), _PIPELINE, TRUSTED)
    if not isinstance(fitted, Pipeline) or hash_parameters(fitted) != hash_parameters(pipeline):
        raise ValueError("a pipeline with other parameters")
    return fitted


def _take_over(pipeline: Pipeline, fitted: Pipeline) -> None:
    """Take over what was fitted; parameters stay, since some are not part of the key."""
    pairs = zip(single_steps(pipeline.steps), single_steps(fitted.steps), strict=True)
    for step, fitted_step in pairs:
        for name in vars(fitted_step).keys() - step.get_params(deep=False).keys():
            setattr(step, name, getattr(fitted_step, name))


def _rounded(features: NDArray[np.float32]) -> NDArray[Any]:
    """Round to float16; features that it cannot hold stay what they are."""
    most = np.finfo(np.float16).max
    fits = features.size == 0 or (features.max() <= most and features.min() >= -most)
    return features.astype(np.float16) if fits else features


def _write_features(archive: zipfile.ZipFile, features: NDArray[Any]) -> None:
    with archive.open(_FEATURES, "w", force_zip64=True) as file:
        np.lib.format.write_array(file, features, allow_pickle=False)


def _read_features(archive: zipfile.ZipFile, n_rows: int) -> NDArray[np.float32]:
    n_bytes = archive.getinfo(_FEATURES).file_size
    with archive.open(_FEATURES) as file:
        np.lib.format.read_magic(file)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        # Before memory is asked for: what a damaged header says may not be there.
        if file.tell() + math.prod(shape) * dtype.itemsize != n_bytes:
            raise ValueError(f"features of shape {shape} in {n_bytes} bytes")
        file.seek(0)
        features = np.lib.format.read_array(file, allow_pickle=False)
    if features.ndim != 2 or len(features) != n_rows or features.dtype not in DTYPES:
        raise ValueError(f"features of type {features.dtype} and shape {features.shape}")
    return features.astype(np.float32, copy=False)
