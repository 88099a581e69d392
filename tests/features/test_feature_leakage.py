"""What features are learned from: training images and their labels, and no others."""

from dataclasses import replace

import numpy as np
import pytest
from feature_options import PATCH_SCORES, SCORES
from feature_spy import FITTED_ON, TRANSFORMED, spy_features, views_of
from scipy.stats import binom

from svmcifar.data.sampling import holdout_split
from svmcifar.features.fitting import fit_transform_features
from svmcifar.features.pipeline import make_feature_pipeline
from svmcifar.features.settings import FeatureSettings
from svmcifar.io.content_hash import content_hash
from svmcifar.model.train import train_classifier
from svmcifar.svm.both_images import with_mirror_rows
from svmcifar.svm.estimator import RBFSVC
from svmcifar.svm.path.grid import Grid
from svmcifar.tuning import tune as tuning_images


@pytest.fixture(autouse=True)
def _spy_features():
    with spy_features():
        yield


@pytest.fixture(scope="module")
def train(synthetic_data):
    return synthetic_data.read_split("train")


@pytest.fixture(scope="module")
def test(synthetic_data):
    return synthetic_data.read_split("test")


SEEN = {**SCORES, "kinds": ("spy",)}


@pytest.mark.parametrize("augment", [None, "flip", "flip-shift"])
def test_training_asks_for_training_images_alone(synthetic_data, train, test, augment):
    features = FeatureSettings(**(SEEN | {"augment": augment}))
    model = train_classifier(synthetic_data, train, RBFSVC(), features, limit=200)
    rows = model.manifest.training.rows
    (fitted_on,) = FITTED_ON
    np.testing.assert_array_equal(fitted_on, train.images[rows])
    known = views_of(train.images[rows], augment, implied=True)
    known = {image.tobytes() for view in known for image in view}
    seen = {image.tobytes() for images in TRANSFORMED for image in images}
    assert seen == known
    TRANSFORMED.clear()
    model.predict(test.images)
    assert len(FITTED_ON) == 1
    views = {image.tobytes() for view in views_of(test.images, augment)[:2] for image in view}
    assert len(views) == (200 if augment is None else 400)
    assert {image.tobytes() for images in TRANSFORMED for image in images} == views


def test_scores_are_learned_from_the_fine_classes_of_the_drawn_images(train_small, train):
    model = train_small(limit=200, **SCORES)
    rows = model.manifest.training.rows
    pipeline = make_feature_pipeline(
        FeatureSettings(
            n_components=20,
            kinds=("means", "cells"),
            whiten=0.5,
            ridge_scores=0.8,
            ridge_components=40,
            augment="flip-shift",
        )
    )
    X = fit_transform_features(
        pipeline, train.images[rows], train.classes[rows], augment="flip-shift"
    )
    assert content_hash(pipeline) == content_hash(model.features)
    assert model.svc.shape_fit_ == X.shape == (400, 120)
    support = model.svc.support_
    assert {0, 1} == set(support % 2)
    np.testing.assert_array_equal(model.svc.support_vectors_, X[support])
    by_class = np.repeat(model.svc.classes_, model.svc.n_support_)
    np.testing.assert_array_equal(np.repeat(train.labels["coarse"][rows], 2)[support], by_class)
    again = model.compute_training_features(train.images[rows])
    np.testing.assert_array_equal(again, X)


def parts_of_a_search(monkeypatch, train, splits, **options):
    """What a search trains and scores on."""
    taken = []
    monkeypatch.setattr(
        tuning_images, "search_parts", lambda svc, grid, makers, **_: taken.extend(makers)
    )
    grid = Grid([1.0], ["1x"], [20])
    features = FeatureSettings(**options)
    tuning_images.tune(RBFSVC(), grid, train, splits, features, seed=4)
    return [make() for make in taken]


@pytest.mark.parametrize("augment", [None, "flip-shift"])
def test_a_search_learns_nothing_of_held_out_images(monkeypatch, train, augment):
    """Neither their pixels nor their labels of either kind."""
    split = holdout_split(train.classes, 100)
    rng = np.random.default_rng(0)
    images, coarse, fine = train.images.copy(), train.labels["coarse"].copy(), train.classes.copy()
    changed, kept = split.held_out[1:], split.held_out[:1]
    images[changed] = rng.integers(0, 256, images[changed].shape, dtype=np.uint8)
    coarse[split.held_out], fine[split.held_out] = 19 - coarse[split.held_out], 0
    options = {**SEEN, "augment": augment}
    (part,) = parts_of_a_search(monkeypatch, train, [split], **options)
    np.testing.assert_array_equal(FITTED_ON[0], train.images[split.train])
    altered = replace(train, images=images, labels={"coarse": coarse, "fine": fine})
    (other,) = parts_of_a_search(monkeypatch, altered, [split], **options)
    np.testing.assert_array_equal(FITTED_ON[1], train.images[split.train])
    assert len(FITTED_ON) == 2
    np.testing.assert_array_equal(other.X_train, part.X_train)
    np.testing.assert_array_equal(other.y_train, part.y_train)
    np.testing.assert_array_equal(part.y_train, train.labels["coarse"][split.train])
    np.testing.assert_array_equal(part.y_held_out, train.labels["coarse"][split.held_out])
    n_views = part.n_held_out_views
    assert (n_views, part.n_train_views) == ((1, 1) if augment is None else (1, 4))
    # An image's features depend on no other that is held out.
    n_kept = n_views * len(kept)
    np.testing.assert_array_equal(other.X_held_out[:n_kept], part.X_held_out[:n_kept])
    assert (other.X_held_out[n_kept:] != part.X_held_out[n_kept:]).any(axis=1).all()


def test_a_search_has_the_features_of_training(monkeypatch, train, synthetic_data):
    split = holdout_split(train.classes, 100)
    options = {**SCORES, "kinds": ("means",)}
    (part,) = parts_of_a_search(monkeypatch, train, [split], **options)
    own = train.take(split.train)
    model = train_classifier(
        synthetic_data, own, RBFSVC(), FeatureSettings(**options),
        seed=4,
    )  # fmt: skip
    expected = model.compute_training_features(own.images)
    np.testing.assert_array_equal(part.X_train, with_mirror_rows(expected, model.svc.n_odd_))
    held_out = model.compute_features(train.images[split.held_out])
    np.testing.assert_array_equal(part.X_held_out, held_out)


def test_features_of_a_test_image_depend_on_no_other(train_small, test):
    model = train_small(**SCORES)
    images = test.images.copy()
    X = model.compute_features(images)
    images[:150] = 255 - images[:150]
    images[160:] = 0
    np.testing.assert_array_equal(model.compute_features(images)[150:160], X[150:160])
    alone = model.compute_features(test.images[150:160])
    np.testing.assert_allclose(alone, X[150:160], rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("options", "kind", "n_classes"),
    [(SCORES, "coarse", 20), (SCORES, "fine", 100), (PATCH_SCORES, "coarse", 20)],
)
def test_shuffled_test_labels_give_chance(train_small, test, options, kind, n_classes):
    """Within what one of a thousand samplings exceeds; with the right labels it is far more."""
    predicted = train_small(label_kind=kind, **options).predict(test.images)
    labels = test.labels[kind]
    n_hits = [
        (predicted == np.random.default_rng(seed).permutation(labels)).sum() for seed in range(3)
    ]
    chance = binom(len(labels), 1 / n_classes)
    assert max(n_hits) <= chance.ppf(0.999)
    assert sum(n_hits) >= binom(3 * len(labels), 1 / n_classes).ppf(0.001)
    assert (predicted == labels).sum() > chance.ppf(1 - 1e-9)


def test_shuffled_training_labels_give_chance(synthetic_data, train, test):
    """Out-of-fold scores of labels that mean nothing teach nothing."""
    order = np.random.default_rng(5).permutation(len(train.classes))
    shuffled = replace(train, labels=train.take(order).labels)
    model = train_classifier(synthetic_data, shuffled, RBFSVC(), FeatureSettings(**SCORES))
    n_hits = (model.predict(test.images) == test.labels["coarse"]).sum()
    assert n_hits <= binom(len(test.labels["coarse"]), 1 / 20).ppf(0.999)
