"""Models with several kinds of features, whitening and mirror images: training to prediction."""

from dataclasses import replace

import numpy as np
import pytest
from devices import on_device, stand_in_for_gpu
from feature_options import ALL, OPTIONS, SCORES, quick_features
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from svmcifar.data.cifar100 import Cifar100
from svmcifar.errors import InputError
from svmcifar.features.augmentation import mirror
from svmcifar.features.extract.hog import HOG
from svmcifar.features.settings import FeatureSettings
from svmcifar.io.content_hash import content_hash
from svmcifar.model.evaluate import evaluate_classifier
from svmcifar.model.persistence import model_content_hash
from svmcifar.model.train import train_classifier
from svmcifar.svm.estimator import RBFSVC
from svmcifar.svm.one_vs_one import winners

each_option = pytest.mark.parametrize("options", OPTIONS.values(), ids=list(OPTIONS))


@pytest.fixture(scope="module", autouse=True)
def _quick_features():
    with quick_features():
        yield


@pytest.fixture(scope="module")
def split(synthetic_data):
    return synthetic_data.read_split("test")


def test_equals_scikit_learn_step_by_step(train_small, synthetic_data, split):
    """Every option at once, in float64 with NumPy and scikit-learn alone (but for histograms)."""
    model = train_small(RBFSVC(C=2.0, tol=1e-6), **ALL)
    train = synthetic_data.read_split("train")

    def stacked(images):
        means = images.reshape(-1, 3, 4, 8, 4, 8).mean(axis=(3, 5)).reshape(-1, 48)
        return np.hstack([means, HOG(pixels_per_cell=(16, 16)).transform(images)])

    def mirrored(images):
        return images.reshape(-1, 3, 32, 32)[..., ::-1].reshape(-1, 3072)

    views = [stacked(images) for images in (train.images, mirrored(train.images))]
    scaler = StandardScaler().fit(np.vstack(views))

    def of_both(images):
        """The features of an image beside those of its mirror image."""
        sides = (scaler.transform(stacked(side)) for side in (images, mirrored(images)))
        return np.hstack(list(sides)) / np.sqrt(2)

    samples = np.vstack([of_both(train.images), of_both(mirrored(train.images))])
    pca = PCA(20, svd_solver="full").fit(samples)

    def components(images):
        divisors = np.sqrt(pca.explained_variance_) ** 0.5
        return pca.transform(of_both(images)) / divisors

    X = np.vstack([components(train.images), components(mirrored(train.images))])
    svc = SVC(C=2.0, tol=1e-6, decision_function_shape="ovo").fit(
        X, np.tile(train.labels["coarse"], 2)
    )
    images, others = split.images, mirrored(split.images)
    pairs = np.mean([svc.decision_function(components(x)) for x in (images, others)], axis=0)
    model.svc.decision_function_shape = "ovo"
    predicted, values = model.predict_with_decisions(images)
    np.testing.assert_allclose(values, pairs, rtol=0, atol=2e-2)
    assert (predicted == winners(pairs, 20)).mean() > 0.98
    n_right = (predicted == split.labels["coarse"]).sum()
    assert n_right > 0.1 * len(predicted)  # twice chance: it has learnt something


@each_option
def test_manifest_names_the_features(train_small, options):
    training = train_small(limit=200, **options).manifest.training.to_dict()
    assert training["features"] == list(options.get("kinds", ["raw"]))
    assert training["feature_settings"] == options.get("parameters", {})
    assert training["whiten"] == options.get("whiten", 0.0)
    assert training["ridge_scores"] == options.get("ridge_scores", 0.0)
    assert training.get("ridge_kernel", "linear") == options.get("ridge_kernel", "linear")
    assert training["ridge_components"] == options.get("ridge_components")
    assert training["augment"] == options.get("augment")
    assert training["n_components"] == options.get("n_components")


@each_option
def test_nothing_fitted_sees_other_images(synthetic_data, monkeypatch, options):
    """Neither the test images nor training images that were not drawn."""
    train, _ = synthetic_data.read_split("train"), synthetic_data.superclass_of
    monkeypatch.setattr(Cifar100, "read_split", lambda *_: pytest.fail("training read a split"))

    def fit(images):
        return train_classifier(
            synthetic_data, replace(train, images=images), RBFSVC(),
            FeatureSettings(**options), limit=200,
        )  # fmt: skip

    model = fit(train.images)
    not_drawn = np.setdiff1d(np.arange(len(train.images)), model.manifest.training.rows)
    assert len(not_drawn) == 300
    noise = train.images.copy()
    rng = np.random.default_rng(0)
    noise[not_drawn] = rng.integers(0, 256, (300, 3072), dtype=np.uint8)
    assert model_content_hash(fit(noise)) == model_content_hash(model)
    drawn = model.manifest.training.rows
    noise[drawn[7]] = noise[not_drawn[0]]
    assert model_content_hash(fit(noise)) != model_content_hash(model)


@each_option
def test_prediction_learns_nothing(train_small, split, options):
    """An image's answer depends on no other image, and asking changes no model."""
    model = train_small(limit=200, **options)
    before = model_content_hash(model)
    whole = model.predict_with_decisions(split.images)
    model.predict(255 - split.images)
    alone = model.predict_with_decisions(split.images[150:])
    np.testing.assert_array_equal(alone[0], whole[0][150:])
    np.testing.assert_allclose(alone[1], whole[1][150:], rtol=0, atol=1e-3)
    assert model_content_hash(model) == before


@each_option
def test_shuffled_test_labels_give_chance(train_small, split, options):
    predicted = train_small(**options).predict(split.images)
    shuffled = np.random.default_rng(0).permutation(split.labels["coarse"])
    assert (predicted == shuffled).mean() < 0.13
    assert (predicted == split.labels["coarse"]).mean() > 0.16


@pytest.mark.parametrize(("augment", "n_views"), [("flip", 1), ("flip-shift", 2)])
def test_features_are_fitted_without_shifted_images(train_small, augment, n_views):
    for settings in ({}, {"kinds": ("cells",), "n_components": 10, "whiten": 1.0}):
        augmented = train_small(limit=200, augment=augment, **settings)
        flipped = train_small(limit=200, augment="flip", **settings)
        assert content_hash(augmented.features) == content_hash(flipped.features)
        assert augmented.svc.shape_fit_[0] == n_views * 200


def test_the_svm_is_trained_on_the_images(train_small, synthetic_data):
    """Mirror images are implied by the odd parts of their features."""
    model = train_small(limit=200, augment="flip")
    rows = np.array(model.manifest.training.rows)
    images = synthetic_data.read_split("train").images[rows]
    support = model.svc.support_
    expected = model.features.transform(images[support])
    np.testing.assert_allclose(model.svc.support_vectors_, expected, rtol=0, atol=1e-5)
    assert model.svc.n_odd_ == 3072
    coarse = synthetic_data.read_split("train").labels["coarse"][rows]
    by_class = np.repeat(model.svc.classes_, model.svc.n_support_)
    np.testing.assert_array_equal(coarse[support], by_class)


@pytest.mark.parametrize(
    ("options", "augment"),
    [({}, "flip"), ({**ALL, "augment": None}, "flip"), ({**SCORES, "augment": None}, "flip-shift")],
)
def test_an_image_and_its_mirror_image_are_answered_alike(train_small, split, options, augment):
    images = split.images
    model = train_small(**{**options, "augment": augment})
    predicted, decisions = model.predict_with_decisions(images)
    other_predicted, other_decisions = model.predict_with_decisions(mirror(images))
    np.testing.assert_allclose(other_decisions, decisions, rtol=0, atol=1e-3)
    assert (other_predicted == predicted).mean() > 0.99
    np.testing.assert_array_equal(model.predict(images), predicted)
    plain = train_small(**options)
    assert (plain.predict(images) != plain.predict(mirror(images))).mean() > 0.1


@pytest.mark.parametrize("augment", ["rotate", "", True])
def test_unknown_augmentation(train_small, augment):
    with pytest.raises(InputError, match=f"by 'flip' or 'flip-shift'. Got {augment!r} instead"):
        train_small(augment=augment)


@pytest.mark.parametrize("options", [{"kinds": ("hog", "hog")}, {"whiten": 0.5}])
def test_wrong_features_are_refused(train_small, options):
    svc = RBFSVC()
    with pytest.raises(InputError):
        train_small(svc, **options)
    assert not hasattr(svc, "classes_")


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning:array_api_strict")
@pytest.mark.parametrize(("options", "shape"), [(ALL, (300, 20)), (SCORES, (600, 120))])
def test_on_a_device(train_small, synthetic_data, split, monkeypatch, options, shape):
    """Images are sent once, without their other views, and nothing comes back in between."""
    sent, solved = stand_in_for_gpu(monkeypatch)
    model = train_small(RBFSVC(tol=1e-6, backend="cupy"), limit=300, **options)
    here = train_small(RBFSVC(tol=1e-6), limit=300, **options)
    assert [(images.dtype, images.shape) for images in sent] == [(np.uint8, (300, 3072))]
    assert [problem.samples.X.shape for problem in solved] == [shape]
    np.testing.assert_allclose(model.svc.objective_, here.svc.objective_, rtol=1e-3)
    expected, values = here.predict_with_decisions(split.images)
    for inputs in (split.images, on_device(split.images)):
        predicted, decisions = model.predict_with_decisions(inputs)
        np.testing.assert_allclose(decisions, values, rtol=0, atol=2e-2)
        assert (predicted == expected).mean() > 0.98
        np.testing.assert_array_equal(model.predict(inputs), predicted)
    on_gpu, on_cpu = (evaluate_classifier(model, synthetic_data, on_gpu=g) for g in (True, False))
    np.testing.assert_allclose(on_gpu.scores.accuracy, on_cpu.scores.accuracy, atol=0.01)
