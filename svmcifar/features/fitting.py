"""Fitting the feature pipeline, and computing features with it (see `svmcifar.features.pipeline`).

Images may be on a device: features are then computed there.  A fitted pipeline holds host arrays
wherever it was fitted.
"""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.pipeline import Pipeline
from sklearn.utils import gen_batches

from svmcifar.compute.arrays import get_device, get_namespace, is_host, sklearn_dispatch, take_rows
from svmcifar.compute.progress import stage
from svmcifar.errors import InputError
from svmcifar.features.augmentation import View, decision_views, training_views
from svmcifar.features.pipeline import count_odd, implies_mirror_images
from svmcifar.features.reduce.component_scaling import ComponentScaling
from svmcifar.features.reduce.even_odd import EvenOddPCA
from svmcifar.features.reduce.kernel_ridge import KernelRidgeScores
from svmcifar.features.reduce.ridge_scores import RidgeScores
from svmcifar.features.reduce.unit_rows import round_to_half
from svmcifar.features.reduce.wide_pca import WidePCA
from svmcifar.features.transfer import bring_to_host, pipeline_beside

if TYPE_CHECKING:
    from svmcifar.features.cache import FeatureCache

Scores = RidgeScores | KernelRidgeScores

# Fixed, so that the rounding of a sample's features does not depend on the caller.
_BATCH_ROWS = 2000
# Wide features of all images do not fit the memory: the steps after them are fitted on a sample
# of this many images.
_WIDE_IMAGES = 10_000
# The time for all eigenvectors of a covariance grows with the cube of the features: of images of
# more values than these, scikit-learn chooses how to get the first ones.
_MOST_VALUES = 3 * 2**10
# What fitting a step is called.
_STEP_WORDS = {
    "standardize": "mean and deviation of features",
    "pca": "principal components",
    "whiten": "deviation of components",
    "unit": "samples of length one",
}


def fit_features(pipeline: Pipeline, images: Any) -> Pipeline:
    """Fit a pipeline without ridge scores in place, on images of shape (n_images, n_pixels), uint8.

    Its arrays end on the host.  Raise InputError if PCA is to keep more components than there are
    features or images.
    """
    (_, source), *later = pipeline.steps
    fitted_on, pca = _fitted_on(later, images), dict(later).get("pca")
    n_images, is_even_odd = fitted_on.shape[0], implies_mirror_images(pipeline)
    if pca is not None and pca.n_components > n_images:  # before patches are learned
        raise InputError(
            f"PCA can keep at most {n_images} components of {n_images} images. "
            f"Got {pca.n_components} instead. Keep fewer, for class scores too, or take more "
            f"images."
        )
    with sklearn_dispatch(images):
        with stage("learning features"):
            source.fit(images)
        with stage("features to learn components from"):
            X = source.transform(fitted_on)
        n_values = X.shape[1] // 2 if is_even_odd else X.shape[1]
        if pca is not None and pca.n_components > (most := min(n_images, n_values)):
            raise InputError(
                f"PCA can keep at most {most} components of {n_images} images of {n_values} "
                f"values. Got {pca.n_components} instead. Keep fewer."
            )
        if images.shape[1] > _MOST_VALUES:
            _choose_solver(pca)
        for name, step in later:
            has_odd = is_even_odd and isinstance(step, ComponentScaling)
            of_fit = {"n_odd": count_odd(pipeline)} if has_odd else {}
            with stage(_STEP_WORDS[name]):
                if step is later[-1][1]:
                    step.fit(X, **of_fit)
                else:
                    X = step.fit_transform(X, **of_fit)
    if not is_host(images):
        bring_to_host(pipeline)
    return pipeline


def _choose_solver(pca: Any) -> None:
    """Have PCA by a covariance compute the first components alone."""
    if isinstance(pca, PCA):
        pca.set_params(svd_solver="auto", random_state=0)
    elif isinstance(pca, EvenOddPCA) and not _is_wide(pca):
        pca.set_params(solver="randomized")


def _is_wide(pca: Any) -> bool:
    """Return whether PCA is by the Gram matrix of samples."""
    return isinstance(pca, WidePCA) or getattr(pca, "solver", None) == "gram"


def _fitted_on(later: list[tuple[str, Any]], images: Any) -> Any:
    """Return the images whose features the steps after the first are fitted on."""
    pca: Any = dict(later).get("pca")
    if not _is_wide(pca) or images.shape[0] <= _WIDE_IMAGES:
        return images
    rng = np.random.default_rng(pca.random_state)
    return take_rows(images, np.sort(rng.choice(images.shape[0], _WIDE_IMAGES, replace=False)))


def fit_transform_features(
    pipeline: Pipeline,
    images: Any,
    y: NDArray[Any],
    *,
    augment: str | None = None,
    seed: int = 0,
    cache: "FeatureCache | None" = None,
) -> Any:
    """Fit the pipeline in place on training images and compute their features.

    As `fit_features` and `compute_training_features`, and fit ridge scores to the labels y of shape
    (n_images,).  Raise InputError if there are fewer images than folds of ridge scores, and
    MemoryLimitError if those of a kernel need more memory than their limit.
    """
    earlier, scores = _split(pipeline)
    if cache is None:
        fit_features(earlier, images)
    else:
        cache.fit(earlier, images, lambda: fit_features(earlier, images))
    views = _training_views(pipeline, images, augment, seed)
    X = _compute(earlier, images, views, cache)
    if scores is None:
        return X
    with stage("class scores"):
        X = _rounded(scores, X)
        _fit_scores(scores, X, (y, len(views)), count_odd(pipeline), cache)
        X = _rounded(scores, scores.transform_training(X))
    bring_to_host(pipeline)
    return X


def _fit_scores(
    scores: Scores, X: Any, labels: tuple[Any, int], n_odd: int, cache: "FeatureCache | None"
) -> None:
    """Fit class scores to labels of images and numbers of views, or find them in the cache."""
    if isinstance(scores, KernelRidgeScores):
        scores.set_params(n_odd=n_odd)
        of_fit: tuple[Any, ...] = labels
    else:
        of_fit = (*labels, n_odd)
    if cache is None:
        scores.fit(X, *of_fit)
    else:
        cache.fit(Pipeline([("scores", scores)]), X, lambda: scores.fit(X, *of_fit), *of_fit)


def _rounded(scores: Scores, X: Any) -> Any:
    """Return training samples as models hold them: those of a kernel in half precision.

    All samples are in the model then, twice, and a file of such values is half as large.
    """
    return round_to_half(X) if isinstance(scores, KernelRidgeScores) else X


def compute_training_features(
    pipeline: Pipeline,
    images: Any,
    *,
    augment: str | None = None,
    seed: int = 0,
    cache: "FeatureCache | None" = None,
) -> Any:
    """Compute the features of the images that the pipeline was fitted on.

    Unlike those of `compute_features` they are of the views for training (see
    `svmcifar.features.augmentation.training_views`), whose shifts `seed` determines, and ridge
    scores are out of fold.
    """
    earlier, scores = _split(pipeline)
    views = _training_views(pipeline, images, augment, seed)
    X = _compute(earlier, images, views, cache)
    if scores is None:
        return X
    X = _beside(scores, images).transform_training(_rounded(scores, X))
    return _rounded(scores, X)


def _training_views(
    pipeline: Pipeline, images: Any, augment: str | None, seed: int
) -> Sequence[View]:
    implied = implies_mirror_images(pipeline)
    return training_views(augment, images.shape[0], seed, implied=implied)


def _beside(scores: Scores, images: Any) -> Scores:
    """Return fitted ridge scores with their arrays on the device of images."""
    return scores if is_host(images) else pipeline_beside(Pipeline([("", scores)]), images)[0]


def _split(pipeline: Pipeline) -> tuple[Pipeline, Scores | None]:
    """Split a pipeline into the steps without labels and ridge scores, if it has them."""
    *earlier, (_, last) = pipeline.steps
    has_scores = isinstance(last, Scores)
    return (Pipeline(earlier), last) if has_scores else (pipeline, None)


def compute_features(
    pipeline: Pipeline,
    images: Any,
    *,
    augment: str | None = None,
    cache: "FeatureCache | None" = None,
) -> Any:
    """Compute features of the views for test-time augmentation.

    Images have shape (n_images, n_pixels), uint8; `augment` is how those of training were
    augmented (see `svmcifar.features.augmentation.decision_views`).  The result has shape
    (n_images * n_views, n_features), float32, on the device of the images: the views of an image
    follow each other.  The cache holds features before ridge scores.
    """
    earlier, scores = _split(pipeline)
    views = decision_views(augment, implied=implies_mirror_images(pipeline))
    X = _compute(earlier, images, views, cache)
    return X if scores is None else _beside(scores, images).transform(X)


def _compute(
    pipeline: Pipeline, images: Any, views: Sequence[View], cache: "FeatureCache | None"
) -> Any:
    """Compute features of views of images, or read them from the cache."""
    compute = partial(_compute_views, pipeline, images, views)
    return compute() if cache is None else cache.features(pipeline, images, views, compute)


def _compute_views(pipeline: Pipeline, images: Any, views: Sequence[View]) -> Any:
    """Compute features of views of images, a batch of images at a time, on their device."""
    xp, n_images, n_views = get_namespace(images), images.shape[0], len(views)
    if not is_host(images):
        pipeline = pipeline_beside(pipeline, images)
    with sklearn_dispatch(images):
        # The width is known only from the output of the last step.
        width = pipeline.transform(images[:1, :]).shape[1]
        shape = (n_views * n_images, width)
        features = xp.empty(shape, dtype=xp.float32, device=get_device(images))
        with stage("features", n_views * n_images, "images") as computing:
            for rows in gen_batches(n_images, _BATCH_ROWS):
                start, stop = n_views * rows.start, n_views * rows.stop
                for number, view in enumerate(views):
                    of_view = pipeline.transform(view(images[rows, :], rows))
                    features[start + number : stop : n_views, :] = of_view
                    computing.advance(rows.stop - rows.start)
    return features
