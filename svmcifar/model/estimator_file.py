"""What a file holds of an estimator that was saved in Python: an SVC, or a pipeline."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import skops.io
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from svmcifar.compute.environment import describe_environment, utc_now
from svmcifar.errors import InputError, ModelFileError
from svmcifar.features import kinds
from svmcifar.io.content_hash import content_hash
from svmcifar.io.half_arrays import narrow_members
from svmcifar.io.safe_skops import read_trusted
from svmcifar.model.manifest import EstimatorManifest
from svmcifar.svm.estimator import SVC
from svmcifar.svm.fitted_state import check_fitted_state, check_support_vectors


def trusted_types() -> list[str]:
    """Return the types that a file may hold besides scikit-learn's and NumPy's."""
    return [*kinds.TRUSTED, "svmcifar.RBFSVC", "svmcifar.SVC"]


def pack_estimator(estimator: Any) -> tuple[EstimatorManifest, bytes]:
    """Return manifest and skops file of a fitted estimator.

    Raise InputError if it is no estimator, or holds what `unpack_estimator` would refuse,
    NotFittedError if it is not fitted.
    """
    if not isinstance(estimator, BaseEstimator):
        raise InputError(
            f"A model to save must be an ImageClassifier or a fitted estimator of scikit-learn's "
            f"kind. Got {type(estimator).__name__} instead."
        )
    check_is_fitted(estimator)
    try:
        data = skops.io.dumps(estimator)
        foreign = sorted(set(skops.io.get_untrusted_types(data=data)) - set(trusted_types()))
        if foreign:
            raise TypeError(f"types such as {foreign[0]} are not loaded from files")
        hashed = content_hash(estimator)
    except TypeError as error:
        raise InputError(
            f"A model to save must be made of scikit-learn's and svmcifar's estimators, numbers "
            f"and text. Got a {type(estimator).__name__} with more ({error}). "
            f"Save it with skops.io.dump, of a search the best_estimator_."
        ) from error
    manifest = EstimatorManifest(
        estimator=" ".join(repr(estimator).split()),
        created=utc_now(),
        **describe_environment(),
        content_hash=hashed,
    )
    return manifest, narrow_members(data)


def unpack_estimator(
    manifest: EstimatorManifest, data: bytes, path: str | Path, n_jobs: int | None
) -> Any:
    """Return the estimator of a file; with `n_jobs`, every step has this number of threads.

    Raise ModelFileError if it is not the one that was saved or has foreign types, and other errors
    for what no fit leaves.
    """
    estimator = read_trusted(data, path, trusted_types())
    if content_hash(estimator) != manifest.content_hash:
        raise ModelFileError(
            f"{path}: the model must match its content hash and does not; save it again"
        )
    for svc in _svcs(estimator):
        check_fitted_state(svc)
        check_support_vectors(svc)
    if n_jobs is not None:
        names = [name for name in estimator.get_params() if name.split("__")[-1] == "n_jobs"]
        estimator.set_params(**dict.fromkeys(names, n_jobs))
    return estimator


def _svcs(value: Any) -> Iterator[SVC]:
    """Yield the fitted models of ours in an estimator, its parameters and fitted attributes."""
    if isinstance(value, SVC):
        if hasattr(value, "classes_"):
            yield value
    elif isinstance(value, BaseEstimator):
        yield from _svcs(list(vars(value).values()))
    elif isinstance(value, dict):
        yield from _svcs(list(value.values()))
    elif isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.dtype == "O"):
        for item in value:
            yield from _svcs(item)
