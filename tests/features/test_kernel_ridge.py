"""KernelRidgeScores: against dense equations in float64, leaving each image out in turn."""

import re
import tracemalloc

import array_api_strict as xp
import numpy as np
import pytest
import skops.io
from devices import DEVICE, assert_on_device, on_device
from ridge_problems import N_CLASSES, N_FEATURES, N_IMAGES, samples
from scipy.stats import binom
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline

from svmcifar.compute import cholesky
from svmcifar.compute.arrays import to_host
from svmcifar.compute.memory import parse_bytes
from svmcifar.errors import InputError, MemoryLimitError
from svmcifar.features import kinds
from svmcifar.features.reduce import kernel_ridge
from svmcifar.features.reduce.kernel_ridge import KernelRidgeScores
from svmcifar.features.transfer import bring_to_host, pipeline_beside
from svmcifar.io.content_hash import content_hash

FITTED = ("samples_", "sq_norms_", "coef_", "intercept_", "inverse_blocks_")


@pytest.fixture
def new():
    return samples(seed=1)[0]


def rbf(A, B, gamma, n_odd=0):
    """The kernel, averaged over B and its mirror images if there are odd features."""
    A, B = A.astype(np.float64), B.astype(np.float64)
    values = np.exp(-gamma * ((A[:, None] - B) ** 2).sum(axis=2))
    if not n_odd:
        return values
    mirrored = B * np.where(np.arange(B.shape[1]) < B.shape[1] - n_odd, 1, -1)
    return (values + rbf(A, mirrored, gamma)) / 2


def ridge(X, y, others, penalty, gamma, n_odd=0):
    """Scores of others, by the regression on X: coefficients and an intercept of all classes."""
    n = len(X)
    system = np.ones((n + 1, n + 1))
    system[:n, :n] = rbf(X, X, gamma, n_odd) + penalty * np.eye(n)
    system[n, n] = 0.0
    Y = np.zeros((n + 1, N_CLASSES))
    Y[np.arange(n), y] = 1.0
    solution = np.linalg.solve(system, Y)
    return rbf(others, X, gamma, n_odd) @ solution[:n] + solution[n]


def expected_scores(model, X, y, n_views, others):
    """Scores of training samples, each image left out in turn, and of others, scaled."""
    settings = (model.penalty, model.gamma_, model.n_odd)
    own = np.empty((len(X), N_CLASSES))
    images, labels = np.repeat(np.arange(len(y)), n_views), np.repeat(y, n_views)
    for image in range(len(y)):
        left = images == image
        own[left] = ridge(X[~left], labels[~left], X[left], *settings)
    variance = X.astype(np.float64).var(axis=0).sum()
    scale = model.weight * np.sqrt(variance / own.var(axis=0).sum())
    return own * scale, ridge(X, labels, others, *settings) * scale


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"weight": 3.0, "penalty": 1.0},
        {"penalty": 1e-3, "gamma": 0.3},
        {"n_odd": 2},
        {"n_odd": N_FEATURES, "penalty": 0.5},
    ],
)
@pytest.mark.parametrize("n_views", [1, 2, 3])
def test_equals_leaving_each_image_out(new, options, n_views):
    model, (X, y) = KernelRidgeScores(**options), samples(n_views)
    before = X.copy()
    trained = model.fit_transform(X, y, n_views)
    np.testing.assert_array_equal(X, before)
    own, of_new = expected_scores(model, X, y, n_views, new)
    for found, scores, features in ((trained, own, X), (model.transform(new), of_new, new)):
        assert found.dtype == np.float32
        atol = 2e-4 * np.abs(scores).max()
        np.testing.assert_allclose(found[:, :N_CLASSES], scores, rtol=0, atol=atol)
        np.testing.assert_array_equal(found[:, N_CLASSES:], features)


@pytest.mark.parametrize("n_views", [1, 2])
def test_panels_and_batches_change_nothing(monkeypatch, new, n_views):
    X, y = samples(n_views)
    results = []
    for panel, batch_rows in ((1536, 1000), (10, 7), (3, 1)):
        monkeypatch.setattr(cholesky, "PANEL", panel)
        monkeypatch.setattr(kernel_ridge, "_BATCH_ROWS", batch_rows)
        model = KernelRidgeScores(n_odd=1)
        results.append((model.fit_transform(X, y, n_views), model.transform(new)))
    for result in results[1:]:
        for found, expected in zip(result, results[0], strict=True):
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("n_odd", [1, 3])
def test_odd_features_are_training_on_both_images(new, n_odd):
    """Twice as many samples, and twice the penalty, since values are not averaged there."""
    X, y = samples()
    model = KernelRidgeScores(n_odd=n_odd).fit(X, y)
    sign = np.where(np.arange(N_FEATURES) < N_FEATURES - n_odd, 1, -1)
    both = np.concatenate([X, X * sign])
    expected = ridge(both, np.concatenate([y, y]), new, 2 * model.penalty, model.gamma_)
    found = model.transform(new)[:, :N_CLASSES] / model.scale_
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    mirrored = model.transform((new * sign).astype(np.float32))[:, :N_CLASSES] / model.scale_
    np.testing.assert_allclose(mirrored, expected, rtol=0, atol=1e-4)
    assert model.gamma_ == pytest.approx(1 / (N_FEATURES * both.astype(np.float64).var()))


@pytest.mark.parametrize("weight", [0.1, 0.8, 2.5])
def test_weight_gives_the_variance(weight):
    X, y = samples(n_views=2)
    variances = KernelRidgeScores(weight).fit_transform(X, y, 2).astype(np.float64).var(axis=0)
    ratio = variances[:N_CLASSES].sum() / variances[N_CLASSES:].sum()
    np.testing.assert_allclose(ratio, weight**2, rtol=1e-5)


def test_gamma_is_that_of_the_svm():
    X, y = samples()
    assert KernelRidgeScores().fit(X, y).gamma_ == pytest.approx(1 / (N_FEATURES * X.var()))
    assert KernelRidgeScores(gamma=0.25).fit(X, y).gamma_ == 0.25


def test_samples_far_from_the_origin(new):
    """Which are centred: distances are those of the samples as they are."""
    X, y = samples()
    far = np.float32(300)
    model, near = KernelRidgeScores(gamma=0.1), KernelRidgeScores(gamma=0.1)
    X, new = X + far, new + far
    found, expected = model.fit_transform(X, y), near.fit_transform(X - far, y)
    assert model.center_ is not None
    np.testing.assert_allclose(found[:, :N_CLASSES], expected[:, :N_CLASSES], rtol=0, atol=1e-3)
    of_new = model.transform(new)[:, :N_CLASSES], near.transform(new - far)[:, :N_CLASSES]
    np.testing.assert_allclose(*of_new, rtol=0, atol=1e-3)


def test_scores_of_an_image_do_not_see_its_label():
    X, y = samples()
    other = y.copy()
    other[5] = (y[5] + 1) % N_CLASSES
    found, changed = (KernelRidgeScores().fit(X, labels) for labels in (y, other))
    rows = [model.transform_training(X)[:, :N_CLASSES] / model.scale_ for model in (found, changed)]
    np.testing.assert_allclose(rows[0][5], rows[1][5], rtol=0, atol=1e-5)
    assert np.abs(rows[0] - rows[1]).max() > 0.01  # those of others do


@pytest.mark.parametrize("n_views", [1, 2])
def test_an_image_that_is_there_twice_sees_the_label_of_its_twin_alone(n_views):
    X, y = samples(n_views)
    X, y = np.concatenate([X, X[:n_views]]), np.append(y, (y[0] + 1) % N_CLASSES)
    scores = KernelRidgeScores().fit_transform(X, y, n_views)[:, :N_CLASSES]
    assert (scores[:n_views].argmax(axis=1) == y[-1]).all()
    assert (scores[-n_views:].argmax(axis=1) == y[0]).all()


def test_labels_that_mean_nothing_are_not_guessed():
    rng = np.random.default_rng(3)
    X = rng.normal(size=(600, 10)).astype(np.float32)
    y = rng.integers(0, N_CLASSES, 600)
    model = KernelRidgeScores(penalty=1e-3)
    guessed = model.fit_transform(X, y)[:, :N_CLASSES].argmax(axis=1)
    assert 0.001 < binom.cdf((guessed == y).sum(), 600, 1 / N_CLASSES) < 0.999
    fitted = model.transform(X)[:, :N_CLASSES].argmax(axis=1)
    assert (fitted == y).mean() > 0.95  # as in training, where each image sees its label


def test_on_a_device(monkeypatch, new):
    monkeypatch.setattr(kernel_ridge, "_BATCH_ROWS", 11)
    for options in ({}, {"n_odd": 2}, {"gamma": 0.1}):
        (X, y), there = samples(n_views=2), KernelRidgeScores(**options)
        here = KernelRidgeScores(**options)
        if "gamma" in options:
            X = X + np.float32(20)  # which is centred
        expected = here.fit_transform(X, y, 2)
        fitted = there.fit_transform(on_device(X), y, 2)
        again = there.transform_training(on_device(X))
        for found in (fitted, again):
            assert_on_device(found, xp.float32)
            np.testing.assert_allclose(to_host(found), expected, rtol=0, atol=1e-4)
        of_new = there.transform(on_device(new))
        assert_on_device(of_new, xp.float32)
        np.testing.assert_allclose(to_host(of_new), here.transform(new), rtol=0, atol=1e-4)
        for name in FITTED:
            assert_on_device(getattr(there, name), xp.float32)
        bring_to_host(Pipeline([("scores", there)]))
        assert content_hash(there) == content_hash(here)
        moved = pipeline_beside(Pipeline([("scores", there)]), on_device(new))[0]
        assert moved.samples_.device == DEVICE
        found = moved.transform(on_device(new))
        np.testing.assert_array_equal(to_host(found), to_host(of_new))
        assert_on_device(moved.transform_training(on_device(X)), xp.float32)


NAMES = {
    "text": np.array(["cat", "ant", "dog", "bee"]),
    "gaps": np.array([7, -3, 100, 0]),
    "real": np.array([0.5, -1.5, 2.0, 0.25]),
}


@pytest.mark.parametrize("names", NAMES.values(), ids=list(NAMES))
def test_labels_of_any_kind(names):
    X, y = samples()
    found = KernelRidgeScores().fit_transform(X, names[y])
    ranks = np.argsort(np.argsort(names))  # a score's place is that of its label among all
    np.testing.assert_array_equal(found, KernelRidgeScores().fit_transform(X, ranks[y]))
    assert found.shape == (N_IMAGES, N_CLASSES + N_FEATURES)


def test_class_of_one_image():
    """Without it there is none of it to learn from, and its score is 0."""
    X, y = samples()
    y[5] = N_CLASSES
    found = KernelRidgeScores().fit_transform(X, y)
    assert found.shape[1] == N_CLASSES + 1 + N_FEATURES
    assert abs(found[5, N_CLASSES]) < 1e-4
    assert np.abs(found[:, N_CLASSES]).max() > 0.01


def test_one_class():
    """Every score is what tells nothing: the share of the class, which is 1."""
    X, _ = samples()
    found = KernelRidgeScores().fit_transform(X, np.full(N_IMAGES, 3))
    assert found.shape == (N_IMAGES, 1 + N_FEATURES)
    np.testing.assert_array_equal(found[:, 0], np.ones(N_IMAGES))
    np.testing.assert_array_equal(found[:, 1:], X)


@pytest.mark.parametrize(
    "row",
    [
        [0.0] * 4,
        [0.1] * 4,
        [0.1, -3e4, 1 / 3, 0.0],
        [-80.28369, 24.28499, -165.63454, 65.61049],  # whose variance is rounded to less than 0
    ],
)
def test_features_that_are_all_constant(row):
    X, y = np.repeat(np.array([row], dtype=np.float32), N_IMAGES, axis=0), samples()[1]
    found = KernelRidgeScores().fit_transform(X, y)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert np.abs(found[:, :N_CLASSES]).max() <= 1e-3 * np.abs(row).max()
    np.testing.assert_array_equal(found[:, N_CLASSES:], X)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weight": 0.0}, r"'weight' parameter of KernelRidgeScores .* range \(0.*\. Got 0.0"),
        ({"weight": np.nan}, "'weight' .* Got nan"),
        ({"weight": "much"}, "'weight' .* Got 'much'"),
        ({"penalty": 0.0}, "'penalty' .* Got 0.0"),
        ({"penalty": np.inf}, "'penalty' .* Got inf"),
        ({"gamma": 0.0}, "'gamma' .* Got 0.0"),
        ({"gamma": "auto"}, "'gamma' .* Got 'auto'"),
        ({"n_odd": -1}, "'n_odd' .* Got -1"),
        ({"n_odd": 1.0}, "'n_odd' .* Got 1.0"),
        ({"n_odd": 7}, "43 rows, 1 of an image, 43 labels, and 7 odd of 6 features"),
        ({"memory_limit": 0}, "'memory_limit' .* Got 0"),
        ({"memory_limit": "much"}, "memory limit must be a number of bytes.* Got 'much'"),
    ],
)
def test_refuses_parameters(options, message):
    X, y = samples()
    model = KernelRidgeScores(**options)
    for call in (model.fit, model.fit_transform):
        with pytest.raises(InputError, match=message) as caught:
            call(X, y)
        assert "\n" not in str(caught.value)
    assert not hasattr(model, "coef_")


@pytest.mark.parametrize(
    ("n_rows", "n_labels", "n_views"), [(1, 1, 1), (2, 1, 2), (0, 0, 1), (43, 42, 1), (43, 43, 2)]
)
def test_refuses_one_image_and_labels_of_others(n_rows, n_labels, n_views):
    X, y = samples()
    expected = f"at least two images.* Got {n_rows} rows, {n_views} .* {n_labels} labels"
    with pytest.raises(InputError, match=expected):
        KernelRidgeScores().fit(X[:n_rows], y[:n_labels], n_views)


def test_two_images():
    X, _ = samples()
    found = KernelRidgeScores().fit_transform(X[:2], np.array([0, 1]))
    np.testing.assert_array_equal(found[:, :2].argmax(axis=1), [1, 0])


def test_refuses_training_scores_of_other_samples():
    X, y = samples()
    model = KernelRidgeScores().fit(X, y)
    with pytest.raises(InputError, match=r"those of the 43 samples.* Got 42 .*Use 'transform'"):
        model.transform_training(X[1:])


@pytest.mark.parametrize(
    ("n_images", "n_views", "options", "shift", "n_classes"),
    [
        (900, 1, {}, 0, 4),
        (450, 2, {"n_odd": 5}, 0, 4),
        (900, 1, {}, 100, 4),
        (900, 1, {}, 0, 60),
        (900, 1, {}, 0, 300),
        (60, 1, {}, 0, 4),
    ],
)
def test_refuses_too_little_memory_before_it_takes_any(
    monkeypatch, n_images, n_views, options, shift, n_classes
):
    for module in (cholesky, kernel_ridge):
        monkeypatch.setattr(module, "PANEL", 150)
    X, _ = samples(n_views, n_images, 8 if shift == 0 else 80)
    X, y = X + np.float32(shift), np.arange(n_images) % n_classes
    KernelRidgeScores(**options).fit(X[: 4 * n_views], y[:4], n_views)  # what is compiled at first
    n = len(X)
    tracemalloc.start()
    try:
        with pytest.raises(MemoryLimitError, match=rf"at least .* of {n} samples\. Got") as caught:
            KernelRidgeScores(memory_limit=10_000, **options).fit(X, y, n_views)
        before = tracemalloc.get_traced_memory()[1]
        assert before < 4 * 150 * n
        least = re.search("at least (.*?) for", str(caught.value))[1]
        assert "\n" not in str(caught.value)
        tracemalloc.reset_peak()
        KernelRidgeScores(memory_limit=least, **options).fit(X, y, n_views)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak <= parse_bytes(least) + 100_000  # Python's own objects
    assert parse_bytes(least) <= 1.6 * peak


def test_the_memory_there_is_limits_too(monkeypatch):
    X, y = samples()
    monkeypatch.setattr(kernel_ridge, "default_memory_limit", lambda: 1000)
    with pytest.raises(MemoryLimitError, match="Got 1000 B"):
        KernelRidgeScores().fit(X, y)
    monkeypatch.setattr(kernel_ridge, "default_memory_limit", lambda: None)
    KernelRidgeScores().fit(X, y)


def test_must_be_fitted():
    X, _ = samples()
    for call in (KernelRidgeScores().transform, KernelRidgeScores().transform_training):
        with pytest.raises(NotFittedError):
            call(X)


@pytest.mark.parametrize("shift", [0, 50])
def test_can_be_cloned_and_saved(new, shift):
    options = {
        "weight": 0.5, "penalty": 0.1, "gamma": 0.2, "n_odd": 2, "memory_limit": "1GB",
    }  # fmt: skip
    assert KernelRidgeScores(**options).get_params() == options
    X, y = samples(n_views=2)
    X += np.float32(shift)
    model = KernelRidgeScores(**options).fit(X, y, 2)
    assert content_hash(clone(model).fit(X, y, 2)) == content_hash(model)
    loaded = skops.io.loads(skops.io.dumps(model), trusted=kinds.TRUSTED)
    assert content_hash(loaded) == content_hash(model)
    np.testing.assert_array_equal(loaded.transform(new), model.transform(new))
    np.testing.assert_array_equal(loaded.transform_training(X), model.transform_training(X))
