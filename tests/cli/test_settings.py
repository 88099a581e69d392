"""Settings of `svmcifar train` from configs and presets: precedence, and what is refused."""

import tomllib

import click
import pytest
from click.core import ParameterSource
from clirun import fail, run
from configs import on_command_line, write

from svmcifar.cli import settings
from svmcifar.cli.train import command
from svmcifar.model.persistence import read_manifest

# Of each setting: values in a preset, in a config and on the command line.
VALUES = {
    "labels": ("fine", "coarse", "fine"),
    "features": (["hog"], ["raw", "hog"], ["patches", "raw"]),
    "filters": (10, 20, 30),
    "patch-size": ([4], [5, 8], [7, 6]),
    "pooling": (2, 4, 5),
    "cells": ("overlapping", "apart", "overlapping"),
    "threshold": (0.5, 0, 2.25),
    "filter-kind": ("random", "kmeans", "random"),
    "layers": (1, 2, 1),
    "hog-cell": (8, 2, 16),
    "hog-orientations": (8, 6, 12),
    "pca": (10, 20, 30),
    "whiten": (0.25, 1, 0),
    "ridge-scores": (0.5, 1, 0),
    "ridge-pca": (10, 20, 30),
    "ridge-kernel": ("rbf", "linear", "rbf"),
    "augment": ("flip", "flip-shift", "flip"),
    "C": (10, 2.5, 1e-05),
    "gamma": ("auto", 1e-3, "scale"),
    "kernel": ("poly", "linear", "rbf"),
    "degree": (2, 3, 4),
    "coef0": (0.5, 1.0, -1.0),
    "tol": (1e-4, 0.5, 1e-2),
    "max-iter": (1000, 2000, 3000),
    "class-weight": ("balanced", "balanced", "balanced"),
    "limit": (100, 200, 300),
    "seed": (1, 2, 3),
    "searched": (48, 1, 2),
}
OF_THE_RUN = [
    "backend", "config", "dask", "data", "dataset", "resize", "resume", "jobs", "label-csv",
    "memory-limit", "no-cache", "out", "overwrite", "preset", "probability", "quiet", "skip-md5",
    "slim", "split-seed", "strict", "track", "verbose",
]  # fmt: skip
PARAMETERS = {option.opts[0].removeprefix("--"): option.name for option in command.params}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Each test works in an empty folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SVMCIFAR_DATA", raising=False)
    return tmp_path


def parsed(*arguments):
    return command.make_context("train", [str(a) for a in arguments])


def same(value, expected):
    """Whether a parameter is what a key says."""
    return value == (tuple(expected) if isinstance(expected, list) else expected)


def test_every_setting_is_tested():
    assert set(VALUES) | set(OF_THE_RUN) == set(PARAMETERS)
    assert not set(VALUES) & set(OF_THE_RUN)


@pytest.mark.parametrize("key", VALUES)
def test_command_line_wins_over_config_over_preset_over_default(key, folder, monkeypatch):
    in_preset, in_config, typed = VALUES[key]
    write("preset.toml", **{key: in_preset})
    monkeypatch.setattr(settings, "preset_path", lambda name: folder / "preset.toml")
    config, name = write("run.toml", **{key: in_config}), PARAMETERS[key]
    preset_arguments, config_arguments = ["--preset", "hog"], ["--config", config]
    arguments = on_command_line(key, typed)
    defaults = parsed().params
    from_preset, from_config = parsed(*preset_arguments), parsed(*config_arguments)
    assert same(from_preset.params[name], in_preset)
    assert same(from_config.params[name], in_config)
    for context in (from_preset, from_config):
        assert context.get_parameter_source(name) is ParameterSource.DEFAULT_MAP
    for files in (preset_arguments + config_arguments, config_arguments + preset_arguments):
        assert same(parsed(*files).params[name], in_config)
        for order in (files + arguments, arguments + files):
            context = parsed(*order)
            assert same(context.params[name], typed)
            assert context.get_parameter_source(name) is ParameterSource.COMMANDLINE
            others = {
                k: v for k, v in context.params.items() if k not in (name, "preset", "config")
            }
            assert others == {k: v for k, v in defaults.items() if k in others}


def test_a_default_typed_wins_over_files(folder):
    config = write("run.toml", C=7.0, features=["hog"], gamma="auto")
    arguments = ["--C", 1.0, "--gamma", "scale", "--features", "raw"]
    context = parsed("--config", config, *arguments)
    assert (context.params["C"], context.params["gamma"]) == (1.0, "scale")
    assert context.params["features"] == ("raw",)


def test_settings_of_preset_and_config_add_up(folder, monkeypatch):
    write("preset.toml", C=5.0, pca=10, tol=0.1)
    monkeypatch.setattr(settings, "preset_path", lambda name: folder / "preset.toml")
    params = parsed("--preset", "raw", "--config", write("run.toml", pca=20, seed=9)).params
    assert [params[name] for name in ("C", "pca", "tol", "seed", "gamma")] == [
        5,
        20,
        0.1,
        9,
        "scale",
    ]


def test_types_are_those_of_the_options(folder):
    config = write("run.toml", C=10, threshold=1, whiten=1, gamma=2, pca=3)
    params = parsed("--config", config).params
    for name, kind in {"C": float, "threshold": float, "whiten": float, "gamma": float}.items():
        assert type(params[name]) is kind
    assert type(params["pca"]) is int


def test_line_of_settings(folder, monkeypatch):
    write("preset.toml", features=["raw", "hog"], C=5.0, pca=10, tol=0.1)
    monkeypatch.setattr(settings, "preset_path", lambda name: folder / "preset.toml")
    config = write("run.toml", pca=20, gamma=1e-05, tol=0.2)

    def line(*arguments):
        return settings.settings_in_effect(parsed(*arguments))

    assert line() == line("--C", 5) == ""
    assert line("--preset", "raw") == "preset raw: features raw + hog, pca 10, C 5, tol 0.1"
    assert line("--config", config) == "config run.toml: pca 20, gamma 1e-05, tol 0.2"
    assert line("--config", config, "--preset", "raw", "--tol", 1) == (
        "preset raw: features raw + hog, C 5; config run.toml: pca 20, gamma 1e-05"
    )
    everything = ["--pca", 1, "--tol", 1, "--gamma", "auto"]
    assert line("--config", config, *everything) == "config run.toml: nothing"


def test_help_shows_the_defaults_in_effect(folder):
    output = run("train", "--config", write("run.toml", C=7.25), "--help")
    assert "default: 7.25;" in output
    assert "default: 7.25;" not in run("train", "--help")


CONTENTS = {
    "unknown": ("sigma = 1\n", ["'sigma'", "must be one of labels, features, ", "Fix or remove"]),
    "underscore": ("max_iter = 1\n", ["'max_iter'", " max-iter,"]),
    "dashes": ('"--C" = 1\n', ["'--C'"]),
    "lower case": ("c = 1\n", ["Got 'c' instead"]),
    "empty key": ('"" = 1\n', ["Got '' instead"]),
    "key of two lines": ('"a\\nError: b" = 1\n', ["Got 'a\\nError: b' instead"]),
    "dotted": ("C.a = 1\n", ["the setting 'C'", "Got {'a': 1}", "must be one number or text"]),
    "table": ("[features]\nraw = 1\n", ["the setting 'features'", "list of one or more values"]),
    "list for one": ("C = [1.0]\n", ["the setting 'C'", "--C", "Got [1.0]", "one number or text"]),
    "one for a list": ('features = "raw"\n', ["'features'", "Got 'raw'", "list of one or more"]),
    "empty list": ("features = []\n", ["'features'", "Got []", "list of one or more"]),
    "list in a list": ('features = [["raw"]]\n', ["'features'", "one number or text"]),
    "boolean": ("C = true\n", ["the setting 'C'", "Got True", "one number or text"]),
    "boolean for a whole number": ("pca = true\n", ["the setting 'pca'", "Got True"]),
    "date": ("seed = 2020-01-01\n", ["the setting 'seed'", "one number or text"]),
    "fraction": ("pca = 1.5\n", ["the setting 'pca'", "Got 1.5", "'1.5' is not a valid integer"]),
    "whole fraction": ("pca = 5.0\n", ["the setting 'pca'", "'5.0' is not a valid integer"]),
    "text for a number": ('C = "1.0"\n', ["the setting 'C'", "Got '1.0'", "without quotation mar"]),
    "text for gamma": ('gamma = "0.5"\n', ["the setting 'gamma'", "without quotation marks"]),
    "text for a whole number": ('pca = "5"\n', ["'pca'", "without quotation marks"]),
    "number for text": ("labels = 1\n", ["the setting 'labels'", "'1' is not one of 'coarse', "]),
    "empty text": (
        'augment = ""\n',
        ["the setting 'augment'", "'' is not one of 'flip', "],
    ),
    "range": ("C = -1.0\n", ["the setting 'C'", "Got -1.0", "-1.0 is not in the range x>0"]),
    "zero": ("pca = 0\n", ["the setting 'pca'", "0 is not in the range x>=1"]),
    "not a number": ("C = nan\n", ["the setting 'C'", "Got nan", "nan is not "]),
    "infinite": ("gamma = inf\n", ["the setting 'gamma'", "Got inf", "inf is not finite"]),
    "overflow": ("C = 1e999\n", ["the setting 'C'", "inf is not finite"]),
    "choice": ('features = ["raw", "sift"]\n', ["'features'", "'sift' is not one of 'raw', 'hog'"]),
    "long text": (f'augment = "{"x" * 9999}"\n', ["the setting 'augment'", "xxx...xxx"]),
    "long number": (f"pca = {'1' * 5000}\n", ["TOML in UTF-8", "limit"]),
    "long hexadecimal number": (f"C = 0x{'f' * 5000}\n", ["'C'", "thousands of digits"]),
    "not TOML": ("C: 1\n", ["must be TOML in UTF-8", "at line 1", "Fix it"]),
    "twice": ("C = 1\nC = 2\n", ["must be TOML in UTF-8", "at line 2"]),
    "no UTF-8": (b'augment = "\xff"\n', ["must be TOML in UTF-8", "invalid start byte"]),
    "UTF-16": ("C = 1\n".encode("utf-16"), ["must be TOML in UTF-8"]),
    "binary": (bytes(1000), ["must be TOML in UTF-8"]),
    "deep": ("C = " + "[" * 9999 + "\n", ["must be TOML in UTF-8"]),
    "huge": ("#" * (64 * 1024 + 1), ["it has 65,537 bytes where at most 65,536 can be read"]),
}


@pytest.mark.parametrize(("content", "fragments"), CONTENTS.values(), ids=list(CONTENTS))
def test_wrong_configs(folder, content, fragments):
    content = content if isinstance(content, bytes) else content.encode()
    (folder / "run.toml").write_bytes(content)
    error = fail("train", "--data", "nowhere", "--config", "run.toml")
    assert error.startswith("Error: run.toml: ")
    assert len(error) < 700
    for fragment in fragments:
        assert fragment in error


@pytest.mark.parametrize("key", OF_THE_RUN)
def test_options_of_the_run_are_refused(folder, key):
    error = fail("train", "--config", write("run.toml", C=1.0, **{key: "1"}))
    assert f"Got '{key}' instead" in error
    assert "stand on the command line" in error


def test_a_wrong_config_is_refused_even_if_overruled(folder):
    assert "the setting 'C'" in fail("train", "--C", 2, "--config", write("run.toml", C=-1))


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("nowhere.toml", "No such file or directory"),
        (".", "Is a directory"),
        ("", "Is a directory"),
    ],
)
def test_unreadable_config(folder, path, reason):
    error = fail("train", "--config", path)
    assert f"the file of settings must be readable. Got '{reason}' instead" in error


def test_largest_config(folder):
    text = "C = 3.5\n#".ljust(64 * 1024)
    (folder / "run.toml").write_text(text)
    assert parsed("--config", "run.toml").params["C"] == 3.5


@pytest.mark.parametrize("content", [b"", b"# nothing\n", b"\xef\xbb\xbfC = 1\r\n"])
def test_configs_that_change_nothing(folder, content):
    (folder / "run.toml").write_bytes(content)
    params = parsed("--config", "run.toml").params
    assert {k: v for k, v in params.items() if k != "config"} == {
        k: v for k, v in parsed().params.items() if k != "config"
    }


def test_config_is_not_overwritten(synthetic_folder, folder):
    config = write("run.toml", limit=100)
    arguments = ["--data", synthetic_folder, "--config", config, "--out", config, "--overwrite"]
    assert "an output must not be a file that the command reads" in fail("train", *arguments)
    assert tomllib.loads((folder / config).read_text()) == {"limit": 100}


ROUND_TRIPS = [
    {"labels": "fine", "C": 2.5, "gamma": 0.001, "tol": 1e-05, "limit": 100, "seed": 3},
    {"features": ["hog"], "hog-cell": 8, "hog-orientations": 5, "pca": 20, "whiten": 0.5,
     "augment": "flip", "limit": 120, "class-weight": "balanced", "max-iter": 5000},
    {"features": ["patches"], "filters": 4, "patch-size": [8, 5], "pooling": 2, "threshold": 0.5,
     "filter-kind": "random", "gamma": "auto", "limit": 100},
]  # fmt: skip
# Where the manifest has another name for a key.
IN_MANIFEST = {
    "labels": "label_kind", "pca": "n_components", "max-iter": "max_iter",
    "class-weight": "class_weight", "hog-cell": "pixels_per_cell",
    "hog-orientations": "orientations", "filters": "n_filters", "patch-size": "patch_size",
    "filter-kind": "filters",
}  # fmt: skip


@pytest.mark.parametrize("keys", ROUND_TRIPS)
def test_config_makes_the_same_model_as_the_options(synthetic_folder, keys):
    arguments = [text for item in keys.items() for text in on_command_line(*item)]
    run("train", "--data", synthetic_folder, *arguments, "--out", "typed.skops")
    config = write("run.toml", **keys)
    output = run("train", "--data", synthetic_folder, "--config", config, "--out", "read.skops")
    assert "settings     config run.toml: " in output
    typed, read = (read_manifest(f"{name}.skops") for name in ("typed", "read"))
    assert read.content_hash == typed.content_hash
    assert read.training == typed.training
    training = read.training.to_dict()
    told = training | training["parameters"] | {"limit": len(training["rows"])}
    for of_kind in training["feature_settings"].values():
        told |= of_kind
    if "hog-cell" in keys:
        keys = keys | {"hog-cell": [keys["hog-cell"]] * 2}
    assert {key: told[IN_MANIFEST.get(key, key)] for key in keys} == keys
    assert training["preset"] is None


def test_options_of_other_commands():
    """The options may be any command's: keys are its own."""

    @click.command()
    @settings.settings_options
    @click.option("--depth", type=int)
    def other(**_):
        pass

    assert settings._keys_of(other) == {"depth": "depth"}
