"""Searches on images: what features are fitted on, and that a search gives what training gives."""

from dataclasses import replace

import numpy as np
import pytest
from feature_options import Means, quick_features

from svmcifar.data.sampling import fold_splits, holdout_split
from svmcifar.errors import InputError
from svmcifar.features.kinds import KINDS
from svmcifar.features.settings import FeatureSettings
from svmcifar.model.train import train_classifier
from svmcifar.svm.estimator import RBFSVC
from svmcifar.svm.path.grid import Grid
from svmcifar.tuning.tune import tune

FITTED_ON = []


class Spy(Means):
    """Mean colours; tells what it was fitted on."""

    def fit(self, images, y=None):
        FITTED_ON.append(np.array(images))
        return self


@pytest.fixture
def quick(monkeypatch):
    FITTED_ON.clear()
    with quick_features():
        monkeypatch.setitem(KINDS, "spy", ("spy", f"{__name__}.Spy"))
        yield


@pytest.fixture(scope="module")
def train(synthetic_data):
    return synthetic_data.read_split("train")


GRID = Grid([1.0, 10.0], ["1x"], [5, 20])


def search(train, splits, grid=GRID, **changed):
    """Search on images of a training split, or on others and for other labels."""
    images, y = changed.pop("images", train.images), changed.pop("y", train.labels["coarse"])
    train = replace(train, images=images, labels={**train.labels, "coarse": y})
    features = FeatureSettings(**({"kinds": ["spy"], "whiten": 0.5} | changed))
    return tune(RBFSVC(), grid, train, splits, features)


@pytest.mark.parametrize("augment", [None, "flip", "flip-shift"])
def test_features_are_fitted_on_each_training_part_alone(quick, train, augment):
    splits = fold_splits(train.labels["coarse"], 3, seed=1)
    search(train, splits, augment=augment)
    assert len(FITTED_ON) == 3  # once a part, whatever the settings
    for seen, split in zip(FITTED_ON, splits, strict=True):
        np.testing.assert_array_equal(seen, train.images[split.train])


def test_held_out_images_change_nothing_that_is_fitted(quick, train):
    split = holdout_split(train.classes)
    altered = train.images.copy()
    altered[split.held_out] = np.random.default_rng(0).integers(
        0, 256, altered[split.held_out].shape, dtype=np.uint8
    )
    one = search(train, [split], augment="flip").table
    other = search(train, [split], augment="flip", images=altered).table
    keys = ["C", "n_components"]
    one, other = one.sort_values(keys), other.sort_values(keys)
    for name in ("gamma", "n_iter", "n_support"):
        np.testing.assert_array_equal(one[name], other[name])
    assert one["score"].max() > other["score"].max()


def test_shuffled_labels_give_chance(quick, train):
    y = np.random.default_rng(3).permutation(train.labels["coarse"])
    found = search(train, fold_splits(y, 3), y=y)
    deviation = np.sqrt(0.05 * 0.95 / len(y))
    assert abs(found.table["score"] - 0.05).max() < 4.5 * deviation


@pytest.mark.parametrize("augment", [None, "flip", "flip-shift"])
def test_a_search_scores_what_training_gives(quick, train, synthetic_data, augment):
    """The held-out accuracy of a model that is trained on the same part with the same settings."""
    rows, held_out = holdout_split(train.classes, 100)
    settings = {"kinds": ["means"], "whiten": 0.5, "augment": augment}
    found = search(train, [(rows, held_out)], **settings)
    part = train.take(rows)
    for row in found.table.itertuples():
        svc = RBFSVC(C=row.C, gamma=row.gamma)
        count = row.n_components
        features = FeatureSettings(n_components=count, **settings)
        model = train_classifier(synthetic_data, part, svc, features)
        n_right = (model.predict(train.images[held_out]) == train.labels["coarse"][held_out]).sum()
        # Products over 5 components and 15 more are rounded otherwise than those over 20.
        assert abs(n_right - 100 * row.score) <= (1 if count == 20 else 1e-9)


def test_the_first_components_of_many_are_the_components_of_few(quick, train):
    """A search of 5 and 20 components gives for 5 what a search of 5 alone gives."""
    split = [holdout_split(train.classes)]
    both = search(train, split).table
    alone = search(train, split, Grid([1.0, 10.0], ["1x"], [5])).table
    both = both[both["n_components"] == 5].sort_values("C", ignore_index=True)
    alone = alone.sort_values("C", ignore_index=True)
    np.testing.assert_allclose(both["gamma"], alone["gamma"], rtol=1e-5)
    np.testing.assert_allclose(both["score"], alone["score"], atol=0.011)
    np.testing.assert_allclose(both["n_iter"], alone["n_iter"], rtol=0.02)


BAD = [
    ({"grid": Grid([1], [1], [None, 5])}, "must not have 'none' among them. Got none and 5"),
    ({"augment": "rotate"}, "augmented by 'flip' or 'flip-shift'. Got 'rotate'"),
    ({"grid": Grid([1], [1]), "whiten": 0.5}, "Whitening needs principal components"),
    ({"grid": Grid([1], [1], [5, 9]), "ridge_scores": 1.0}, "must be one number of .* Got 5, 9"),
    ({"grid": Grid([1], [1], [49]), "kinds": ["means"]}, "at most 48 components"),
]


@pytest.mark.parametrize(("changed", "message"), BAD)
def test_bad_settings(quick, train, changed, message):
    values = {"grid": Grid([1], [1]), "whiten": 0.0, **changed}
    with pytest.raises(InputError, match=message):
        search(train, [holdout_split(train.classes)], **values)
    assert not FITTED_ON
