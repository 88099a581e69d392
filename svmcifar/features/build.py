"""The steps of the feature pipeline, not fitted: features, standardiser, PCA, class scores."""

from collections.abc import Mapping, Sequence
from math import inf
from numbers import Integral
from typing import Any

from sklearn.decomposition import PCA
from sklearn.pipeline import Pipeline

from svmcifar.errors import InputError
from svmcifar.features.extract.feature_union import FeatureStack
from svmcifar.features.kinds import make_transformers
from svmcifar.features.reduce.component_scaling import ComponentScaling
from svmcifar.features.reduce.ridge_scores import RidgeScores
from svmcifar.features.reduce.standardize import BatchStandardScaler
from svmcifar.features.reduce.wide_pca import WidePCA
from svmcifar.features.transfer import single_steps

# The covariance of as many features as patches have does not fit the memory.
_WIDE_KINDS = {"patches"}


def make_feature_pipeline(
    n_components: int | None = None,
    *,
    kinds: Sequence[str] = ("raw",),
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    whiten: float = 0.0,
    ridge_scores: float = 0.0,
    ridge_components: int | None = None,
    seed: int = 0,
) -> Pipeline:
    """Build the pipeline, to be fitted on training images alone.

    Parameters
    ----------
    n_components : int, optional
        Components that PCA keeps; no PCA by default.
    kinds : sequence of str, default=("raw",)
        Keys of `svmcifar.features.kinds.KINDS`; several are concatenated in this order.
    settings : mapping of str to mapping, optional
        Parameters of the transformers by kind, such as ``{"patches": {"n_filters": 400}}``.
    whiten : float, default=0.0
        From 0 to 1: the power of its standard deviation that each component is divided by.
    ridge_scores : float, default=0.0
        Weight of the class scores that are put before the features (see
        `svmcifar.features.reduce.ridge_scores.RidgeScores`); none by default.
    ridge_components : int, optional
        Components that the class scores are learned from, more than `n_components`; by default
        these.
    seed : int, default=0
        Of everything that is drawn when the pipeline is fitted.

    Returns
    -------
    Pipeline
        From uint8 images of shape (n_images, n_pixels) to float32 features.

    Raises
    ------
    InputError
        If kinds are not known or given twice, settings are not of these kinds, `n_components` is
        no number of components, `whiten` is out of range or has no components to divide,
        `ridge_scores` is below 0 or needs components, or `ridge_components` has no class scores
        or is not above `n_components`.
    """
    if n_components is not None and not (
        isinstance(n_components, Integral) and int(n_components) >= 1
    ):
        raise InputError(
            f"The number of components must be an integer of at least 1. "
            f"Got {n_components!r} instead."
        )
    is_wide = bool(_WIDE_KINDS & set(kinds))
    if is_wide and ridge_scores and n_components is None:
        raise InputError(
            f"Class scores need principal components of features as many as those of "
            f"{', '.join(kinds)}. Got class scores of weight {ridge_scores} without PCA. "
            f"Say how many components PCA is to keep, or leave the scores out."
        )
    if ridge_components is not None and not (
        ridge_scores and ridge_components > (n_components or inf)
    ):
        raise InputError(
            f"The components of class scores must be more than those that PCA keeps, and there "
            f"must be class scores. Got {ridge_components} with PCA of {n_components} and class "
            f"scores of weight {ridge_scores}. Say more of them, or leave them out."
        )
    if not 0 <= ridge_scores < inf:
        raise InputError(
            f"The weight of class scores must be at least 0 and finite. Got {ridge_scores} instead."
        )
    if not 0 <= whiten <= 1:
        raise InputError(f"The power of whitening must be from 0 to 1. Got {whiten} instead.")
    if whiten and n_components is None:
        raise InputError(
            f"Whitening needs principal components to divide. Got power {whiten} without PCA. "
            f"Say how many components PCA is to keep, or do not whiten."
        )
    transformers = make_transformers(kinds, settings)
    steps = transformers if len(transformers) == 1 else [("stack", FeatureStack(transformers))]
    steps.append(("standardize", BatchStandardScaler(copy=False)))
    if n_components is not None:
        steps.append(("pca", _make_pca(ridge_components or n_components, is_wide)))
    if whiten:
        steps.append(("whiten", ComponentScaling(whiten)))
    if ridge_scores:
        n_keep = None if ridge_components is None else n_components
        steps.append(("scores", RidgeScores(ridge_scores, n_keep=n_keep)))
    pipeline = Pipeline(steps)
    for step in single_steps(pipeline.steps):
        if step.get_params().get("random_state") is not None:
            step.set_params(random_state=seed)
    return pipeline


def _make_pca(n_components: int, is_wide: bool) -> PCA | WidePCA:
    if is_wide:
        return WidePCA(n_components)
    return PCA(n_components, svd_solver="covariance_eigh", copy=False)


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


def set_workers(pipeline: Pipeline, n_jobs: int | None) -> None:
    """Say how many threads the features that have their own are computed with.

    Parameters
    ----------
    pipeline : Pipeline
        Its transformers are changed in place; features do not depend on it.
    n_jobs : int, optional
        None for all processors.
    """
    for step in single_steps(pipeline.steps):
        if "n_jobs" in step.get_params():
            step.set_params(n_jobs=n_jobs)
