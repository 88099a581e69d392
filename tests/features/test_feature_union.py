"""Features of several kinds: the table of kinds, FeatureStack, and pipelines with it."""

import tracemalloc

import array_api_strict as xp
import numpy as np
import pytest
import skops.io
from devices import assert_on_device, on_device
from feature_options import quick_features
from sklearn.base import BaseEstimator, TransformerMixin, clone

from svmcifar.compute.arrays import get_namespace, to_host
from svmcifar.errors import InputError
from svmcifar.features import fitting, kinds, transfer
from svmcifar.features.extract import feature_union as stack_module
from svmcifar.features.extract.feature_union import FeatureStack
from svmcifar.features.extract.hog import HOG
from svmcifar.features.extract.patches import PatchFeatures
from svmcifar.features.extract.pixels import RawPixels
from svmcifar.features.fitting import compute_features, fit_features
from svmcifar.features.kinds import KINDS, make_transformers
from svmcifar.features.pipeline import make_feature_pipeline, set_workers, step_names
from svmcifar.features.settings import FeatureSettings
from svmcifar.io.content_hash import content_hash

pytestmark = pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning:array_api_strict")


class FromMean(TransformerMixin, BaseEstimator):
    """Features that are learnt from the training images: differences from their mean."""

    def fit(self, images, y=None):
        ns = get_namespace(images)
        self.mean_ = ns.mean(ns.astype(images, ns.float32), axis=0)
        return self

    def transform(self, images):
        ns = get_namespace(images)
        return ns.astype(images, ns.float32) - self.mean_


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (40, 3072), dtype=np.uint8)


def hog():
    return HOG(pixels_per_cell=(8, 8))


@pytest.mark.parametrize("batch_rows", [7, 5000])
@pytest.mark.parametrize("hog_first", [False, True])
def test_stack_concatenates_in_order(images, monkeypatch, batch_rows, hog_first):
    monkeypatch.setattr(stack_module, "_BATCH_ROWS", batch_rows)
    parts = [("pixels", RawPixels()), ("hog", hog())][:: -1 if hog_first else 1]
    features = FeatureStack(parts).fit_transform(images)
    assert features.dtype == np.float32
    np.testing.assert_array_equal(features, np.hstack([t.transform(images) for _, t in parts]))


def test_stack_on_a_device(images, monkeypatch):
    monkeypatch.setattr(stack_module, "_BATCH_ROWS", 9)
    stack = FeatureStack([("hog", hog()), ("pixels", RawPixels())])
    features = stack.fit_transform(on_device(images))
    assert_on_device(features, xp.float32)
    np.testing.assert_allclose(to_host(features), stack.transform(images), rtol=0, atol=1e-6)


def test_stack_needs_no_second_copy(monkeypatch):
    monkeypatch.setattr(stack_module, "_BATCH_ROWS", 100)
    images = np.zeros((3000, 3072), dtype=np.uint8)
    stack = FeatureStack([("one", RawPixels()), ("other", RawPixels())])
    tracemalloc.start()
    try:
        features = stack.transform(images)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1.1 * features.nbytes


def stack_pipeline(n_components=None):
    """A pipeline in whose stack one transformer has learnt an array."""
    pipeline = make_feature_pipeline(
        FeatureSettings(n_components=n_components, kinds=("hog", "raw"))
    )
    pipeline.steps[0] = ("stack", FeatureStack([("learnt", FromMean()), ("pixels", RawPixels())]))
    return pipeline


def test_stacked_transformers_are_fitted_on_training_images(images):
    pipeline = fit_features(stack_pipeline(), images[:30])
    learnt = pipeline.steps[0][1].transformers[0][1]
    np.testing.assert_allclose(learnt.mean_, images[:30].mean(axis=0), rtol=1e-5)
    before = content_hash(pipeline)
    compute_features(pipeline, images)
    assert content_hash(pipeline) == before


def test_stacked_transformers_move_with_their_pipeline(images, monkeypatch):
    expected = compute_features(fit_features(stack_pipeline(), images[:30]), images)
    pipeline = fit_features(stack_pipeline(), on_device(images[:30]))
    learnt = pipeline.steps[0][1].transformers[0][1]
    assert type(learnt.mean_) is np.ndarray
    sent = []
    move_beside = transfer.move_beside
    monkeypatch.setattr(
        transfer, "move_beside", lambda *args: sent.append(args) or move_beside(*args)
    )
    monkeypatch.setattr(fitting, "_BATCH_ROWS", 7)
    there = compute_features(pipeline, on_device(images))
    assert_on_device(there, xp.float32)
    scaler = pipeline.named_steps["standardize"]
    assert len(sent) == 1 + sum(isinstance(v, np.ndarray) for v in vars(scaler).values())
    for features in (to_host(there), compute_features(pipeline, images)):
        np.testing.assert_allclose(features, expected, rtol=0, atol=1e-4)
    assert type(learnt.mean_) is np.ndarray  # a copy has been moved


def test_pipelines_by_kind():
    names = {
        ("raw",): (["pixels", "standardize"], ["pixels", "standardize"]),
        ("hog",): (["hog", "standardize"], ["hog", "standardize"]),
        ("hog", "raw"): (["stack", "standardize"], ["hog + pixels", "standardize"]),
    }
    for chosen, (steps, for_people) in names.items():
        pipeline = make_feature_pipeline(FeatureSettings(kinds=chosen))
        assert list(pipeline.named_steps) == steps
        assert step_names(pipeline) == for_people
    pipeline = make_feature_pipeline(
        FeatureSettings(n_components=9, kinds=("raw", "hog"), whiten=0.5)
    )
    assert step_names(pipeline) == ["pixels + hog", "standardize", "pca", "whiten^0.5"]


def test_kinds_are_standardised_together(images):
    pipeline = fit_features(make_feature_pipeline(FeatureSettings(kinds=("raw", "hog"))), images)
    X = compute_features(pipeline, images)
    parts = [t.transform(images) for t in (RawPixels(), HOG())]
    stacked = np.hstack(parts).astype(np.float64)
    expected = (stacked - stacked.mean(axis=0)) / stacked.std(axis=0)
    np.testing.assert_allclose(X, expected, rtol=0, atol=1e-3)


def test_more_components_than_features(images):
    """HOG has fewer features than an image has pixels."""
    many = np.tile(images, (50, 1))
    with pytest.raises(InputError, match=r"at most 1764 components of 2000 images .* Got 1765 "):
        fit_features(
            make_feature_pipeline(FeatureSettings(n_components=1765, kinds=("hog",))), many
        )


def test_pipeline_with_a_stack_can_be_cloned_and_saved(images):
    with quick_features():
        pipeline = make_feature_pipeline(
            FeatureSettings(n_components=5, kinds=("cells", "means"), whiten=0.5)
        )
        trusted = kinds.TRUSTED
    fit_features(pipeline, images)
    again = fit_features(clone(pipeline), images)
    assert content_hash(again) == content_hash(pipeline)
    loaded = skops.io.loads(skops.io.dumps(pipeline), trusted=trusted)
    assert content_hash(loaded) == content_hash(pipeline)
    features = compute_features(pipeline, images)
    assert features.shape == (40, 5)
    np.testing.assert_array_equal(compute_features(loaded, images), features)


@pytest.mark.parametrize(
    ("kinds", "got"),
    [((), "none"), (("raw", "raw"), "raw, raw"), (("hog", "sift"), "hog, sift")],
)
def test_wrong_kinds(kinds, got):
    with pytest.raises(InputError, match=rf"one or more of raw, hog.*each once\. Got {got} inst"):
        make_feature_pipeline(FeatureSettings(kinds=kinds))


def test_settings_reach_their_transformers():
    settings = {"hog": {"orientations": 7}, "patches": {"n_filters": 5, "pooling": 2}, "raw": {}}
    made = dict(make_transformers(("patches", "raw", "hog"), settings))
    assert list(made) == ["patches", "pixels", "hog"]
    assert (made["hog"].orientations, made["hog"].pixels_per_cell) == (7, (4, 4))
    patches = made["patches"]
    assert (patches.n_filters, patches.pooling, patches.patch_size) == (5, 2, 6)
    settings = {"hog": {"orientations": 3}, "patches": {}}
    pipeline = make_feature_pipeline(FeatureSettings(kinds=("hog",), parameters=settings))
    assert pipeline.named_steps["hog"].orientations == 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"patches": {"pooling": 3}},
            "no effect .* Got pooling of 'patches' .* raw, hog. Add",
        ),
        ({"sift": {"octaves": 3}}, "no effect .* Got octaves of 'sift'"),
        (
            {"hog": {"cell": 8}},
            "of the features 'hog' must be .*orientations.* Got cell instead",
        ),
        ({"hog": {"clip__a": 8}}, "Got clip__a instead"),
        ({"raw": {"scale": 2}}, "of the features 'raw' must be of none. Got scale instead"),
    ],
)
def test_wrong_settings(settings, message):
    with pytest.raises(InputError, match=message):
        make_feature_pipeline(FeatureSettings(kinds=("raw", "hog"), parameters=settings))


@pytest.mark.parametrize("sizes", [[6, 8], (8, 6), [4]])
def test_patches_of_several_sizes(sizes):
    settings = {"patches": {"patch_size": sizes, "n_filters": 5}}
    made = make_transformers(("hog", "patches", "raw"), settings)
    names = [f"patches{size}" for size in sizes]
    assert [name for name, _ in made] == ["hog", *names, "pixels"]
    for (_, transformer), size in zip(made[1:-1], sizes, strict=True):
        assert (transformer.patch_size, transformer.n_filters) == (size, 5)
    assert settings == {"patches": {"patch_size": sizes, "n_filters": 5}}
    pipeline = make_feature_pipeline(FeatureSettings(kinds=("patches",), parameters=settings))
    assert step_names(pipeline)[0] == " + ".join(names)


def test_one_size_is_no_list():
    ((name, transformer),) = make_transformers(("patches",), {"patches": {"patch_size": 8}})
    assert (name, transformer.patch_size) == ("patches", 8)


def test_features_of_several_sizes_side_by_side(images):
    settings = {"n_filters": 3, "n_patches": 200, "pooling": 2}
    pipeline = make_feature_pipeline(
        FeatureSettings(
            kinds=("patches",), parameters={"patches": {"patch_size": [6, 8], **settings}}
        )
    )
    X = fit_features(pipeline, images).steps[0][1].transform(images)
    alone = [PatchFeatures(patch_size=size, **settings).fit_transform(images) for size in (6, 8)]
    np.testing.assert_array_equal(X, np.hstack(alone))


@pytest.mark.parametrize(
    ("sizes", "got"), [([], "none"), ((), "none"), ([6, 6], "6, 6"), ([8, 6, 8], "8, 6, 8")]
)
def test_wrong_sizes(sizes, got):
    with pytest.raises(InputError, match=rf"one or more, each once\. Got {got} instead"):
        make_transformers(("patches",), {"patches": {"patch_size": sizes}})


def test_workers_reach_patches_of_every_size():
    settings = {"patches": {"patch_size": [6, 8]}}
    pipeline = make_feature_pipeline(FeatureSettings(kinds=("patches", "hog"), parameters=settings))
    set_workers(pipeline, 3)
    assert [t.n_jobs for _, t in pipeline.steps[0][1].transformers[:2]] == [3, 3]


def test_workers_reach_the_features_that_have_them():
    for chosen in (("patches",), ("hog", "patches")):
        pipeline = make_feature_pipeline(FeatureSettings(n_components=5, kinds=chosen))
        set_workers(pipeline, 3)
        first = pipeline.steps[0][1]
        patches = first if chosen == ("patches",) else dict(first.transformers)["patches"]
        assert patches.n_jobs == 3


def test_a_kind_is_a_line_of_the_table(images, monkeypatch):
    monkeypatch.setitem(KINDS, "mine", ("my-step", f"{__name__}.FromMean"))
    pipeline = fit_features(make_feature_pipeline(FeatureSettings(kinds=("raw", "mine"))), images)
    assert step_names(pipeline)[0] == "pixels + my-step"
    assert compute_features(pipeline, images).shape == (40, 2 * 3072)


@pytest.mark.parametrize("kind", KINDS)
def test_model_files_may_hold_every_kind(kind):
    ((_, transformer),) = make_transformers([kind])
    data = skops.io.dumps(transformer)
    assert set(skops.io.get_untrusted_types(data=data)) <= set(kinds.TRUSTED)
    assert type(skops.io.loads(data, kinds.TRUSTED)) is type(transformer)
