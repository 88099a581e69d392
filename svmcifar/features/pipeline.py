"""The steps of the feature pipeline, not fitted: features, standardiser, PCA, class scores."""

from typing import Any

from sklearn.decomposition import PCA
from sklearn.pipeline import Pipeline

from svmcifar.features.extract.even_odd import EvenOddFeatures
from svmcifar.features.extract.feature_union import FeatureStack
from svmcifar.features.kinds import make_transformers
from svmcifar.features.reduce.component_scaling import ComponentScaling
from svmcifar.features.reduce.even_odd import EvenOddPCA, EvenOddScaler
from svmcifar.features.reduce.kernel_ridge import KernelRidgeScores
from svmcifar.features.reduce.ridge_scores import RidgeScores
from svmcifar.features.reduce.standardize import BatchStandardScaler
from svmcifar.features.reduce.unit_rows import UnitRows
from svmcifar.features.reduce.wide_pca import WidePCA
from svmcifar.features.settings import RAW_PIXELS, FeatureSettings
from svmcifar.features.transfer import single_steps

# The penalty of RidgeScores on even features: on held-out images better than its default.
_EVEN_ALPHA = 0.2
# Of KernelRidgeScores on samples of length one, by leave-one-out accuracy: gamma is about a quarter
# of "scale".
_UNIT_GAMMA, _UNIT_PENALTY = 0.25, 0.005


def make_feature_pipeline(settings: FeatureSettings = RAW_PIXELS, *, seed: int = 0) -> Pipeline:
    """Build the pipeline from uint8 images of shape (n_images, n_pixels) to float32 features.

    With augmentation features are even and odd parts, which tell those of mirror images.  `seed` is
    that of every step that draws random numbers.  Raise InputError if a setting is invalid.
    """
    settings.validate()
    transformers = make_transformers(settings.kinds, settings.parameters)
    steps = transformers if len(transformers) == 1 else [("stack", FeatureStack(transformers))]
    if settings.augment is not None:
        steps = [(name, EvenOddFeatures(source)) for name, source in steps]
    scaler = BatchStandardScaler if settings.augment is None else EvenOddScaler
    steps.append(("standardize", scaler(copy=False)))
    n_keep = None if settings.ridge_components is None else settings.n_components
    if settings.n_components is not None:
        n_components = settings.ridge_components or settings.n_components
        steps.append(("pca", _make_pca(settings, n_components, n_keep)))
    if settings.whiten:
        steps.append(("whiten", ComponentScaling(settings.whiten)))
    if settings.ridge_scores:
        steps += _score_steps(settings, n_keep)
    pipeline = Pipeline(steps)
    for step in single_steps(pipeline.steps):
        if step.get_params().get("random_state") is not None:
            step.set_params(random_state=seed)
    return pipeline


def _score_steps(settings: FeatureSettings, n_keep: int | None) -> list[tuple[str, Any]]:
    """Build the steps that prepend class scores."""
    if settings.ridge_kernel == "rbf":
        scores = KernelRidgeScores(settings.ridge_scores, penalty=_UNIT_PENALTY, gamma=_UNIT_GAMMA)
        return [("unit", UnitRows()), ("scores", scores)]
    linear = RidgeScores(settings.ridge_scores, n_keep=n_keep)
    if settings.augment is not None:
        linear.set_params(alpha=_EVEN_ALPHA)
    return [("scores", linear)]


def _make_pca(settings: FeatureSettings, n_components: int, n_keep: int | None) -> Any:
    """Build the principal component analysis for the features of the settings."""
    if settings.augment is not None:
        solver = "gram" if settings.is_wide else "covariance"
        return EvenOddPCA(n_components, n_keep=n_keep, solver=solver)
    if settings.is_wide:
        return WidePCA(n_components)
    return PCA(n_components, svd_solver="covariance_eigh", copy=False)


def implies_mirror_images(pipeline: Pipeline) -> bool:
    """Return whether features are even and odd parts, so that they tell those of mirror images."""
    return isinstance(pipeline.steps[0][1], EvenOddFeatures)


def count_odd(pipeline: Pipeline) -> int:
    """Return how many features of a fitted pipeline, the last ones, mirroring negates."""
    if not implies_mirror_images(pipeline):
        return 0
    steps = pipeline.named_steps
    return int(steps["pca" if "pca" in steps else "standardize"].n_odd_)


def count_features(pipeline: Pipeline, n_pixels: int, n_classes: int) -> int:
    """Return the features of an image of so many values that a pipeline gives, fitted or not.

    `n_classes` are those of class scores.  Raise InputError if HOG refuses the images.
    """
    (_, source), *later = pipeline.steps
    steps = dict(later)
    n_features = source.count_features(n_pixels)
    if "pca" in steps:
        n_features = steps["pca"].n_components
    if "scores" in steps:
        n_features = (getattr(steps["scores"], "n_keep", None) or n_features) + n_classes
    return int(n_features)


def step_names(pipeline: Pipeline) -> list[str]:
    """Return the names of a pipeline's steps, for people; features of several kinds are one."""
    return [_step_name(name, step) for name, step in pipeline.steps]


def _step_name(name: str, step: Any) -> str:
    if isinstance(step, EvenOddFeatures):
        return _step_name(name, step.source)
    if isinstance(step, FeatureStack):
        return " + ".join(part for part, _ in step.transformers)
    return f"{name}^{step.power:g}" if isinstance(step, ComponentScaling) else name


def require_memory(pipeline: Pipeline, n_images: int, n_classes: int, n_views: int) -> None:
    """Raise MemoryLimitError if class scores of so many images need more than their limit."""
    scores = pipeline.named_steps.get("scores")
    if isinstance(scores, KernelRidgeScores):
        scores.require_memory(n_images, n_classes, n_views)


def held_samples(pipeline: Pipeline) -> Any | None:
    """Return the last training features as a fitted pipeline itself holds them, if it does."""
    scores = pipeline.named_steps.get("scores")
    return scores.samples_ if isinstance(scores, KernelRidgeScores) else None


def set_workers(pipeline: Pipeline, n_jobs: int | None) -> None:
    """Set the number of threads of the steps that have their own; None for all processors."""
    _set_everywhere(pipeline, "n_jobs", n_jobs)


def set_memory_limit(pipeline: Pipeline, memory_limit: int | str | None) -> None:
    """Set the memory limit of the steps that have one; None for most of what is available."""
    _set_everywhere(pipeline, "memory_limit", memory_limit)


def _set_everywhere(pipeline: Pipeline, name: str, value: Any) -> None:
    """Set a parameter of the steps that have it."""
    for step in single_steps(pipeline.steps):
        if name in step.get_params():
            step.set_params(**{name: value})
