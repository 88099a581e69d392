import json
import os
import re

import numpy as np
import pytest
from devices import on_device, stand_in_for_gpu
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from svmcifar.compute.memory import parse_bytes
from svmcifar.compute.threads import count_workers
from svmcifar.errors import MemoryLimitError
from svmcifar.model import train
from svmcifar.model.evaluate import evaluate_classifier
from svmcifar.model.persistence import load_model, save_model
from svmcifar.svm.estimator import RBFSVC, WITHOUT_EFFECT


def test_equals_scikit_learn_step_by_step(train_small, synthetic_data):
    model = train_small(RBFSVC(C=2.0, tol=1e-6))
    train, test = synthetic_data.read_split("train"), synthetic_data.read_split("test")
    scaler = StandardScaler().fit(train.images / 255.0)
    svc = SVC(C=2.0, tol=1e-6).fit(scaler.transform(train.images / 255.0), train.labels["coarse"])
    X = scaler.transform(test.images / 255.0)
    predictions, decisions = model.predict_with_decisions(test.images)
    np.testing.assert_array_equal(predictions, svc.predict(X))
    np.testing.assert_allclose(decisions, svc.decision_function(X), atol=2e-4)
    assert (
        predictions == test.labels["coarse"]
    ).mean() > 0.1  # twice chance: it has learnt something


@pytest.mark.parametrize("augment", [None, "flip"])
@pytest.mark.parametrize("backend", ["numba", "sklearn", "auto"])
def test_a_memory_limit_is_refused_before_features(train_small, monkeypatch, backend, augment):
    monkeypatch.setattr(train, "fit_transform_features", lambda *_, **__: pytest.fail("too late"))
    limit = 8 * 50 - 1  # LIBSVM keeps two kernel rows, of float32, of 50 images in two classes
    with pytest.raises(MemoryLimitError, match="The memory limit must be at least"):
        train_small(RBFSVC(backend=backend, memory_limit=limit), augment=augment)


@pytest.mark.parametrize(
    "features",
    [{}, {"kinds": ["hog"], "n_components": 20, "ridge_scores": 0.5}, {"augment": "flip"}],
)
def test_the_least_that_is_named_before_features_does(train_small, monkeypatch, features):
    with monkeypatch.context() as patch:
        patch.setattr(train, "fit_transform_features", lambda *_, **__: pytest.fail("too late"))
        with pytest.raises(MemoryLimitError) as caught:
            train_small(RBFSVC(memory_limit=1, n_jobs=2), **features)
    least = parse_bytes(re.search(r"at least (.+?) for", str(caught.value))[1])
    train_small(RBFSVC(memory_limit=least, n_jobs=2), **features)
    with pytest.raises(MemoryLimitError):
        train_small(RBFSVC(memory_limit=int(0.99 * least), n_jobs=2), **features)


@pytest.mark.parametrize(("kind", "n_classes"), [("coarse", 20), ("fine", 100)])
def test_class_names_follow_the_labels(train_small, synthetic_data, kind, n_classes):
    model = train_small(label_kind=kind)
    assert model.class_names == list(synthetic_data.class_names(kind))
    assert len(model.svc.classes_) == n_classes
    assert model.manifest.fit.n_pairs == n_classes * (n_classes - 1) // 2
    train = synthetic_data.read_split("train")
    assert np.array(model.superclass_of)[train.classes].tolist() == train.labels["coarse"].tolist()


@pytest.mark.parametrize(("augment", "n_views"), [(None, 1), ("flip", 1), ("flip-shift", 2)])
def test_probabilities_take_the_views_of_an_image_for_one_sample(
    train_small, synthetic_data, augment, n_views
):
    model = train_small(RBFSVC(probability=True), n_components=12, augment=augment)
    train = synthetic_data.read_split("train")
    X = model.compute_training_features(train.images)
    y, n_odd = np.repeat(train.labels["coarse"], n_views), model.svc.n_odd_
    expected = RBFSVC(probability=True).fit(X, y, n_views=n_views, n_odd=n_odd)
    np.testing.assert_array_equal(model.svc.probA_, expected.probA_)
    np.testing.assert_array_equal(model.svc.probB_, expected.probB_)


def test_manifest_tells_how_it_was_made(train_small, synthetic_data):
    model = train_small(RBFSVC(C=3.0, gamma=0.001), n_components=20, limit=300, seed=5)
    manifest = json.loads(json.dumps(model.manifest.to_dict()))
    assert manifest["data"] == {
        "label": "SYNTHETIC stand-in",
        "synthetic": True,
        "md5s": synthetic_data.md5s,
        "image_shape": [3, 32, 32],
    }
    assert model.is_synthetic
    assert manifest["training"]["parameters"]["C"] == 3.0
    assert not set(WITHOUT_EFFECT) & set(manifest["training"]["parameters"])
    assert manifest["training"]["seed"] == 5
    assert len(manifest["training"]["rows"]) == 300
    assert manifest["fit"]["n_samples"] == 300
    assert manifest["fit"]["n_features"] == 20
    assert manifest["fit"]["gamma"] == 0.001
    assert manifest["fit"]["unconverged_pairs"] == 0
    assert 0 < manifest["fit"]["largest_gap"] <= 1e-3
    assert manifest["fit"]["n_iter"] == model.svc.n_iter_.sum()
    assert manifest["fit"]["memory_plan"] == model.svc.memory_plan_
    assert manifest["versions"]["scikit-learn"]
    assert set(manifest["times"]) == {
        "features_s", "features_cpu_s", "fit_s", "fit_cpu_s", "n_threads",
    }  # fmt: skip
    assert all(value > 0 for value in manifest["times"].values())
    assert manifest["times"]["n_threads"] == count_workers(None)
    assert manifest["host"]["cores"] == os.cpu_count()


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning:array_api_strict")
def test_images_go_to_the_gpu_once(train_small, synthetic_data, monkeypatch, tmp_path):
    """From bytes to the solved problem, and in prediction, nothing comes back in between."""
    sent, solved = stand_in_for_gpu(monkeypatch)
    model = train_small(RBFSVC(tol=1e-6, backend="cupy"), limit=300)
    here = train_small(RBFSVC(tol=1e-6), limit=300)
    assert [(images.dtype, images.shape) for images in sent] == [(np.uint8, (300, 3072))]
    assert len(solved) == 1
    np.testing.assert_allclose(model.svc.objective_, here.svc.objective_, rtol=1e-4)

    save_model(model, tmp_path / "model.skops")
    model = load_model(tmp_path / "model.skops")
    images = synthetic_data.read_split("test").images
    expected, values = here.predict_with_decisions(images)
    for inputs in (images, on_device(images)):
        predicted, decisions = model.predict_with_decisions(inputs)
        np.testing.assert_allclose(decisions, values, rtol=0, atol=1e-2)
        assert (predicted == expected).mean() > 0.98
        np.testing.assert_array_equal(model.predict(inputs), predicted)
    on_gpu = evaluate_classifier(model, synthetic_data, on_gpu=True)
    assert len(sent) == 2
    here = evaluate_classifier(model, synthetic_data)
    assert len(sent) == 2
    np.testing.assert_allclose(on_gpu.scores.accuracy, here.scores.accuracy, atol=0.01)


def test_shuffled_test_labels_give_chance(train_small, synthetic_data):
    test = synthetic_data.read_split("test")
    shuffled = np.random.default_rng(0).permutation(test.labels["coarse"])
    assert (train_small().predict(test.images) == shuffled).mean() < 0.15
