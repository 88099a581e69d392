"""Model files: written whole, read without running anything in them.

A model file is a zip archive with

- ``manifest.json``: how the model was made, and the file's format number;
- ``model.skops``: features and SVM without support vectors, in skops' format;
- ``support_vectors.npy``: the support vectors; left out of a *slim* file, which
  takes them from the data set that the model was trained on: sample ``svc.support_`` is that
  one of the manifest's rows, or of each of its views (see
  `ImageClassifier.compute_training_features`).

Reading checks the list of types in ``model.skops`` before anything is built, and the
content hashes afterwards.
"""

import copy
import json
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import skops.io

from svmcifar.data.dataset import Dataset
from svmcifar.errors import ModelFileError, SvmCifarError
from svmcifar.features import kinds
from svmcifar.features.build import set_workers
from svmcifar.io.content_hash import content_hash
from svmcifar.io.files import atomic_path, check_output
from svmcifar.io.safe_skops import read_trusted
from svmcifar.model.classifier import ImageClassifier
from svmcifar.svm.estimator import RBFSVC

if TYPE_CHECKING:
    from svmcifar.features.cache import FeatureCache

# 1 knew neither mirror images nor other features than raw pixels; up to 2 types were named by the
# modules that they lay in.
FORMAT_NUMBER = 3

# What older releases call the types that a model file may hold.
_RENAMED = {**kinds.RENAMED, "svmcifar.svc.RBFSVC": "svmcifar.RBFSVC"}

_MANIFEST, _MODEL, _SUPPORT_VECTORS = "manifest.json", "model.skops", "support_vectors.npy"
_REQUIRED = {
    "created", "versions", "git_commit", "host", "data", "training", "fit", "times", "slim",
    "content_hash", "stored_hash",
}  # fmt: skip
_REQUIRED_OF_TRAINING = {"label_kind", "parameters", "n_components", "rows", "seed"}
# What manifests of older releases leave out of "training".
_BEFORE_FEATURES: dict[str, Any] = {
    "preset": None, "features": ["raw"], "feature_settings": {}, "whiten": 0.0,
    "ridge_scores": 0.0, "ridge_components": None, "augment": None, "feature_dtype": "float32",
}  # fmt: skip


def save_model(
    model: ImageClassifier, path: str | Path, *, slim: bool = False, overwrite: bool = False
) -> None:
    """Write a model file.

    Parameters
    ----------
    model : ImageClassifier
        Its manifest gets the content hash, the format number and the form.
    path : str or Path
        By convention ``*.skops``.
    slim : bool, default=False
        Leave the support vectors out: what remains are coefficients and fitted features, but
        the data set is needed to load it.
    overwrite : bool, default=False

    Raises
    ------
    OutputError
        If the file exists and `overwrite` is False, or cannot be written.
    """
    check_output(path, overwrite)
    model.manifest |= {
        "format": FORMAT_NUMBER,
        "slim": slim,
        "content_hash": model_content_hash(model),
    }
    svc = copy.copy(model.svc)
    del svc.support_vectors_
    model.manifest["stored_hash"] = _stored_hash(model, svc)
    content = {
        "features": model.features,
        "svc": svc,
        "label_kind": model.label_kind,
        "class_names": list(model.class_names),
        "coarse_of_fine": list(model.coarse_of_fine),
        "augment": model.augment,
    }
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        archive.writestr(_MANIFEST, json.dumps(model.manifest, indent=2))
        archive.writestr(_MODEL, skops.io.dumps(content))
        if not slim:
            with archive.open(_SUPPORT_VECTORS, "w", force_zip64=True) as file:
                np.lib.format.write_array(file, model.svc.support_vectors_, allow_pickle=False)


def read_manifest(path: str | Path) -> dict[str, Any]:
    """Read how a model was made, without loading it.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    dict

    Raises
    ------
    ModelFileError
        If the file is missing, damaged, or not a model file of this program.
    """
    with _Opened(path) as archive:
        return archive.manifest


def load_model(
    path: str | Path,
    dataset: Dataset | None = None,
    cache: "FeatureCache | None" = None,
    n_jobs: int | None = None,
) -> ImageClassifier:
    """Load a model file.

    Parameters
    ----------
    path : str or Path
    dataset : Dataset, optional
        The data set that the model was trained on; only a slim file needs it.
    cache : FeatureCache, optional
        Where the model looks for features and keeps them; a slim file's while it is loaded too.
    n_jobs : int, optional
        Threads that it works with, as in joblib; None for all processors.

    Returns
    -------
    ImageClassifier

    Raises
    ------
    ModelFileError
        If the file is missing, damaged, made by something else or by a newer
        release, or slim without the right data set.
    """
    with _Opened(path) as archive:
        content = archive.read_content()
        model = ImageClassifier(manifest=archive.manifest, cache=cache, **content)
        model.svc.n_jobs = n_jobs
        set_workers(model.features, n_jobs)
        if _stored_hash(model, model.svc) != archive.manifest["stored_hash"]:
            raise ModelFileError(_altered(path))
        if archive.manifest["slim"]:
            model.svc.support_vectors_ = _support_vectors_from(model, dataset, path)
        else:
            model.svc.support_vectors_ = archive.read_support_vectors()
        is_same = model_content_hash(model) == archive.manifest["content_hash"]
    if not is_same:
        if not model.manifest["slim"]:
            raise ModelFileError(_altered(path))
        warnings.warn(
            f"{path}: features of the slim model differ in their last digits from those it was "
            f"trained on (another processor, library or dtype of the feature cache); predictions "
            f"may differ in rare ties",
            stacklevel=2,
        )
    return model


def model_content_hash(model: ImageClassifier) -> str:
    """Hash what a model is: parameters, fitted arrays and class names.

    Times, machine and number of workers are left out.
    """
    return content_hash(*_parts(model, model.svc))


def _parts(model: ImageClassifier, svc: RBFSVC) -> list[Any]:
    """List what is hashed; without mirror images it is what it was before there were any."""
    parts = [model.features, svc, model.label_kind, model.class_names, model.coarse_of_fine]
    return parts if model.augment is None else [*parts, model.augment]


def _stored_hash(model: ImageClassifier, svc: RBFSVC) -> str:
    """Hash what every file holds: all but the support vectors, and the rows they come from."""
    return content_hash(*_parts(model, svc), model.manifest["training"]["rows"])


def _altered(path: str | Path) -> str:
    return f"{path}: the model must match its content hash and does not; train the model again"


class _Opened:
    """A model file while it is read; turns every sign of damage into one clear error."""

    _DAMAGE = (
        zipfile.BadZipFile, zlib.error, LookupError, ValueError, TypeError, AttributeError,
        EOFError, ArithmeticError, OSError, RuntimeError,
    )  # fmt: skip

    def __init__(self, path: str | Path) -> None:
        self.path = path

    def __enter__(self) -> "_Opened":
        try:
            self.archive = zipfile.ZipFile(self.path)
        except FileNotFoundError:
            raise ModelFileError(
                f"{self.path}: the model file must exist; make one with 'svmcifar train'"
            ) from None
        except OSError as error:
            raise ModelFileError(
                f"{self.path}: the model file must be readable, got '{error.strerror}'"
            ) from error
        except zipfile.BadZipFile as error:
            raise ModelFileError(self._foreign()) from error
        if not {_MANIFEST, _MODEL} <= set(self.archive.namelist()):
            self.archive.close()
            raise ModelFileError(self._foreign())
        try:
            self.manifest = json.loads(self.archive.read(_MANIFEST))
            number = int(self.manifest["format"])
            is_complete = set(self.manifest) >= _REQUIRED
            if is_complete:
                training = _BEFORE_FEATURES | self.manifest["training"]
                self.manifest["training"] = training
                is_complete = set(training) >= _REQUIRED_OF_TRAINING
        except self._DAMAGE as error:
            self.archive.close()
            raise ModelFileError(self._damaged()) from error
        if number <= FORMAT_NUMBER and not is_complete:
            self.archive.close()
            raise ModelFileError(self._damaged())
        if number > FORMAT_NUMBER:
            self.archive.close()
            raise ModelFileError(
                f"{self.path}: the file format must be at most {FORMAT_NUMBER}, got {number}; "
                f"upgrade svmcifar to read it"
            )
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self.archive.close()
        if isinstance(error, self._DAMAGE) and not isinstance(error, SvmCifarError):
            raise ModelFileError(self._damaged()) from error

    def read_content(self) -> dict[str, Any]:
        """Read everything but the support vectors."""
        renamed = _RENAMED if self.manifest["format"] < 3 else {}
        trusted = [*kinds.TRUSTED, "svmcifar.RBFSVC"]
        return read_trusted(self.archive.read(_MODEL), self.path, trusted, renamed)

    def read_support_vectors(self) -> np.ndarray:
        """Read the support vectors."""
        with self.archive.open(_SUPPORT_VECTORS) as file:
            return np.lib.format.read_array(file, allow_pickle=False)

    def _foreign(self) -> str:
        return (
            f"{self.path}: a model file must be one that svmcifar wrote, and this is not; "
            f"make one with 'svmcifar train'"
        )

    def _damaged(self) -> str:
        return f"{self.path}: the model file is damaged; copy it again or train the model again"


def _support_vectors_from(
    model: ImageClassifier, dataset: Dataset | None, path: str | Path
) -> np.ndarray:
    """Compute a slim model's support vectors from its training images."""
    if dataset is None:
        raise ModelFileError(
            f"{path}: a slim model needs the data set it was trained on; pass --data"
        )
    expected = model.manifest["data"]["md5s"]["train"]
    if dataset.md5s["train"] != expected:
        raise ModelFileError(
            f"{path}: a slim model needs the data set it was trained on (md5 {expected}), "
            f"got {dataset.location} (md5 {dataset.md5s['train']}); pass the right --data"
        )
    images = dataset.read_split("train").images
    rows = model.manifest["training"]["rows"]
    if rows is not None:
        images = images[rows]
    support_vectors = model.compute_training_features(images)[model.svc.support_]
    # Rounding may differ; anything more means other images than it was trained on.
    center = model.svc._center
    centred = support_vectors if center is None else support_vectors - center
    sq_norms = np.einsum("ij,ij->i", centred, centred, dtype=np.float64)
    if not np.allclose(sq_norms, model.svc._support_sq_norms, rtol=1e-3):
        raise ModelFileError(_altered(path))
    return support_vectors
