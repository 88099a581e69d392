"""Features of training images: their views, and class scores that are out of fold."""

import array_api_strict as xp
import numpy as np
import pytest
from devices import assert_on_device, on_device
from feature_options import quick_features
from feature_spy import views_of

from svmcifar.compute.arrays import to_host
from svmcifar.errors import InputError
from svmcifar.features import fitting
from svmcifar.features.fitting import (
    compute_features,
    compute_training_features,
    fit_features,
    fit_transform_features,
)
from svmcifar.features.pipeline import make_feature_pipeline
from svmcifar.features.reduce.ridge_scores import RidgeScores
from svmcifar.features.settings import FeatureSettings
from svmcifar.features.transfer import single_steps
from svmcifar.io.content_hash import content_hash

pytestmark = pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning:array_api_strict")

N_IMAGES, N_CLASSES = 43, 3

each_augmentation = pytest.mark.parametrize("augment", [None, "flip", "flip-shift"])
here_and_there = pytest.mark.parametrize("place", [np.asarray, on_device], ids=["host", "device"])


@pytest.fixture(scope="module", autouse=True)
def _quick_features():
    with quick_features():
        yield


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (N_IMAGES, 3072), dtype=np.uint8)


@pytest.fixture
def y():
    return np.random.default_rng(1).permutation(np.arange(N_IMAGES) % N_CLASSES)


def means_pipeline(n_components=10, **options):
    return make_feature_pipeline(
        FeatureSettings(n_components=n_components, kinds=("means",), **options)
    )


@here_and_there
@each_augmentation
@pytest.mark.parametrize("batch_rows", [2000, 10, 1])
def test_rows_by_image_and_view(images, y, monkeypatch, augment, batch_rows, place):
    """Whatever the batches, an image's shifts are its own."""
    monkeypatch.setattr(fitting, "_BATCH_ROWS", batch_rows)
    pipeline, views = means_pipeline(), views_of(images, augment)
    X = fit_transform_features(pipeline, place(images), y, augment=augment)
    assert X.shape == (len(views) * N_IMAGES, 10)
    if place is on_device:
        assert_on_device(X, xp.float32)
    X = to_host(X)
    assert X.dtype == np.float32
    for number, view in enumerate(views):
        expected = pipeline.transform(view)
        np.testing.assert_allclose(X[number :: len(views)], expected, rtol=0, atol=1e-4)
    assert len(np.unique(X.round(3), axis=0)) > 0.9 * len(X)  # a few are shifted by nothing
    deciding = to_host(compute_features(pipeline, place(images), augment=augment))
    views = views[:2]
    assert len(deciding) == len(views) * N_IMAGES
    for number, view in enumerate(views):
        expected = pipeline.transform(view)
        np.testing.assert_allclose(deciding[number :: len(views)], expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("augment", [None, "flip"])
def test_without_scores_training_images_are_as_all_others(images, y, augment):
    pipeline = means_pipeline(whiten=0.5)
    X = fit_transform_features(pipeline, images, y, augment=augment)
    np.testing.assert_array_equal(X, compute_features(pipeline, images, augment=augment))
    alone = fit_features(means_pipeline(whiten=0.5), images)
    assert content_hash(alone) == content_hash(pipeline)


@here_and_there
@each_augmentation
@pytest.mark.parametrize(
    "scores", [{}, {"ridge_scores": 0.8}, {"ridge_scores": 2.0, "ridge_components": 30}]
)
def test_training_features_again(images, y, augment, scores, place):
    """Slim model files need them to the bit."""
    pipeline = means_pipeline(**scores)
    X = fit_transform_features(pipeline, place(images), y, augment=augment)
    before = content_hash(pipeline)
    again = compute_training_features(pipeline, place(images), augment=augment)
    if place is on_device:
        assert_on_device(again, xp.float32)
    np.testing.assert_array_equal(to_host(again), to_host(X))
    assert content_hash(pipeline) == before


@each_augmentation
def test_scores_are_put_before_the_features(images, y, augment):
    """As RidgeScores alone does with the features that there are without them."""
    without, pipeline = means_pipeline(whiten=0.5), means_pipeline(whiten=0.5, ridge_scores=0.7)
    X = fit_transform_features(without, images, y, augment=augment)
    scores = RidgeScores(0.7)
    n_views = len(X) // N_IMAGES
    np.testing.assert_array_equal(
        fit_transform_features(pipeline, images, y, augment=augment),
        scores.fit_transform(X, y, n_views),
    )
    assert content_hash(pipeline.named_steps["scores"]) == content_hash(scores)
    others = 255 - images
    found = compute_features(pipeline, others, augment=augment)
    expected = scores.transform(compute_features(without, others, augment=augment))
    np.testing.assert_array_equal(found, expected)
    assert found.shape[1] == N_CLASSES + 10
    training = compute_training_features(pipeline, images, augment=augment)
    as_new = compute_features(pipeline, images, augment=augment)
    assert (training[::n_views, :N_CLASSES] != as_new[:: min(n_views, 2), :N_CLASSES]).all()


def test_scores_of_more_components_than_are_kept(images, y):
    pipeline = means_pipeline(10, ridge_scores=0.8, ridge_components=30)
    X = fit_transform_features(pipeline, images, y, augment="flip")
    assert X.shape == (2 * N_IMAGES, N_CLASSES + 10)
    wide = means_pipeline(30, ridge_scores=0.8)
    all_30 = fit_transform_features(wide, images, y, augment="flip")
    np.testing.assert_array_equal(X[:, N_CLASSES:], all_30[:, N_CLASSES : N_CLASSES + 10])
    ratio = X[:, :N_CLASSES] / all_30[:, :N_CLASSES]
    np.testing.assert_allclose(ratio, ratio[0, 0], rtol=1e-4)
    few = fit_transform_features(means_pipeline(10, ridge_scores=0.8), images, y, augment="flip")
    assert np.abs(X[:, :N_CLASSES] - few[:, :N_CLASSES]).max() > 0.01


def test_pipeline_with_scores_holds_host_arrays(images, y):
    here, there = (means_pipeline(10, whiten=0.5, ridge_scores=0.8) for _ in range(2))
    fit_transform_features(here, images, y, augment="flip-shift")
    fit_transform_features(there, on_device(images), y, augment="flip-shift")
    others = 255 - images
    for step, expected in zip(single_steps(there.steps), single_steps(here.steps), strict=True):
        found, expected = vars(step), vars(expected)
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            assert type(found[name]) is type(value), name
    X = compute_features(there, on_device(others), augment="flip-shift")
    assert_on_device(X, xp.float32)
    expected = np.abs(compute_features(here, others, augment="flip-shift"))
    # Components may have the other sign.
    np.testing.assert_allclose(np.abs(to_host(X)), expected, rtol=0, atol=2e-3)


def test_labels_reach_the_scores_alone(images, y):
    pipelines = [means_pipeline(whiten=0.5, ridge_scores=0.8) for _ in range(2)]
    others = np.roll(y, 1)
    X, Z = (
        fit_transform_features(pipeline, images, labels, augment="flip-shift")
        for pipeline, labels in zip(pipelines, (y, others), strict=True)
    )
    np.testing.assert_array_equal(X[:, N_CLASSES:], Z[:, N_CLASSES:])
    assert (X[:, :N_CLASSES] != Z[:, :N_CLASSES]).any(axis=1).all()
    one, other = (content_hash(*pipeline[:-1]) for pipeline in pipelines)
    assert one == other


@pytest.mark.parametrize("augment", [None, "flip-shift"])
def test_an_image_has_no_part_in_its_own_scores(images, y, augment):
    """None of its views has, through any other view."""
    changed = y.copy()
    changed[7] = (y[7] + 1) % N_CLASSES
    X, Z = (
        fit_transform_features(means_pipeline(ridge_scores=0.8), images, labels, augment=augment)
        for labels in (y, changed)
    )
    # Scores of a sample add up to the scale.
    X, Z = (of[:, :N_CLASSES] / of[:, :N_CLASSES].sum(axis=1, keepdims=True) for of in (X, Z))
    change = np.abs(X - Z).max(axis=1).reshape(N_IMAGES, -1).max(axis=1)
    assert change[7] < 1e-5
    assert (change > 1e-4).sum() > N_IMAGES / 2


BAD = [
    ({"ridge_scores": -0.5}, "weight of class scores must be at least 0 and finite. Got -0.5"),
    ({"ridge_scores": np.nan}, "at least 0 and finite. Got nan"),
    ({"ridge_scores": np.inf}, "at least 0 and finite. Got inf"),
    ({"ridge_components": 20}, "must be class scores. Got 20 with PCA of 10 .* weight 0.0"),
    ({"ridge_components": 10, "ridge_scores": 1.0}, "more than .* Got 10 with PCA of 10"),
    (
        {"n_components": None, "ridge_components": 20, "ridge_scores": 1.0},
        "more than those that PCA keeps.* Got 20 with PCA of None",
    ),
]


@pytest.mark.parametrize(("options", "message"), BAD)
def test_wrong_class_scores(options, message):
    with pytest.raises(InputError, match=message):
        means_pipeline(**options)


def test_too_few_images(images, y):
    with pytest.raises(InputError, match=r"at least 5 images.* Got 8 rows, 2 of an image, and 4 "):
        fit_transform_features(
            means_pipeline(2, ridge_scores=0.8), images[:4], y[:4], augment="flip"
        )
    many = np.tile(images, (2, 1))[:49]
    pipeline = means_pipeline(10, ridge_scores=0.8, ridge_components=49)
    with pytest.raises(InputError, match=r"at most 48 components of 49 images .* Got 49 instead"):
        fit_transform_features(pipeline, many, np.arange(49) % 2)


@pytest.mark.parametrize("seed", [0, 7])
def test_seed_reaches_everything_that_draws(seed):
    settings = {"patches": {"patch_size": [6, 8], "n_filters": 3}}
    pipeline = make_feature_pipeline(
        FeatureSettings(
            n_components=5, kinds=("patches", "means"), parameters=settings, ridge_scores=0.8
        ),
        seed=seed,
    )
    drawing = [step for step in single_steps(pipeline.steps) if "random_state" in step.get_params()]
    names = ["PatchFeatures", "PatchFeatures", "WidePCA", "RidgeScores"]
    assert [type(step).__name__ for step in drawing] == names
    assert [step.random_state for step in drawing] == [seed] * 4


def test_seed_of_the_shifts_stays_with_the_model(synthetic_data, train_small):
    model = train_small(limit=100, augment="flip-shift", seed=3, kinds=("means",))
    images = synthetic_data.read_split("train").images[model.manifest.training.rows]
    X = model.compute_training_features(images)
    np.testing.assert_array_equal(X[model.svc.support_], model.svc.support_vectors_)
    model.manifest.training.seed = 0
    assert not np.array_equal(model.compute_training_features(images), X)


@pytest.mark.parametrize("n_components", [0, -1, 2.5, "8"])
@pytest.mark.parametrize("kinds", [("means",), ("patches",)])
def test_numbers_of_components_that_are_none(n_components, kinds):
    with pytest.raises(InputError, match=f"integer of at least 1. Got {n_components!r} instead"):
        make_feature_pipeline(FeatureSettings(n_components=n_components, kinds=kinds))


def test_class_scores_of_wide_features_need_components():
    with pytest.raises(InputError, match=r"Class scores need .* of patches\. .* without PCA\. Say"):
        make_feature_pipeline(FeatureSettings(kinds=("patches",), ridge_scores=0.8))


@pytest.mark.parametrize("setting", ["random_state", "n_jobs"])
def test_what_has_a_setting_of_its_own_is_none_of_a_kind(setting):
    with pytest.raises(InputError, match=rf"Settings of the features 'patches' .* Got {setting} "):
        make_feature_pipeline(
            FeatureSettings(kinds=("patches",), parameters={"patches": {setting: 1}})
        )


@pytest.mark.parametrize(
    ("kind", "settings", "words"),
    [
        ("patches", {"pooling": 0}, "'pooling' .* Got 0"),
        ("patches", {"n_filters": 20, "n_patches": 10}, "'n_patches' .* at least n_filters=20"),
        ("hog", {"pixels_per_cell": (16, 0)}, "'pixels_per_cell' .* two integers above 0"),
    ],
)
def test_settings_are_refused_before_there_are_images(kind, settings, words):
    with pytest.raises(InputError, match=words):
        make_feature_pipeline(FeatureSettings(kinds=(kind,), parameters={kind: settings}))
