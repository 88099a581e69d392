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
from svmcifar.compare.predictions import answer_by_svm
from svmcifar.features import cache as cache_module
from svmcifar.features import pipeline as pipeline_module
from svmcifar.model.evaluate import evaluate_classifier
from svmcifar.model.persistence import load_model, read_manifest, save_model
from svmcifar.svm.estimator import RBFSVC

SETTINGS = {"features": ("means",), "n_components": 8, "whiten": 0.5, "augment": "flip-shift"}


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
        right = getattr(pipeline_module, name)

        def record(*args):
            done.append(name.strip("_").partition("_")[0])
            return right(*args)

        monkeypatch.setattr(pipeline_module, name, record)

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
    hashes = [model.manifest["content_hash"] for model in (plain, first, again)]
    assert hashes[0] == hashes[2] != hashes[1]
    assert "cached_s" not in first.manifest["times"]
    cached_s, features_s = (
        again.manifest["times"]["cached_s"],
        again.manifest["times"]["features_s"],
    )
    assert 0 < cached_s < features_s


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


def test_answers_take_as_long_as_without_a_cache(train_quick, synthetic_data, cache, monkeypatch):
    model = train_quick()
    model.cache = cache
    # More than it warms up with.
    images = np.tile(synthetic_data.read_split("test").images, (2, 1))
    coarse_of_fine = np.array(model.coarse_of_fine)
    keep = cache._keep
    monkeypatch.setattr(cache, "_keep", lambda key, seconds, *rest: keep(key, 1e4, *rest))
    first = answer_by_svm(model, images, coarse_of_fine)
    assert first.features_s < first.inference_s < 1e4
    again = answer_by_svm(model, images, coarse_of_fine)
    assert 1e4 < again.features_s < again.inference_s < 2e4
    np.testing.assert_array_equal(again.coarse, first.coarse)


def test_evaluation_takes_as_long_as_without_a_cache(
    train_quick, synthetic_data, cache, monkeypatch
):
    model = train_quick()
    model.cache = cache
    keep = cache._keep
    monkeypatch.setattr(cache, "_keep", lambda key, seconds, *rest: keep(key, 1e4, *rest))
    first, again = (evaluate_classifier(model, synthetic_data) for _ in range(2))
    assert first.predict_s < 1e4 < again.predict_s < 2e4
    assert again.scores.accuracy == first.scores.accuracy


@pytest.mark.parametrize("dtype", [None, "float32", "float16"])
def test_manifest_tells_what_features_were_rounded_to(train_quick, tmp_path, dtype):
    cache = None if dtype is None else open_at(tmp_path, dtype=dtype)
    training = train_quick(cache=cache).manifest["training"]
    assert training["feature_dtype"] == (dtype or "float32")


@pytest.mark.parametrize("form", [(), ("--slim",)])
def test_commands(synthetic_folder, cache, computed, form):
    data = ("--data", synthetic_folder)
    options = ("--features", "hog", "--limit", 200, *form, *data)
    run("train", *options, "--C", 2)
    run("train", *options, "--C", 3, "--overwrite", "--jobs", 1)
    assert computed == ["fit", "compute"]
    assert read_manifest("model.skops")["times"]["cached_s"] > 0
    run("evaluate", "model.skops", *data, "--json", "scores.json")
    assert computed == ["fit", "compute", "compute"]
    run("evaluate", "model.skops", *data, "--json", "again.json")
    run("predict", "model.skops", *data)
    assert computed == ["fit", "compute", "compute"]
    with open("scores.json") as one, open("again.json") as other:
        scores, again = json.load(one), json.load(other)
    assert scores["scores"] == again["scores"]
    run("show", "model.skops", *data)
    assert computed == ["fit", "compute", "compute", "compute"]
    run("show", "model.skops", *data, "--overwrite")
    assert len(computed) == 4


def test_compare(train_quick, synthetic_data, synthetic_folder, cache, computed, monkeypatch):
    network = make_network(Path("a.pth"), 0, make_card(synthetic_data))
    monkeypatch.setattr("svmcifar.cnn.checkpoint.load_network", lambda *_: network)
    save_model(train_quick(), "svm.skops")
    computed.clear()
    arguments = ("--cnn", "a.pth", "--svm", "svm.skops", "--data", synthetic_folder)
    run("compare", *arguments, "--out", "first")
    run("compare", *arguments, "--out", "again")
    assert computed == ["compute"]
    run("compare", *arguments, "--out", "without", "--no-cache")
    assert computed == ["compute"] * 3  # it warms up


def test_commands_say_what_the_cache_did(synthetic_folder, cache):
    command = ["train", "--data", str(synthetic_folder), "--limit", "200", "--overwrite"]
    first, again = (CliRunner().invoke(main, command).stderr for _ in range(2))
    assert f" kept in {cache.folder.path} (see 'svmcifar cache')" in first
    assert "computing features saved" not in first
    assert " s of computing features saved" in again
    assert "kept in" not in again


def test_no_cache(synthetic_folder, cache, computed):
    options = ("--no-cache", "--data", synthetic_folder)
    for _ in range(2):
        run("train", "--limit", 200, *options, "--overwrite")
        run("evaluate", "model.skops", *options)
    assert computed == ["fit", "compute", "compute"] * 2
    assert not cache.folder.path.exists()


def test_settings_that_are_none_are_told_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SVMCIFAR_CACHE_LIMIT", "much")
    assert "$SVMCIFAR_CACHE_LIMIT must be 0" in fail("train", "--data", tmp_path)
