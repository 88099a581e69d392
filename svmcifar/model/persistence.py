"""Model files: written whole, read without running anything in them.

A model file is a zip archive with

- ``manifest.json``: how the model was made, and the file's format number;
- ``model.skops``: features and SVM without support vectors, in skops' format;
- ``features/...npy``: arrays of the features that are large, which are empty there;
- ``support_vectors.npy``: left out of a *slim* file, whose support vectors are rows
  ``svc.support_`` of `ImageClassifier.compute_training_features` of the training images; without
  the last columns where they are those rows of the samples that kernel ridge scores hold.

One of another estimator (see `svmcifar.model.estimator_file`) has the first two alone.

Loading checks the types in ``model.skops`` before anything is built, and the content hashes
afterwards.
"""

import copy
import json
import os
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from tokenize import TokenError
from typing import TYPE_CHECKING, Any

import numpy as np
import skops.io
from sklearn.base import BaseEstimator

from svmcifar.compute.progress import stage
from svmcifar.data.dataset import CLASSES, LABEL_KINDS, SUPERCLASS_OF, Dataset
from svmcifar.data.registry import DEFAULT_SHAPE
from svmcifar.errors import InputError, ModelFileError, SvmCifarError
from svmcifar.features import kinds
from svmcifar.features.pipeline import held_samples, set_workers
from svmcifar.features.settings import require_augmentation
from svmcifar.io.content_hash import content_hash
from svmcifar.io.files import atomic_path, check_output
from svmcifar.io.half_arrays import read_array, write_array
from svmcifar.io.reading import open_file
from svmcifar.io.safe_skops import read_trusted
from svmcifar.io.stored_zip import ZIP_ERRORS, open_zip
from svmcifar.json_values import is_of_type
from svmcifar.model.classifier import ImageClassifier
from svmcifar.model.estimator_file import pack_estimator, trusted_types, unpack_estimator
from svmcifar.model.large_arrays import put_back, take_out
from svmcifar.model.manifest import (
    ESTIMATOR,
    FORMAT_NUMBER,
    EstimatorManifest,
    Manifest,
)
from svmcifar.svm.estimator import SVC
from svmcifar.svm.fitted_state import check_fitted_state, check_support_vectors

if TYPE_CHECKING:
    from svmcifar.features.cache import FeatureCache

# Today's names of types by those in files of older releases.
_RENAMED = {**kinds.RENAMED, "svmcifar.svc.RBFSVC": "svmcifar.RBFSVC"}

# Exceptions that reading a damaged file raises.
_DAMAGE = (
    *ZIP_ERRORS, TypeError, AttributeError, ArithmeticError, OSError, SyntaxError, TokenError,
)  # fmt: skip
_MANIFEST, _MODEL, _SUPPORT_VECTORS = "manifest.json", "model.skops", "support_vectors.npy"


def save_model(
    model: ImageClassifier | BaseEstimator,
    path: str | Path,
    *,
    slim: bool = False,
    overwrite: bool = False,
) -> None:
    """Write a model file.

    Parameters
    ----------
    model : ImageClassifier, SVC or Pipeline
        Content hash, format number and form are added to an image classifier's manifest.
        Estimators must be fitted; any are taken that are made of scikit-learn's and svmcifar's.
    path : str or Path
        By convention ``*.skops``.
    slim : bool, default=False
        Leave the support vectors out, so that loading needs the data set; of image classifiers
        alone.
    overwrite : bool, default=False

    Raises
    ------
    OutputError
        If the file exists and `overwrite` is False, or cannot be written.
    InputError
        If the model is something else, or `slim` is set and it is no image classifier.

    Examples
    --------
    >>> import os, tempfile
    >>> from svmcifar import RBFSVC, load_model, save_model
    >>> svc = RBFSVC().fit([[0.0], [1.0]], ["no", "yes"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_model(svc, os.path.join(folder, "svc.skops"))
    ...     print(load_model(os.path.join(folder, "svc.skops")).predict([[0.9]]))
    ['yes']
    """
    check_output(path, overwrite)
    if isinstance(model, ImageClassifier):
        _save_classifier(model, path, slim)
        return
    if slim:
        raise InputError(
            f"A slim file leaves the support vectors to the data set of an image classifier. "
            f"Got a {type(model).__name__}. Save it whole."
        )
    manifest, data = pack_estimator(model)
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        archive.writestr(_MANIFEST, json.dumps(manifest.to_dict(), indent=2))
        archive.writestr(_MODEL, data)


def _save_classifier(model: ImageClassifier, path: str | Path, slim: bool) -> None:
    """Write the file of an image classifier."""
    with stage("saving the model"):
        _write_classifier(model, path, slim)


def _write_classifier(model: ImageClassifier, path: str | Path, slim: bool) -> None:
    svc = copy.copy(model.svc)
    del svc.support_vectors_
    manifest = model.manifest
    manifest.slim = slim
    manifest.content_hash = model_content_hash(model)
    manifest.stored_hash = _stored_hash(model, svc)
    features, arrays = take_out(model.features)
    content = {
        "features": features,
        "svc": svc,
        "label_kind": model.label_kind,
        "class_names": list(model.class_names),
        SUPERCLASS_OF: list(model.superclass_of),
        "augment": model.augment,
    }
    if not slim:
        arrays[_SUPPORT_VECTORS] = _without_held(model)
    manifest.format = FORMAT_NUMBER
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        archive.writestr(_MANIFEST, json.dumps(manifest.to_dict(), indent=2))
        archive.writestr(_MODEL, skops.io.dumps(content))
        for name, array in arrays.items():
            write_array(archive, name, array)


def read_manifest(path: str | Path) -> Manifest:
    """Read the manifest of an image classifier's file without loading the model.

    Raise ModelFileError if the file is missing, damaged, or not one that svmcifar wrote.
    """
    with _opened(path) as (_, content):
        return _classifier_manifest(content, path)


def read_any_manifest(path: str | Path) -> Manifest | EstimatorManifest:
    """Read a file's manifest as `read_manifest`, also an estimator's."""
    with _opened(path) as (_, content):
        if content.get("holds") == ESTIMATOR:
            return EstimatorManifest.from_dict(content)
        return _classifier_manifest(content, path)


def load_model(
    path: str | Path,
    dataset: Dataset | None = None,
    cache: "FeatureCache | None" = None,
    n_jobs: int | None = None,
) -> Any:
    """Load a model file.

    Parameters
    ----------
    path : str or Path
    dataset : Dataset, optional
        The data set that the model was trained on; only a slim file needs it.
    cache : FeatureCache, optional
        The model's cache of features; loading a slim file uses it too.
    n_jobs : int, optional
        The model's number of threads, as in joblib; None for all processors, of an estimator for
        those it was saved with.

    Returns
    -------
    ImageClassifier or estimator
        What was saved.

    Raises
    ------
    ModelFileError
        If the file is missing, damaged, made by something else or by a newer
        release, or slim without the right data set.
    """
    with _opened(path) as (archive, content):
        if content.get("holds") == ESTIMATOR:
            manifest = EstimatorManifest.from_dict(content)
            return unpack_estimator(manifest, archive.read(_MODEL), path, n_jobs)
    return load_classifier(path, dataset, cache, n_jobs)


def load_classifier(
    path: str | Path,
    dataset: Dataset | None = None,
    cache: "FeatureCache | None" = None,
    n_jobs: int | None = None,
) -> ImageClassifier:
    """Load a model file as `load_model`; raise ModelFileError if it holds no image classifier."""
    with stage("loading the model"), _opened(path) as (archive, written):
        manifest = _classifier_manifest(written, path)
        renamed = _RENAMED if manifest.format < 3 else {}
        content = read_trusted(archive.read(_MODEL), path, trusted_types(), renamed)
        put_back(content["features"], archive)
        content["superclass_of"] = content.pop(SUPERCLASS_OF)
        model = ImageClassifier(manifest=manifest, cache=cache, **content)
        model.svc.n_jobs = n_jobs
        set_workers(model.features, n_jobs)
        if _stored_hash(model, model.svc) != manifest.stored_hash:
            raise ModelFileError(_altered(path))
        if manifest.slim:
            model.svc.support_vectors_ = _support_vectors_from(model, dataset, path)
        else:
            stored = read_array(archive, _SUPPORT_VECTORS)
            model.svc.support_vectors_ = _with_held(model, stored)
        try:
            check_support_vectors(model.svc)
        except ValueError as error:  # of other images than those in training
            raise ModelFileError(_altered(path)) from error
        is_same = model_content_hash(model) == manifest.content_hash
        if not is_same and not manifest.slim:
            raise ModelFileError(_altered(path))
        check_fitted_state(model.svc)
        _check_classes(model)
        _check_features(model)
    if not is_same:
        warnings.warn(
            f"{path}: features of the slim model differ in their last digits from those it was "
            f"trained on (another processor, library or dtype of the feature cache); predictions "
            f"may differ in rare ties",
            stacklevel=2,
        )
    return model


def _check_classes(model: ImageClassifier) -> None:
    """Raise ValueError unless names and superclasses are those of the SVM's classes."""
    names, above = model.class_names, model.superclass_of
    if not (
        is_of_type(names, list[str])
        and is_of_type(above, list[int])
        and model.label_kind in LABEL_KINDS
        and set(model.svc.classes_.tolist()) <= set(range(len(names)))
        and (model.label_kind != CLASSES or len(above) in (0, len(names)))
        and min(above, default=0) >= 0
    ):
        raise ValueError("names and superclasses must be those of the SVM's classes")


def _check_features(model: ImageClassifier) -> None:
    """Raise ValueError unless some image has features for the SVM that are finite."""
    require_augmentation(model.augment)
    shape = model.manifest.data.image_shape or DEFAULT_SHAPE
    image = np.random.default_rng(0).integers(0, 256, (1, prod(shape)), dtype=np.uint8)
    X = model.features.transform(image)
    if X.shape[1:] != model.svc.shape_fit_[1:] or not np.isfinite(X).all():
        raise ValueError("features must be finite, and as many as the SVM has learned from")


def model_content_hash(model: ImageClassifier) -> str:
    """Hash parameters, fitted arrays and class names, but no times, machine or workers."""
    return content_hash(*_parts(model, model.svc))


def _parts(model: ImageClassifier, svc: SVC) -> list[Any]:
    """Return what is hashed; without augmentation as in releases that had none."""
    parts = [model.features, svc, model.label_kind, model.class_names, model.superclass_of]
    return parts if model.augment is None else [*parts, model.augment]


def _stored_hash(model: ImageClassifier, svc: SVC) -> str:
    """Hash what every file holds, slim or not: no support vectors, but the rows of their images."""
    return content_hash(*_parts(model, svc), model.manifest.training.rows)


def _altered(path: str | Path) -> str:
    return f"{path}: the model must match its content hash and does not; train the model again"


def _classifier_manifest(content: dict[str, Any], path: str | Path) -> Manifest:
    """Read the manifest of an image classifier; raise ModelFileError for another's."""
    if content.get("holds") == ESTIMATOR:
        raise ModelFileError(
            f"{path}: the model must be an image classifier, and this is an estimator that was "
            f"saved in Python; open it there with svmcifar.load_model"
        )
    return Manifest.from_dict(content)


@contextmanager
def _opened(path: str | Path) -> Iterator[tuple[zipfile.ZipFile, dict[str, Any]]]:
    """Open a model file and read its manifest's JSON.

    While it is read, raise ModelFileError for every sign of damage.
    """
    try:
        file = open_file(path)
    except FileNotFoundError:
        raise ModelFileError(
            f"{path}: the model file must exist; make one with 'svmcifar train'"
        ) from None
    except OSError as error:
        raise ModelFileError(
            f"{path}: the model file must be readable, got '{error.strerror}'"
        ) from error
    with file:
        try:
            archive = open_zip(file)
        except (*ZIP_ERRORS, OSError) as error:
            is_zip = zipfile.is_zipfile(file)
            raise ModelFileError((not is_zip and _truncated(path)) or _foreign(path)) from error
        if not {_MANIFEST, _MODEL} <= set(archive.namelist()):
            raise ModelFileError(_foreign(path))
        try:
            content = json.loads(archive.read(_MANIFEST))
            if (number := int(content["format"])) > FORMAT_NUMBER:
                raise ModelFileError(
                    f"{path}: the file format must be at most {FORMAT_NUMBER}, got {number}; "
                    f"upgrade svmcifar to read it"
                )
            yield archive, content
        except SvmCifarError:
            raise
        except _DAMAGE as error:
            raise ModelFileError(
                f"{path}: the model file is damaged; copy it again or train the model again"
            ) from error


def _without_held(model: ImageClassifier) -> np.ndarray:
    """Return the support vectors without the last columns if the features hold them, to the bit."""
    support, held = model.svc.support_vectors_, held_samples(model.features)
    if held is None or len(held) != model.svc.shape_fit_[0]:  # as where mirror images have rows
        return support
    n_own = support.shape[1] - held.shape[1]
    same = all(
        support[row, n_own:].tobytes() == held[sample].tobytes()
        for row, sample in enumerate(model.svc.support_)
    )
    return support[:, :n_own] if same else support


def _with_held(model: ImageClassifier, stored: np.ndarray) -> np.ndarray:
    """Return the support vectors of what `_without_held` returned."""
    held = held_samples(model.features)
    if held is None or stored.shape[1] == model.svc.shape_fit_[1]:
        return stored
    support = np.empty((len(stored), model.svc.shape_fit_[1]), dtype=stored.dtype)
    n_own = stored.shape[1]
    support[:, :n_own] = stored
    for row, sample in zip(support, model.svc.support_, strict=True):  # no copy of all in between
        row[n_own:] = held[sample]
    return support


def _foreign(path: str | Path) -> str:
    return (
        f"{path}: a model file must be one that svmcifar wrote, and this is not; "
        f"make one with 'svmcifar train'"
    )


def _truncated(path: str | Path) -> str | None:
    """Describe a file that begins as a model file does, or is empty; None for any other."""
    with open_file(path) as file:
        start = file.read(4)
        n_bytes = file.seek(0, os.SEEK_END)
    if start not in (b"", b"PK\x03\x04"):
        return None
    return (
        f"{path}: the model file is truncated: it has {n_bytes} bytes and no end; copy it again or "
        f"train the model again"
    )


def _support_vectors_from(
    model: ImageClassifier, dataset: Dataset | None, path: str | Path
) -> np.ndarray:
    """Compute a slim model's support vectors from its training images."""
    if dataset is None:
        raise ModelFileError(
            f"{path}: a slim model needs the data set it was trained on; pass --data"
        )
    expected = model.manifest.data.md5s["train"]
    if dataset.md5s["train"] != expected:
        raise ModelFileError(
            f"{path}: a slim model needs the data set it was trained on (md5 {expected}), "
            f"got {dataset.location} (md5 {dataset.md5s['train']}); pass the right --data"
        )
    images = dataset.read_split("train").images
    rows = model.manifest.training.rows
    if rows is not None:
        images = images[rows]
    return model.compute_training_features(images)[model.svc.support_]
