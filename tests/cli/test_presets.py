"""The presets that come with the package."""

import json
import tomllib
from pathlib import Path

import pytest
from clirun import fail, run

from svmcifar.cli import feature_options, settings
from svmcifar.cli.train import command
from svmcifar.features.extract.patches import PatchFeatures
from svmcifar.features.pipeline import make_feature_pipeline
from svmcifar.features.settings import FeatureSettings
from svmcifar.model.persistence import read_manifest

NAMES = settings.preset_names()
each_preset = pytest.mark.parametrize("name", NAMES)


pytestmark = pytest.mark.usefixtures("folder")


def test_names_are_those_of_the_files():
    assert {"raw", "hog", "patches-small", "patches-best"} <= set(NAMES)
    folder = settings.preset_path("raw").parent
    assert sorted(path.name for path in folder.glob("*.toml")) == [f"{name}.toml" for name in NAMES]
    assert f"--preset [{'|'.join(NAMES)}]" in run("train", "--help")


@each_preset
def test_settings_reach_the_command(name):
    keys = tomllib.loads(settings.preset_path(name).read_text())
    assert keys
    params = command.make_context("train", ["--preset", name]).params
    for key, value in keys.items():
        expected = tuple(value) if isinstance(value, list) else value
        assert params[key.replace("-", "_")] == expected


@each_preset
def test_makes_a_pipeline(name, monkeypatch):
    made = []

    monkeypatch.setattr(FeatureSettings, "validate", lambda self: made.append(self))
    assert "nowhere" in fail("train", "--preset", name, "--data", "nowhere")
    (features,) = made
    monkeypatch.undo()
    pipeline = make_feature_pipeline(features)
    keys = tomllib.loads(settings.preset_path(name).read_text())
    assert ("pca" in pipeline.named_steps) == ("pca" in keys)
    if "pca" in keys:
        assert pipeline.named_steps["pca"].n_components == keys.get("ridge-pca", keys["pca"])
    steps = pipeline.named_steps
    source = pipeline[0].source if "augment" in keys else pipeline[0]
    parts = [part for _, part in source.transformers] if "stack" in steps else [source]
    patches = [part for part in parts if isinstance(part, PatchFeatures)]
    assert bool(patches) == ("patches" in keys["features"])
    for part in patches:
        assert part.n_filters == keys.get("filters", part.n_filters)
    assert [part.patch_size for part in patches] == keys.get("patch-size", [6] * len(patches))


@each_preset
def test_may_be_overruled_by_every_option(name):
    """What a preset sets does not stop another regularisation."""
    params = command.make_context("train", ["--preset", name, "--C", "0.125"]).params
    assert params["C"] == 0.125


def test_help_shows_its_settings(folder, monkeypatch):
    (folder / "preset.toml").write_text("C = 7.25\n")
    monkeypatch.setattr(settings, "preset_path", lambda name: folder / "preset.toml")
    assert "default: 7.25;" in run("train", "--preset", "hog", "--help")
    assert "default: 7.25;" not in run("train", "--help")


def test_unknown_preset():
    error = fail("train", "--preset", "best", exit_code=2)
    assert "Invalid value for '--preset': 'best' is not one of" in error
    for name in NAMES:
        assert f"'{name}'" in error


def test_what_a_preset_sets_of_other_features_gives_way(synthetic_folder):
    data = ("--data", synthetic_folder, "--overwrite")
    smaller = ("--pca", 10, "--ridge-pca", 20, "--preset", "patches-small")
    output = run("train", *smaller, "--features", "raw", *data)
    (taken,) = (line for line in output.splitlines() if line.startswith("settings"))
    assert taken == (
        "settings     preset patches-small: whiten 0.5, ridge-scores 0.8, augment flip, C 10"
    )
    assert read_manifest("model.skops").training.features.parameters == {}
    run("train", "--preset", "hog", "--pca", 10, "--ridge-scores", 0, "--augment", "none", *data)
    training = read_manifest("model.skops").training.to_dict()
    assert (training["ridge_components"], training["augment"]) == (None, None)


def test_config_over_preset_gives_way_too(synthetic_folder):
    Path("own.toml").write_text('features = ["raw"]\npca = 10\nridge-scores = 0\n')
    options = ("--preset", "patches-small", "--config", "own.toml")
    run("train", *options, "--data", synthetic_folder)
    training = read_manifest("model.skops").training.to_dict()
    assert (training["features"], training["ridge_components"]) == (["raw"], None)


def test_settings_of_one_file_must_fit_each_other():
    Path("own.toml").write_text('features = ["raw"]\nfilters = 10\n')
    error = fail("train", "--config", "own.toml", "--data", "nowhere")
    assert "--filters has no effect without --features patches" in error
    assert "from a preset or config with --features raw" in error


def test_options_must_fit_each_other_whatever_a_preset_says():
    error = fail("train", "--preset", "hog", "--filters", 9, "--data", "nowhere")
    assert "--filters has no effect without --features patches. Got 9 with" in error


def test_published_results_are_those_of_the_presets():
    published = Path(__file__).parents[2] / "docs" / "benchmarks" / "presets.json"
    runs = [run for run in json.loads(published.read_text())["runs"] if run["limit"] is None]
    assert {run["preset"] for run in runs} == set(NAMES)
    for result in runs:
        preset = tomllib.loads(settings.preset_path(result["preset"]).read_text())
        n_views = {None: 1, "flip": 1, "flip-shift": 2}[preset.get("augment")]
        if "augment" in preset and result["created"] < "2026-11-29":  # mirror images had rows
            n_views *= 2
        n_features = preset.get("pca", 3072) + (100 if "ridge-scores" in preset else 0)
        fit = result["fit"]
        assert (fit["n_samples"], fit["n_features"]) == (50_000 * n_views, n_features)


def test_preset_in_the_manifest(synthetic_folder):
    arguments = ["--data", synthetic_folder, "--limit", 100, "--overwrite"]
    output = run("train", "--preset", "raw", "--C", 3, *arguments)
    assert "settings     preset raw: features raw\n" in output
    training = read_manifest("model.skops").training.to_dict()
    assert (training["preset"], training["parameters"]["C"]) == ("raw", 3.0)
    assert "settings " not in run("train", *arguments)
    assert read_manifest("model.skops").training.preset is None
    output = run("train", "--preset", "raw", *arguments)
    assert "settings     preset raw: features raw, C 10\n" in output


@each_preset
def test_preset_sets_only_features_that_it_computes(name):
    keys = tomllib.loads(settings.preset_path(name).read_text())
    for option, of_kind in feature_options._KIND_OPTIONS.items():
        if option.replace("_", "-") in keys:
            assert of_kind.kind in keys["features"]
