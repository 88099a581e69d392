"""RidgeScores: no training sample has a part in the regression that scores it."""

import numpy as np
import pytest
from ridge_problems import N_CLASSES, N_IMAGES, fold_of_images, samples

from svmcifar.errors import InputError
from svmcifar.features.reduce.ridge_scores import RidgeScores


@pytest.mark.parametrize("n_views", [1, 2])
def test_training_samples_are_not_scored_as_new_ones(n_views):
    X, y = samples(n_views)
    model = RidgeScores()
    trained = model.fit_transform(X, y, n_views)
    np.testing.assert_array_equal(model.transform_training(X), trained)
    assert np.abs(trained - model.transform(X)).max() > 0.01


def own_label_changed(X, y, image, n_views):
    """Scores before and after the label of one image changes, with the scale taken out.

    The indicators of a sample add up to 1, and so do its scores, but for the scale.
    """
    other = y.copy()
    other[image] = (y[image] + 1) % N_CLASSES
    found = [
        RidgeScores().fit_transform(X, labels, n_views)[:, :N_CLASSES] for labels in (y, other)
    ]
    return [scores / scores.sum(axis=1, keepdims=True) for scores in found]


@pytest.mark.parametrize("n_views", [1, 2])
@pytest.mark.parametrize("image", [0, 17, N_IMAGES - 1])
def test_the_score_of_a_training_image_does_not_depend_on_its_label(image, n_views):
    X, y = samples(n_views)
    before, after = own_label_changed(X, y, image, n_views)
    folds = fold_of_images(RidgeScores())
    own_fold = np.repeat(folds == folds[image], n_views)
    assert 0 < own_fold.mean() < 1
    np.testing.assert_allclose(after[own_fold], before[own_fold], rtol=0, atol=1e-5)
    assert (np.abs(after - before)[~own_fold].max(axis=1) > 1e-4).all()


@pytest.mark.parametrize("view", [0, 1, 2])
def test_views_of_an_image_are_in_one_fold(view):
    """A view's values are not seen by the regression that scores the image's other views."""
    X, y = samples(n_views=3)
    altered = X.copy()
    altered[3 * 11 + view] += 5
    models = [RidgeScores().fit(values, y, 3) for values in (X, altered)]
    # What is seen is all but the scale: coefficients as shares of the intercepts' sum.
    before, after = (
        model.fold_coef_ / model.fold_intercept_.sum(axis=1)[:, None, None] for model in models
    )
    change = np.abs(after - before).max(axis=(1, 2))
    own = fold_of_images(models[0])[11]
    assert change[own] < 1e-5
    assert (np.delete(change, own) > 1e-4).all()


def test_labels_that_mean_nothing_are_not_learned():
    """On noise the scores of training samples are no better than those of new ones."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(400, 150)).astype(np.float32), np.arange(400) % N_CLASSES
    model = RidgeScores()
    trained = model.fit_transform(X, y)[:, :N_CLASSES].argmax(axis=1)
    as_new = model.transform(X)[:, :N_CLASSES].argmax(axis=1)
    assert (trained == y).mean() < 0.25 + 4 * np.sqrt(0.25 * 0.75 / 400)
    assert (as_new == y).mean() > 0.6


@pytest.mark.parametrize("n_views", [1, 2])
def test_only_the_samples_of_fit_have_scores_out_of_fold(n_views):
    X, y = samples(n_views)
    model = RidgeScores().fit(X, y, n_views)
    for others in (X[:-n_views], np.concatenate([X, X])):
        with pytest.raises(InputError, match=rf"{n_views} of each of {N_IMAGES} .* {len(others)} "):
            model.transform_training(others)


def test_folds_are_of_even_size():
    for n_folds in (2, 5, N_IMAGES):
        X, y = samples(n_views=2)
        model = RidgeScores(n_folds=n_folds).fit(X, y, 2)
        rows = model._folds()
        np.testing.assert_array_equal(np.sort(np.concatenate(rows)), np.arange(2 * N_IMAGES))
        sizes = [len(of_fold) // 2 for of_fold in rows]
        assert max(sizes) - min(sizes) <= 1
        assert np.isfinite(model.transform_training(X)).all()
