"""The feature cache in training, prediction and the commands."""

import json
from pathlib import Path

import numpy as np
import pytest
from cached_features import open_at
from click.testing import CliRunner
from clirun import fail, run
from contestants import make_card, make_network
from feature_options import quick_features

from svmcifar.cli import main
from svmcifar.compare.predictions import predict_by_svm
from svmcifar.features import cache as cache_module
from svmcifar.features import fitting
from svmcifar.features.cache_folder import list_entries
from svmcifar.model.evaluate import evaluate_classifier
from svmcifar.model.persistence import load_model, read_manifest, save_model
from svmcifar.svm.estimator import RBFSVC

SETTINGS = {"kinds": ("means",), "n_components": 8, "whiten": 0.5, "augment": "flip-shift"}


@pytest.fixture(scope="module", autouse=True)
def _quick_features():
    with quick_features():
        yield


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """What commands open: it keeps whatever is computed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cache_module, "open_cache", lambda: open_at(tmp_path / "cache"))
    return open_at(tmp_path / "cache")


@pytest.fixture
def computed(monkeypatch):
    """Lists what is computed."""
    done = []

    def recorded(name):
        right = getattr(fitting, name)

        def record(*args):
            done.append(name.strip("_").partition("_")[0])
            return right(*args)

        monkeypatch.setattr(fitting, name, record)

    recorded("fit_features")
    recorded("_compute_views")
    return done


@pytest.fixture(scope="module")
def train_quick(train_small):
    return lambda svc=None, **settings: train_small(svc, **(SETTINGS | settings))


@pytest.mark.parametrize("ridge_scores", [0.0, 0.8])
def test_training_again_computes_nothing(train_quick, cache, computed, tmp_path, ridge_scores):
    settings = {"limit": 500, "ridge_scores": ridge_scores}
    plain = train_quick(RBFSVC(C=3.0), **settings)
    first = train_quick(RBFSVC(C=2.0), **settings, cache=cache)
    assert computed == ["fit", "compute"] * 2
    again = train_quick(RBFSVC(C=3.0), **settings, cache=cache)
    assert computed == ["fit", "compute"] * 2
    for model in (plain, first, again):
        save_model(model, tmp_path / "model.skops", overwrite=True)
    hashes = [model.manifest.content_hash for model in (plain, first, again)]
    assert hashes[0] == hashes[2] != hashes[1]
    assert "features_found" not in first.manifest.times
    assert again.manifest.times["features_found"] is True


def test_model_file_has_nothing_of_the_cache(train_quick, cache, tmp_path):
    model = train_quick(cache=cache)
    model.cache = cache
    save_model(model, tmp_path / "model.skops")
    assert load_model(tmp_path / "model.skops").cache is None
    assert load_model(tmp_path / "model.skops", cache=cache).cache is cache


def test_slim_model_takes_its_vectors_from_the_cache(
    train_quick, synthetic_data, cache, computed, tmp_path
):
    model = train_quick(ridge_scores=0.8, cache=cache)
    save_model(model, tmp_path / "slim.skops", slim=True)
    computed.clear()
    again = load_model(tmp_path / "slim.skops", synthetic_data, cache)
    assert computed == []
    np.testing.assert_array_equal(again.svc.support_vectors_, model.svc.support_vectors_)


def test_answers_are_timed_without_the_cache(train_quick, synthetic_data, cache, computed):
    model = train_quick()
    model.cache = cache
    images = synthetic_data.read_split("test").images
    model.compute_features(images)
    computed.clear()
    predict_by_svm(model, images, np.array(model.superclass_of))
    assert computed == ["compute"] * 2  # it warms up
    assert model.cache is cache


def test_evaluation_finds_its_features(train_quick, synthetic_data, cache, computed):
    model = train_quick()
    model.cache = cache
    computed.clear()
    first, again = (evaluate_classifier(model, synthetic_data) for _ in range(2))
    assert computed == ["compute"]
    assert again.scores.accuracy == first.scores.accuracy


@pytest.mark.parametrize("form", [(), ("--slim",)])
def test_commands(synthetic_folder, cache, computed, form):
    data = ("--data", synthetic_folder)
    options = ("--features", "hog", "--limit", 200, *form, *data)
    run("train", *options, "--C", 2)
    run("train", *options, "--C", 3, "--overwrite", "--jobs", 1)
    assert computed == ["fit", "compute", "compute"]  # of images that were left out, too
    assert read_manifest("model.skops").times["features_found"] is True
    run("evaluate", "model.skops", *data, "--json", "scores.json")
    assert computed == ["fit", *["compute"] * 3]
    run("evaluate", "model.skops", *data, "--json", "again.json")
    run("predict", "model.skops", *data)
    assert computed == ["fit", *["compute"] * 3]
    with open("scores.json") as one, open("again.json") as other:
        scores, again = json.load(one), json.load(other)
    assert scores["scores"] == again["scores"]
    run("show", "model.skops", *data)
    assert computed == ["fit", *["compute"] * 4]
    run("show", "model.skops", *data, "--overwrite")
    assert len(computed) == 5


def test_compare(train_quick, synthetic_data, synthetic_folder, cache, computed, monkeypatch):
    network = make_network(Path("a.pth"), 0, make_card(synthetic_data))
    monkeypatch.setattr("svmcifar.cnn.checkpoint.load_network", lambda *_, **__: network)
    save_model(train_quick(), "svm.skops")
    computed.clear()
    arguments = ("--cnn", "a.pth", "--svm", "svm.skops", "--data", synthetic_folder)
    run("compare", *arguments, "--out", "first")
    assert computed == ["compute"] * 2  # it warms up
    for _ in range(2):
        save_model(train_quick(cache=cache), "svm.skops", slim=True, overwrite=True)
    computed.clear()
    run("compare", *arguments, "--out", "slim")
    assert computed == ["compute"] * 2
    for folder, found in (("first", False), ("slim", True)):
        svm = json.loads(Path(folder, "report.json").read_text())["models"][-1]
        assert svm["cost"]["training_hardware"].endswith("features found in the cache") is found
    run("compare", *arguments, "--out", "without", "--no-cache")
    assert computed == ["compute"] * 5


def test_commands_say_what_the_cache_did(synthetic_folder, cache):
    command = ["train", "--data", str(synthetic_folder), "--limit", "200", "--overwrite"]
    first, again = (CliRunner().invoke(main, command).stderr for _ in range(2))
    assert f" kept in {cache.folder} (see 'svmcifar cache')" in first
    assert "features found" not in first
    assert f"cache: features found in {cache.folder}, not computed" in again
    assert "kept in" not in again


def test_no_cache(synthetic_folder, cache, computed):
    options = ("--no-cache", "--data", synthetic_folder)
    for _ in range(2):
        run("train", "--limit", 200, *options, "--overwrite")
        run("evaluate", "model.skops", *options)
    assert computed == ["fit", "compute", "compute", "compute"] * 2
    assert list_entries(cache.folder) == []


def test_settings_that_are_none_are_told_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SVMCIFAR_CACHE_LIMIT", "much")
    assert "$SVMCIFAR_CACHE_LIMIT must be 0" in fail("train", "--data", tmp_path)
