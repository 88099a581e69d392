"""RidgeScores: against scikit-learn's Ridge fold by fold."""

import array_api_strict as xp
import numpy as np
import pytest
import skops.io
from devices import DEVICE, assert_on_device, on_device
from ridge_problems import N_CLASSES, N_FEATURES, N_IMAGES, fold_of_images, samples
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge

from svmcifar.compute.arrays import to_host
from svmcifar.errors import InputError
from svmcifar.features import kinds
from svmcifar.features.reduce import ridge_scores
from svmcifar.features.reduce.ridge_scores import RidgeScores
from svmcifar.io.content_hash import content_hash

FITTED = ("coef_", "intercept_", "fold_coef_", "fold_intercept_")


@pytest.fixture
def new():
    return samples(seed=1)[0]


def expected_scores(model, X, y, n_views, others):
    """Scores of the training samples and of others, by scikit-learn in float64."""
    X, others, y = X.astype(np.float64), others.astype(np.float64), np.repeat(y, n_views)
    Y = (y[:, None] == np.unique(y)).astype(np.float64)
    folds = np.repeat(fold_of_images(model, len(y) // n_views), n_views)

    def ridge(rows):
        variance = X[rows].var(axis=0).mean()
        return Ridge(alpha=model.alpha * len(X[rows]) * variance).fit(X[rows], Y[rows])

    own = np.empty(Y.shape)
    for fold in range(model.n_folds):
        own[folds == fold] = ridge(folds != fold).predict(X[folds == fold])
    kept = X[:, : model.n_keep]
    scale = model.weight * np.sqrt(kept.var(axis=0).sum() / own.var(axis=0).sum())
    return own * scale, ridge(folds >= 0).predict(others) * scale


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"weight": 3.0, "n_folds": 2},
        {"alpha": 10.0, "n_folds": 7, "random_state": 5},
        {"alpha": 1e-4, "n_keep": 2},
        {"n_keep": 1, "weight": 0.01},
    ],
)
@pytest.mark.parametrize("n_views", [1, 3])
def test_equals_ridge_regression_fold_by_fold(new, options, n_views):
    model, (X, y) = RidgeScores(**options), samples(n_views)
    before = X.copy()
    trained = model.fit_transform(X, y, n_views)
    np.testing.assert_array_equal(X, before)
    own, of_new = expected_scores(model, X, y, n_views, new)
    for found, scores, features in ((trained, own, X), (model.transform(new), of_new, new)):
        assert found.dtype == np.float32
        atol = 3e-6 * np.abs(scores).max()
        np.testing.assert_allclose(found[:, :N_CLASSES], scores, rtol=0, atol=atol)
        np.testing.assert_array_equal(found[:, N_CLASSES:], features[:, : model.n_keep])


@pytest.mark.parametrize("n_keep", [None, 5])
@pytest.mark.parametrize("n_views", [1, 3])
def test_scores_are_of_even_features_alone(new, n_keep, n_views):
    """Kept are the first even features and all odd ones; variances are those of both images."""
    (X, y), n_odd = samples(n_views), 2
    model = RidgeScores(0.7, n_keep=n_keep)
    found = model.fit_transform(X, y, n_views, n_odd)
    alone = RidgeScores().fit(X[:, :-n_odd], y, n_views)
    for scored, expected in (
        (found, alone.transform_training(X[:, :-n_odd])),
        (model.transform(new), alone.transform(new[:, :-n_odd])),
    ):
        scale = model.coef_[0, 0] / alone.coef_[0, 0]
        expected = scale * expected[:, :N_CLASSES]
        np.testing.assert_allclose(scored[:, :N_CLASSES], expected, rtol=0, atol=1e-5)
    n_even = N_FEATURES - n_odd if n_keep is None else n_keep - n_odd
    kept = np.hstack([X[:, :n_even], X[:, -n_odd:]])
    np.testing.assert_array_equal(found[:, N_CLASSES:], kept)
    both = np.vstack([kept, np.hstack([kept[:, :n_even], -kept[:, n_even:]])])
    variances = found[:, :N_CLASSES].astype(np.float64).var(axis=0)
    ratio = variances.sum() / both.astype(np.float64).var(axis=0).sum()
    np.testing.assert_allclose(ratio, 0.7**2, rtol=1e-5)
    again = skops.io.loads(skops.io.dumps(model), trusted=kinds.TRUSTED)
    np.testing.assert_array_equal(again.transform_training(X), found)


def test_more_features_than_samples():
    (X, y), (others, _) = samples(n_features=90), samples(n_features=90, seed=1)
    model = RidgeScores()
    trained, found = model.fit_transform(X, y), model.transform(others)
    own, of_others = expected_scores(model, X, y, 1, others)
    for scores, expected in ((trained, own), (found, of_others)):
        atol = 3e-5 * np.abs(expected).max()
        np.testing.assert_allclose(scores[:, :N_CLASSES], expected, rtol=0, atol=atol)


def test_attributes_are_those_of_the_regressions():
    X, y = samples()
    model = RidgeScores().fit(X, y)
    shapes = [getattr(model, name).shape for name in FITTED]
    assert shapes == [(6, 4), (4,), (5, 6, 4), (5, 4)]
    assert {getattr(model, name).dtype for name in FITTED} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(
        model.transform(X)[:, :N_CLASSES], X @ model.coef_ + model.intercept_
    )
    folds = fold_of_images(model)
    own = np.einsum("if,ifc->ic", X, model.fold_coef_[folds]) + model.fold_intercept_[folds]
    found = model.transform_training(X)
    np.testing.assert_allclose(found[:, :N_CLASSES], own, rtol=0, atol=1e-5)


@pytest.mark.parametrize("n_keep", [None, 2])
@pytest.mark.parametrize("weight", [0.1, 0.8, 2.5])
def test_weight_gives_the_variance(weight, n_keep):
    X, y = samples(n_views=2)
    found = RidgeScores(weight, n_keep=n_keep).fit_transform(X, y, 2).astype(np.float64)
    variances = found.var(axis=0)
    ratio = variances[:N_CLASSES].sum() / variances[N_CLASSES:].sum()
    np.testing.assert_allclose(ratio, weight**2, rtol=1e-5)


def test_scores_of_several_batches(monkeypatch, new):
    X, y = samples(n_views=2)
    results = []
    for batch_rows in (2000, 7, 1):
        monkeypatch.setattr(ridge_scores, "_BATCH_ROWS", batch_rows)
        model = RidgeScores()
        results.append((model.fit_transform(X, y, 2), model.transform(new)))
    for result in results[1:]:
        for found, expected in zip(result, results[0], strict=True):
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


def test_on_a_device(monkeypatch, new):
    monkeypatch.setattr(ridge_scores, "_BATCH_ROWS", 11)
    (X, y), here, there = samples(n_views=2), RidgeScores(n_keep=3), RidgeScores(n_keep=3)
    expected = here.fit_transform(X, y, 2)
    for found in (
        there.fit_transform(on_device(X), y, 2),
        there.transform_training(on_device(X)),
    ):
        assert_on_device(found, xp.float32)
        np.testing.assert_allclose(to_host(found), expected, rtol=0, atol=1e-4)
    of_new = there.transform(on_device(new))
    assert_on_device(of_new, xp.float32)
    np.testing.assert_allclose(to_host(of_new), here.transform(new), rtol=0, atol=1e-4)
    for name in FITTED:
        assert getattr(there, name).device == DEVICE
        assert_on_device(getattr(there, name), xp.float32)


def test_same_fit_again():
    X, y = samples()
    hashes = {content_hash(RidgeScores(random_state=s).fit(X, y)) for s in (0, 0, 0)}
    assert len(hashes) == 1
    coef = [RidgeScores(random_state=s).fit(X, y).fold_coef_ for s in (0, 1)]
    assert np.abs(coef[0] - coef[1]).max() > 1e-3


NAMES = {
    "text": np.array(["cat", "ant", "dog", "bee"]),
    "gaps": np.array([7, -3, 100, 0]),
    "real": np.array([0.5, -1.5, 2.0, 0.25]),
}


@pytest.mark.parametrize("names", NAMES.values(), ids=list(NAMES))
def test_labels_of_any_kind(names):
    X, y = samples()
    labels = names[y]
    found = RidgeScores().fit_transform(X, labels)
    ranks = np.argsort(np.argsort(names))  # a score's place is that of its label among all
    np.testing.assert_array_equal(found, RidgeScores().fit_transform(X, ranks[y]))
    assert found.shape == (N_IMAGES, N_CLASSES + N_FEATURES)


def test_class_of_one_image():
    """In all folds but one there is none of it to learn from."""
    X, y = samples()
    y[5] = N_CLASSES
    model = RidgeScores()
    found = model.fit_transform(X, y)
    own, _ = expected_scores(model, X, y, 1, X)
    assert found.shape[1] == N_CLASSES + 1 + N_FEATURES
    np.testing.assert_allclose(found[:, : N_CLASSES + 1], own, rtol=0, atol=1e-5)
    assert abs(found[5, N_CLASSES]) < 1e-6


def test_one_class():
    """Every score is what tells nothing: the share of the class, which is 1."""
    X, _ = samples()
    model = RidgeScores()
    found = model.fit_transform(X, np.full(N_IMAGES, 3))
    assert np.isfinite(found).all()
    assert found.shape == (N_IMAGES, 1 + N_FEATURES)
    np.testing.assert_array_equal(found[:, 1:], X)


@pytest.mark.parametrize("constant", [0.0, 5.0, 0.1, -3e4])
def test_constant_feature(constant):
    X, y = samples()
    X[:, 2] = constant
    model = RidgeScores()
    found = model.fit_transform(X, y)[:, :N_CLASSES]
    assert not model.coef_[2].any()
    assert not model.fold_coef_[:, 2].any()
    # The penalty is a share of the mean variance, which is less with a constant.
    without = RidgeScores(alpha=model.alpha * (N_FEATURES - 1) / N_FEATURES)
    expected = without.fit_transform(np.delete(X, 2, axis=1), y)[:, :N_CLASSES]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("n_images", [N_IMAGES, 12_000])
def test_features_that_are_all_constant(n_images):
    """Each another constant, whose sums are rounded; scores have the variance of the features."""
    y = np.arange(n_images) % N_CLASSES
    for row in ([0.0] * 4, [0.1] * 4, [5.0] * 4, [0.1, -3e4, 1 / 3, 0.0]):
        X = np.repeat(np.array([row], dtype=np.float32), n_images, axis=0)
        found = RidgeScores().fit_transform(X, y)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found[:, :N_CLASSES], np.zeros((n_images, N_CLASSES)))
        np.testing.assert_array_equal(found[:, N_CLASSES:], X)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weight": 0.0}, r"'weight' parameter of RidgeScores .* range \(0.*\. Got 0.0"),
        ({"weight": -1.0}, "'weight' .* Got -1.0"),
        ({"weight": np.nan}, "'weight' .* Got nan"),
        ({"weight": np.inf}, "'weight' .* Got inf"),
        ({"weight": "much"}, "'weight' .* Got 'much'"),
        ({"n_keep": 0}, "'n_keep' .* Got 0"),
        ({"n_keep": 2.0}, "'n_keep' .* Got 2.0"),
        ({"alpha": 0.0}, "'alpha' .* Got 0.0"),
        ({"alpha": np.nan}, "'alpha' .* Got nan"),
        ({"n_folds": 1}, "'n_folds' .* Got 1"),
        ({"n_folds": 3.0}, "'n_folds' .* Got 3.0"),
        ({"random_state": -1}, "'random_state' .* Got -1"),
        ({"random_state": None}, "'random_state' .* Got None"),
    ],
)
def test_refuses_parameters(options, message):
    X, y = samples()
    model = RidgeScores(**options)
    for call in (model.fit, model.fit_transform):
        with pytest.raises(InputError, match=message) as caught:
            call(X, y)
        assert "\n" not in str(caught.value)
    assert not hasattr(model, "coef_")


@pytest.mark.parametrize(
    ("n_rows", "n_labels", "n_views", "n_folds"),
    [(4, 4, 1, 5), (8, 4, 2, 5), (0, 0, 1, 2), (43, 42, 1, 5), (42, 43, 1, 5), (43, 43, 2, 5)],
)
def test_refuses_too_few_images_and_labels_of_others(n_rows, n_labels, n_views, n_folds):
    X, y = samples()
    expected = rf"at least {n_folds} images.* Got {n_rows} rows, {n_views} .* {n_labels} labels"
    with pytest.raises(InputError, match=expected):
        RidgeScores(n_folds=n_folds).fit(X[:n_rows], y[:n_labels], n_views)


def test_as_many_images_as_folds():
    X, y = samples()
    assert np.isfinite(RidgeScores().fit_transform(X[:5], y[:5])).all()


def test_must_be_fitted():
    X, _ = samples()
    for call in (RidgeScores().transform, RidgeScores().transform_training):
        with pytest.raises(NotFittedError):
            call(X)


def test_can_be_cloned_and_saved(new):
    options = {"weight": 0.5, "n_keep": 3, "alpha": 0.1, "n_folds": 4, "random_state": 9}
    assert RidgeScores(**options).get_params() == options
    X, y = samples(n_views=2)
    model = RidgeScores(**options).fit(X, y, 2)
    assert content_hash(clone(model).fit(X, y, 2)) == content_hash(model)
    loaded = skops.io.loads(skops.io.dumps(model), trusted=kinds.TRUSTED)
    assert content_hash(loaded) == content_hash(model)
    np.testing.assert_array_equal(loaded.transform(new), model.transform(new))
    np.testing.assert_array_equal(loaded.transform_training(X), model.transform_training(X))
