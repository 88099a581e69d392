"""Class scores of a kernel as a step of the features: training, prediction, cache, memory."""

from dataclasses import replace

import numpy as np
import pytest
from feature_options import KERNEL_SCORES, quick_features
from scipy.stats import binom

from svmcifar import RBFSVC
from svmcifar.data.sampling import holdout_split
from svmcifar.errors import InputError, MemoryLimitError
from svmcifar.features import fitting
from svmcifar.features.cache import FeatureCache
from svmcifar.features.fitting import compute_features, fit_transform_features
from svmcifar.features.pipeline import count_features, count_odd, make_feature_pipeline
from svmcifar.features.reduce.kernel_ridge import KernelRidgeScores
from svmcifar.features.settings import FeatureSettings
from svmcifar.io.content_hash import content_hash
from svmcifar.model.persistence import load_model, save_model
from svmcifar.model.train import train_classifier
from svmcifar.svm.path.grid import Grid
from svmcifar.tuning.tune import tune

FEATURES = FeatureSettings(**KERNEL_SCORES)


@pytest.fixture(scope="module", autouse=True)
def _quick_features():
    with quick_features():
        yield


@pytest.fixture(scope="module")
def train(synthetic_data):
    return synthetic_data.read_split("train")


def computed(train, y=None, augment="flip", cache=None, settings=FEATURES):
    pipeline = make_feature_pipeline(replace(settings, augment=augment))
    y = train.classes if y is None else y
    X = fit_transform_features(pipeline, train.images, y, augment=augment, cache=cache)
    return pipeline, X


@pytest.mark.parametrize("augment", [None, "flip", "flip-shift"])
def test_steps(train, augment):
    """Components of length one in half precision, and scores of them that leave the image out."""
    pipeline, X = computed(train, augment=augment)
    n_views = 2 if augment == "flip-shift" else 1
    assert X.shape == (n_views * 500, 120)
    assert count_features(pipeline, 3072, 100) == 120
    np.testing.assert_array_equal(X, X.astype(np.float16).astype(np.float32))
    np.testing.assert_allclose(np.linalg.norm(X[:, 100:], axis=1), 1.0, atol=1e-3)
    scores = pipeline.named_steps["scores"]
    assert scores.n_odd == count_odd(pipeline)
    assert (scores.n_odd > 0) == (augment is not None)
    alone = KernelRidgeScores(0.8, penalty=0.005, gamma=0.25, n_odd=scores.n_odd)
    expected = alone.fit_transform(np.ascontiguousarray(X[:, 100:]), train.classes, n_views)
    np.testing.assert_allclose(X[:, :100], expected[:, :100], rtol=2**-10, atol=1e-6)
    # New images are not rounded.
    new = compute_features(pipeline, train.images[:50], augment=augment)
    np.testing.assert_allclose(np.linalg.norm(new[:, 100:], axis=1), 1.0, atol=1e-6)
    assert (new != new.astype(np.float16)).any()


def test_a_mirror_image_has_the_same_scores(train):
    pipeline, _ = computed(train)
    pixels = train.images[:50].reshape(-1, 3, 32, 32)
    mirrored = np.ascontiguousarray(pixels[..., ::-1]).reshape(50, -1)
    own, other = (compute_features(pipeline, images) for images in (train.images[:50], mirrored))
    n_odd = count_odd(pipeline)
    np.testing.assert_allclose(own[:, :-n_odd], other[:, :-n_odd], atol=1e-4)
    np.testing.assert_allclose(own[:, -n_odd:], -other[:, -n_odd:], atol=1e-5)


def test_shuffled_labels_give_chance(train):
    """The scores of training images do not betray their labels."""
    y = np.random.default_rng(0).permutation(train.classes)
    _, X = computed(train, y)
    n_right = (X[:, :100].argmax(axis=1) == y).sum()
    assert binom.cdf(n_right, 500, 0.01) > 1e-3
    assert binom.sf(n_right, 500, 0.01) > 1e-3


@pytest.mark.parametrize("augment", ["flip", "flip-shift"])
def test_scores_do_not_see_their_own_label(train, augment):
    """With its label and no other changed, an image's scores as one to learn from stay."""
    _, X = computed(train, augment=augment)
    y = train.classes.copy()
    y[7] = (y[7] + 50) % 100
    _, other = computed(train, y, augment=augment)
    n_views = len(X) // 500
    rows = slice(7 * n_views, 8 * n_views)
    # All scores are scaled by their spread, which one label changes a little.
    ratio = other[:, :100].std() / X[:, :100].std()
    assert ratio == pytest.approx(1.0, abs=0.05)
    np.testing.assert_allclose(other[rows, :100], ratio * X[rows, :100], atol=5e-3)
    assert np.abs(other[:, :100] - ratio * X[:, :100]).max() > 2e-2


def test_a_model_and_its_file(synthetic_data, train, tmp_path):
    model = train_classifier(synthetic_data, train, RBFSVC(C=10.0), FEATURES)
    test = synthetic_data.read_split("test")
    assert (model.predict(test.images) == test.labels["coarse"]).mean() > 0.1
    save_model(model, tmp_path / "model.skops")
    loaded = load_model(tmp_path / "model.skops")
    assert loaded.manifest.training.features.ridge_kernel == "rbf"
    np.testing.assert_array_equal(
        loaded.predict_with_decisions(test.images)[1], model.predict_with_decisions(test.images)[1]
    )
    X = loaded.compute_training_features(train.images)
    np.testing.assert_array_equal(X[model.svc.support_], model.svc.support_vectors_)


def test_the_cache_keeps_scores(train, tmp_path, monkeypatch):
    """So that another C costs a fit of the SVM alone; other labels are other scores."""
    expected, X = computed(train)
    computed(train, cache=FeatureCache(tmp_path, 2**30, least_s=0.0))
    cache = FeatureCache(tmp_path, 2**30, least_s=0.0)
    fits = []
    fit = KernelRidgeScores.fit
    monkeypatch.setattr(KernelRidgeScores, "fit", lambda *args: fits.append(args) or fit(*args))
    found, again = computed(train, cache=cache)
    assert (cache.n_found, len(fits)) == (3, 0)
    assert content_hash(found) == content_hash(expected)
    np.testing.assert_array_equal(again, X)
    computed(train, train.classes[::-1], cache=cache)
    assert (cache.n_found, len(fits)) == (5, 1)


def test_too_little_memory_is_told_before_the_features(synthetic_data, train, monkeypatch):
    monkeypatch.setattr(fitting, "fit_features", lambda *_: pytest.fail("features"))
    with pytest.raises(MemoryLimitError, match="for the kernel matrix of 500 samples"):
        train_classifier(synthetic_data, train, RBFSVC(memory_limit="1.4MB"), FEATURES)
    split = holdout_split(train.classes, 100)
    with pytest.raises(MemoryLimitError, match="for the kernel matrix of 400 samples"):
        tune(RBFSVC(memory_limit="1MB"), Grid([1.0], ["1x"], [20]), train, [split], FEATURES)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"ridge_kernel": "poly"}, "'linear' or 'rbf'. Got 'poly'"),
        ({"ridge_scores": 0.0}, "'rbf' with class scores of weight 0.0, PCA of 20 and None"),
        ({"n_components": None, "whiten": 0.0}, "'rbf' .* weight 0.8, PCA of None and None"),
        ({"ridge_components": 40}, "'rbf' .* PCA of 20 and 40 components"),
    ],
)
def test_bad_settings(changed, message):
    with pytest.raises(InputError, match=message):
        replace(FEATURES, **changed).validate()
