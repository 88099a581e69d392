"""The feature pipeline: features of one or more kinds, standardised, optionally reduced by PCA.

Images may be on a device: features are then computed there.  A fitted pipeline holds host arrays
wherever it was fitted.
"""

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from sklearn.decomposition import PCA
from sklearn.pipeline import Pipeline
from sklearn.utils import gen_batches

from svmcifar.arrays import (
    get_device,
    get_namespace,
    is_host,
    move_beside,
    sklearn_dispatch,
    to_host,
)
from svmcifar.errors import InputError
from svmcifar.features.kinds import make_transformers
from svmcifar.features.mirror import mirror
from svmcifar.features.stack import FeatureStack
from svmcifar.features.standardize import BatchStandardScaler
from svmcifar.features.whiten import ComponentScaling

# Fixed, so that the rounding of a sample's features does not depend on who asks for them.
_BATCH_ROWS = 5000


def make_feature_pipeline(
    n_components: int | None = None, *, kinds: Sequence[str] = ("raw",), whiten: float = 0.0
) -> Pipeline:
    """Build the pipeline, to be fitted on training images alone.

    Parameters
    ----------
    n_components : int, optional
        Components that PCA keeps; no PCA by default.
    kinds : sequence of str, default=("raw",)
        Keys of `svmcifar.features.kinds.KINDS`; several are concatenated in this order.
    whiten : float, default=0.0
        From 0 to 1: the power of its standard deviation that each component is divided by.

    Returns
    -------
    Pipeline
        From uint8 images of shape (n_images, n_pixels) to float32 features.

    Raises
    ------
    InputError
        If kinds are not known or given twice, or `whiten` is out of range or has no components to
        divide.
    """
    if not 0 <= whiten <= 1:
        raise InputError(f"The power of whitening must be from 0 to 1. Got {whiten} instead.")
    if whiten and n_components is None:
        raise InputError(
            f"Whitening needs principal components to divide. Got power {whiten} without PCA. "
            f"Say how many components PCA is to keep, or do not whiten."
        )
    transformers = make_transformers(kinds)
    steps = transformers if len(kinds) == 1 else [("stack", FeatureStack(transformers))]
    steps.append(("standardize", BatchStandardScaler(copy=False)))
    if n_components is not None:
        steps.append(("pca", PCA(n_components, svd_solver="covariance_eigh", copy=False)))
    if whiten:
        steps.append(("whiten", ComponentScaling(whiten)))
    return Pipeline(steps)


def step_names(pipeline: Pipeline) -> list[str]:
    """Name the steps of a pipeline, for people.

    Parameters
    ----------
    pipeline : Pipeline
        As `make_feature_pipeline` gives it.

    Returns
    -------
    list of str
        Features of several kinds are one step.
    """
    return [_step_name(name, step) for name, step in pipeline.steps]


def _step_name(name: str, step: Any) -> str:
    if isinstance(step, FeatureStack):
        return " + ".join(part for part, _ in step.transformers)
    return f"{name}^{step.power:g}" if isinstance(step, ComponentScaling) else name


def fit_features(pipeline: Pipeline, images: Any) -> Pipeline:
    """Fit the pipeline on training images.

    Parameters
    ----------
    pipeline : Pipeline
        As `make_feature_pipeline` gives it.
    images : array of shape (n_images, n_pixels), uint8
        On the host or on a device.

    Returns
    -------
    Pipeline
        The same, fitted, with its arrays on the host.

    Raises
    ------
    InputError
        If PCA is to keep more components than there are features or images.
    """
    X = images
    with sklearn_dispatch(images):
        *earlier, (last_name, last) = pipeline.steps
        for name, step in earlier:
            _require_components(name, step, X)
            X = step.fit_transform(X)
        _require_components(last_name, last, X)
        last.fit(X)
    if not is_host(images):
        for step in _single_steps(pipeline.steps):
            _convert_arrays(step, _to_plain_host)
    return pipeline


def _require_components(name: str, step: Any, X: Any) -> None:
    """Refuse a PCA that is to keep more components than there are of its samples X."""
    if name == "pca" and step.n_components > min(X.shape):
        raise InputError(
            f"PCA can keep at most {min(X.shape)} components of {X.shape[0]} images of "
            f"{X.shape[1]} values. Got {step.n_components} instead."
        )


def compute_features(pipeline: Pipeline, images: Any, *, with_mirrors: bool = False) -> Any:
    """Compute features a batch of images at a time, where the images are.

    Parameters
    ----------
    pipeline : Pipeline
        Fitted.
    images : array of shape (n_images, n_pixels), uint8
        On the host or on a device.
    with_mirrors : bool, default=False
        Whether to compute the features of the mirrored images too.

    Returns
    -------
    array of shape (n_images, n_features) or (2 * n_images, n_features), float32
        Of the kind that the images are, and on their device.  With mirrors the features of image
        i are row 2 i, and those of its mirror image row 2 i + 1.
    """
    xp, n_images = get_namespace(images), images.shape[0]
    if not is_host(images):
        pipeline = _pipeline_beside(pipeline, images)
    with sklearn_dispatch(images):
        # The width is known only from what the last step gives.
        width = pipeline.transform(images[:1, :]).shape[1]
        n_views = 2 if with_mirrors else 1
        shape = (n_views * n_images, width)
        features = xp.empty(shape, dtype=xp.float32, device=get_device(images))
        for rows in gen_batches(n_images, _BATCH_ROWS):
            start, stop = n_views * rows.start, n_views * rows.stop
            features[start:stop:n_views, :] = pipeline.transform(images[rows, :])
            if with_mirrors:
                mirrored = pipeline.transform(mirror(images[rows, :]))
                features[start + 1 : stop : n_views, :] = mirrored
    return features


def _pipeline_beside(pipeline: Pipeline, images: Any) -> Pipeline:
    """Copy a fitted pipeline, with its arrays on the device that images are on."""
    steps = _copied(pipeline.steps)
    for step in _single_steps(steps):
        _convert_arrays(step, lambda array: move_beside(array, images))
    return Pipeline(steps)


def _copied(steps: Iterable[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Copy steps, and those that are stacked in one, but not their arrays."""
    return [
        (name, FeatureStack(_copied(step.transformers)))
        if isinstance(step, FeatureStack)
        else (name, copy.copy(step))
        for name, step in steps
    ]


def _single_steps(steps: Iterable[tuple[str, Any]]) -> Iterator[Any]:
    """Give the steps that have arrays: those that are stacked one by one."""
    for _, step in steps:
        if isinstance(step, FeatureStack):
            yield from _single_steps(step.transformers)
        else:
            yield step


def _convert_arrays(step: Any, convert: Callable[[Any], Any]) -> None:
    """Replace the fitted arrays of one step."""
    for name, value in list(vars(step).items()):
        if isinstance(value, np.ndarray) or not is_host(value):
            setattr(step, name, convert(value))


def _to_plain_host(array: Any) -> Any:
    """Give an array on the host; one without dimensions as the number it is on the host."""
    return to_host(array)[()]
