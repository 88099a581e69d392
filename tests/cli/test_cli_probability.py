"""Probabilities from training to predictions and scores."""

import json

import numpy as np
import pandas as pd
import pytest
from clirun import fail, run
from datafiles import to_pictures
from PIL import Image

from svmcifar.model.persistence import load_model, save_model
from svmcifar.svm.estimator import RBFSVC

pytestmark = pytest.mark.usefixtures("folder")


@pytest.fixture(scope="module")
def model_path(train_small, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "model.skops"
    svc = RBFSVC(C=10.0, probability=True, backend="numba")
    save_model(train_small(svc, n_components=12, augment="flip", label_kind="fine"), path)
    return path


@pytest.fixture(scope="module")
def probabilities(model_path, synthetic_data):
    """Of the test images, by the estimator itself."""
    model = load_model(model_path)
    X = model.compute_features(synthetic_data.read_split("test").images)
    return model.svc.predict_proba(X)


def test_train_makes_the_model_of_the_estimator(model_path, synthetic_folder):
    settings = ["--labels", "fine", "--C", "10", "--pca", "12", "--augment", "flip"]
    run("train", "--data", synthetic_folder, *settings, "--probability")
    one, other = load_model("model.skops"), load_model(model_path)
    np.testing.assert_array_equal(one.svc.probA_, other.svc.probA_)
    assert one.manifest.content_hash == other.manifest.content_hash
    assert "probability=True" in run("info", "model.skops")


def test_evaluate_scores_the_probabilities(
    model_path, synthetic_folder, synthetic_data, probabilities, folder
):
    output = run("evaluate", model_path, "--data", synthetic_folder, "--json", "s.json")
    content = json.loads((folder / "s.json").read_text())
    test = synthetic_data.read_split("test")
    y, superclasses = test.labels["fine"], test.labels["coarse"]
    scores, upper = content["scores"], content["superclass_scores"]
    own = probabilities[np.arange(200), y]
    assert scores["log_loss"] == pytest.approx(-np.log(own).mean(), rel=1e-9)
    assert scores["temperatures"] is None
    of = synthetic_data.superclass_of
    summed = np.stack([probabilities[:, of == c].sum(axis=1) for c in range(20)], axis=1)
    own = summed[np.arange(200), superclasses]
    assert upper["log_loss"] == pytest.approx(-np.log(own).mean(), rel=1e-9)
    assert f"log loss {upper['log_loss']:.4f} nats\n" in output
    assert "(nats; of the probabilities)" in output
    assert "calibr. error" in output
    assert "confident half" in output


def test_predict_the_most_probable_classes(
    model_path, synthetic_folder, synthetic_data, probabilities
):
    run("predict", model_path, "--data", synthetic_folder, "--top", 3, "--out", "p.csv")
    table = pd.read_csv("p.csv")
    ranks = [f"top{rank}_{part}" for rank in (1, 2, 3) for part in ("id", "name", "probability")]
    plain = ["index", "file", "predicted_id", "predicted_name"]
    assert list(table) == [*plain, *ranks, "true_id", "true_name"]
    names = np.array(synthetic_data.class_names("fine"))
    ordered = np.sort(probabilities, axis=1)[:, ::-1]
    for rank in (1, 2, 3):
        ids = table[f"top{rank}_id"]
        assert table[f"top{rank}_name"].tolist() == names[ids].tolist()
        p = table[f"top{rank}_probability"]
        np.testing.assert_allclose(p, probabilities[np.arange(200), ids], atol=1e-6)
        np.testing.assert_allclose(p, ordered[:, rank - 1], atol=1e-6)
    run("predict", model_path, "--data", synthetic_folder, "--out", "plain.csv")
    without = pd.read_csv("plain.csv")
    assert list(without) == [*plain, "true_id", "true_name"]
    assert without.predicted_id.tolist() == table.predicted_id.tolist()


def test_predict_the_most_probable_classes_of_files(model_path, synthetic_data, probabilities):
    Image.fromarray(to_pictures(synthetic_data.read_split("test").images[:1])[0]).save("a.png")
    header, line = run("predict", model_path, "a.png", "--top", 200).splitlines()
    assert header.startswith("file,predicted_id,predicted_name,top1_id,top1_name,top1_probability,")
    assert header.endswith(",top100_id,top100_name,top100_probability")
    cells = dict(zip(header.split(","), line.split(","), strict=True))
    assert float(cells["top1_probability"]) == pytest.approx(probabilities[0].max(), abs=1e-6)
    assert int(cells["top1_id"]) == probabilities[0].argmax()


def test_top_needs_probabilities(train_small, synthetic_folder, folder):
    save_model(train_small(), "m.skops")
    error = fail("predict", "m.skops", "--data", synthetic_folder, "--top", 3)
    assert error == (
        "Error: The most probable classes need a model with probabilities. Got one without. "
        "Train one with 'svmcifar train --probability'."
    )
    assert not (folder / "predictions.csv").exists()
    assert "0 is not in the range" in fail("predict", "m.skops", "--top", 0, exit_code=2)
