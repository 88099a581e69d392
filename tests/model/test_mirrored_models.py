"""Classifiers with augmentation: mirror images that are implied, written out, or views of old."""

from dataclasses import replace

import numpy as np
import pytest
from devices import stand_in_for_gpu
from feature_options import ALL, PATCH_SCORES, SCORES, quick_features
from older_models import as_before

from svmcifar import RBFSVC, SVC
from svmcifar.features.extract.image_rows import mirror
from svmcifar.features.fitting import compute_features
from svmcifar.features.pipeline import count_odd
from svmcifar.model.description import describe_manifest
from svmcifar.model.manifest import Manifest
from svmcifar.model.persistence import load_model, model_content_hash, save_model
from svmcifar.svm.backends.registry import BACKENDS
from svmcifar.svm.both_images import with_mirror_rows

TOL = 1e-6
WIDE = {**PATCH_SCORES, "ridge_components": 40}


@pytest.fixture(scope="module", autouse=True)
def _quick_features():
    with quick_features():
        yield


@pytest.fixture(scope="module")
def test_images(synthetic_data):
    return synthetic_data.read_split("test").images


@pytest.fixture
def without_implied(monkeypatch):
    """A backend that cannot imply mirror images."""
    numba = replace(BACKENDS["numba"], implies_mirror_images=False)
    monkeypatch.setitem(BACKENDS, "numba", numba)


def pairs(model, images):
    """Decision values of the pairs."""
    model.svc.decision_function_shape = "ovo"
    return model.predict_with_decisions(images)[1]


@pytest.mark.parametrize("options", [ALL, SCORES, {**WIDE, "augment": "flip"}])
def test_the_model_is_that_of_both_images(train_small, test_images, synthetic_data, options):
    """The same features with mirror images as rows of their own."""
    model = train_small(RBFSVC(C=5.0, tol=TOL), **options)
    train = synthetic_data.read_split("train")
    X = model.compute_training_features(train.images)
    n_views = len(X) // len(train.images)
    assert n_views == (2 if options["augment"] == "flip-shift" else 1)
    n_odd = count_odd(model.features)
    assert 0 < model.svc.n_odd_ == n_odd < X.shape[1]
    both = np.repeat(X, 2, axis=0)
    both[1::2, -n_odd:] *= -1
    y = np.repeat(train.labels["coarse"], 2 * n_views)
    explicit = RBFSVC(C=5.0, tol=TOL).fit(both, y)
    expected = replace(model, svc=explicit)
    predicted = model.predict(test_images)
    assert len(predicted) == len(test_images) == len(model.compute_features(test_images))
    assert (predicted == expected.predict(test_images)).mean() > 0.99  # but for ties
    found = pairs(model, test_images)
    np.testing.assert_allclose(found, pairs(expected, test_images), rtol=0, atol=1e-4)
    mirrored = pairs(model, mirror(test_images))
    np.testing.assert_allclose(mirrored, found, rtol=0, atol=2e-5)
    np.testing.assert_array_equal(model.predict(mirror(test_images)), predicted)


@pytest.mark.parametrize("augment", ["flip", "flip-shift"])
@pytest.mark.parametrize("slim", [False, True])
def test_other_kernels_have_mirror_images_written_out(
    train_small, synthetic_data, test_images, tmp_path, augment, slim
):
    svc = SVC(kernel="laplacian", gamma=0.02, tol=TOL)
    model = train_small(svc, limit=200, kinds=("means",), n_components=12, augment=augment)
    n_rows = 2 * 200 if augment == "flip" else 4 * 200
    assert (model.svc.n_odd_, model.svc.shape_fit_[0]) == (0, n_rows)
    images = synthetic_data.read_split("train").images[model.manifest.training.rows]
    X = model.compute_training_features(images)
    n_odd = count_odd(model.features)
    np.testing.assert_array_equal(X[1::2, :-n_odd], X[::2, :-n_odd])
    np.testing.assert_array_equal(X[1::2, -n_odd:], -X[::2, -n_odd:])
    np.testing.assert_array_equal(X[model.svc.support_], model.svc.support_vectors_)
    save_model(model, tmp_path / "m.skops", slim=slim)
    again = load_model(tmp_path / "m.skops", synthetic_data)
    assert model_content_hash(again) == model_content_hash(model)
    found = pairs(again, test_images)
    assert len(found) == len(test_images)
    mirrored = pairs(again, mirror(test_images))
    np.testing.assert_allclose(mirrored, found, rtol=0, atol=50 * TOL)
    assert not np.array_equal(again.compute_features(test_images), X[: len(test_images)])


def test_a_backend_that_cannot_imply_them(train_small, test_images, request):
    options = {**SCORES, "limit": 300}
    expected = train_small(RBFSVC(tol=TOL, backend="numba"), **options)
    request.getfixturevalue("without_implied")
    model = train_small(RBFSVC(tol=TOL, backend="numba"), **options)
    assert (expected.svc.n_odd_ > 0, model.svc.n_odd_) == (True, 0)
    assert model.svc.shape_fit_[0] == 2 * expected.svc.shape_fit_[0] == 4 * 300
    np.testing.assert_allclose(
        pairs(model, test_images), pairs(expected, test_images), rtol=0, atol=1e-4
    )


@pytest.mark.parametrize(
    ("kernel", "augment", "asked"),
    [
        ("rbf", None, ([10] * 20, 12, 1)),
        ("rbf", "flip", ([10] * 20, 12, 2)),
        ("rbf", "flip-shift", ([20] * 20, 12, 2)),
        ("linear", "flip-shift", ([40] * 20, 12, 1)),
    ],
)
def test_memory_is_asked_for_before_features(train_small, monkeypatch, kernel, augment, asked):
    """For the rows that there are, and both products of kernel values that imply others."""
    seen = []

    def spy(sizes, n_features, n_workers, limit, n_products):
        seen.append((sizes, n_features, n_products))

    monkeypatch.setitem(BACKENDS, "numba", replace(BACKENDS["numba"], check_memory=spy))
    options = {"limit": 200, "kinds": ("means",), "n_components": 12, "augment": augment}
    train_small(SVC(kernel=kernel), **options)
    assert seen == [asked]


def test_without_odd_components_mirror_images_are_equal(train_small):
    """They are samples even so: C is for both."""
    model = train_small(limit=200, kinds=("means",), n_components=1, augment="flip")
    assert count_odd(model.features) == 0
    assert model.svc.shape_fit_ == (400, 1)


def test_rows_of_mirror_images():
    X = np.arange(12, dtype=np.float32).reshape(2, 6)
    rows = with_mirror_rows(X, 2)
    expected = [X[0], X[0] * [1, 1, 1, 1, -1, -1], X[1], X[1] * [1, 1, 1, 1, -1, -1]]
    np.testing.assert_array_equal(rows, expected)
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(with_mirror_rows(X, 0), X[[0, 0, 1, 1]])


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning:array_api_strict")
def test_rows_are_written_out_on_a_device(train_small, monkeypatch, test_images):
    _, solved = stand_in_for_gpu(monkeypatch)
    cupy = replace(BACKENDS["cupy"], implies_mirror_images=False)
    monkeypatch.setitem(BACKENDS, "cupy", cupy)
    options = {"limit": 200, "kinds": ("means",), "n_components": 12, "augment": "flip"}
    model = train_small(RBFSVC(tol=TOL, backend="cupy"), **options)
    assert [problem.samples.X.shape for problem in solved] == [(400, 12)]
    expected = train_small(RBFSVC(tol=TOL), **options)
    np.testing.assert_allclose(
        pairs(model, test_images), pairs(expected, test_images), rtol=0, atol=1e-2
    )


@pytest.mark.parametrize("augment", ["flip", "flip-shift"])
@pytest.mark.parametrize("slim", [False, True])
def test_models_of_before_average_over_both_images(
    train_small, synthetic_data, test_images, tmp_path, augment, slim
):
    new = train_small(limit=200, **{**SCORES, "augment": augment})
    older = as_before(new, synthetic_data)
    assert older.svc.shape_fit_[0] == 200 * (2 if augment == "flip" else 4)
    save_model(older, tmp_path / "m.skops", slim=slim)
    older = load_model(tmp_path / "m.skops", synthetic_data)
    svc = older.svc
    svc.decision_function_shape = "ovo"
    views = [
        svc.decision_function(compute_features(older.features, images))
        for images in (test_images, mirror(test_images))
    ]
    np.testing.assert_allclose(pairs(older, test_images), np.mean(views, axis=0), atol=1e-5)
    assert np.abs(views[0] - views[1]).max() > 0.1
    support = older.svc.support_
    assert set(support % 2) == {0, 1}


def test_what_is_said_of_the_samples(train_small, synthetic_data):
    """Implied mirror images are no samples."""
    said = "200 x 3072, images and mirror images, drawn"
    implied = "200 x 6144, images, which imply their mirror images, drawn"
    new = train_small(limit=200, augment="flip")
    assert describe_manifest(new.manifest)["samples"] == implied
    again = Manifest.from_dict(new.manifest.to_dict())
    assert again.fit.n_odd == 3072
    older = as_before(new, synthetic_data)
    assert describe_manifest(older.manifest)["samples"] == said.replace("200", "400", 1)
    assert "n_odd" not in older.manifest.to_dict()["fit"]
