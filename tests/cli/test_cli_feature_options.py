"""Options of features: what commands get of them."""

import re
from dataclasses import replace
from importlib import import_module

import click
import pytest
from click.testing import CliRunner
from clirun import fail, run
from configs import on_command_line

from svmcifar.cli.feature_options import _KIND_OPTIONS, _SHARED, feature_options, to_options
from svmcifar.errors import InputError
from svmcifar.features.kinds import KINDS, make_transformers
from svmcifar.features.pipeline import make_feature_pipeline
from svmcifar.features.settings import FeatureSettings


def settings_of(*arguments, several_pca=False):
    """What a command gets with these arguments."""
    got = []

    @click.command()
    @click.option("--before")
    @feature_options(several_pca)
    @click.option("--after")
    def command(features, before, after, **several):
        got.append((features, before, after, several))

    arguments = ["--before", "b", *map(str, arguments), "--after", "a"]
    result = CliRunner().invoke(command, arguments)
    if isinstance(result.exception, InputError):
        raise result.exception
    assert result.exit_code == 0, result.output
    ((features, before, after, several),) = got
    assert (before, after) == ("b", "a")
    assert set(several) == ({"n_components"} if several_pca else set())
    return (features, *several.values()) if several_pca else features


def transformer_class(kind):
    module, _, name = KINDS[kind][1].rpartition(".")
    return getattr(import_module(module), name)


# Those that are not of some features alone.
OF_ALL = {"whiten": 0.0, "ridge-scores": 0.0, "ridge-kernel": "linear"}


def test_defaults():
    settings = settings_of()
    assert settings == FeatureSettings()
    assert to_options(settings) == {"features": ["raw"], **OF_ALL}


def test_every_option():
    options = {
        "features": ["patches", "hog"], "filters": 5, "patch-size": [4, 8], "pooling": 2,
        "cells": "overlapping", "threshold": 0.5, "filter-kind": "random", "layers": 2,
        "hog-cell": 8, "hog-orientations": 7, "pca": 20, "whiten": 0.25,
        "ridge-scores": 0.5, "ridge-pca": 30, "ridge-kernel": "linear", "augment": "flip",
    }  # fmt: skip
    settings = settings_of(*(text for item in options.items() for text in on_command_line(*item)))
    parameters = {
        "patches": {
            "n_filters": 5, "patch_size": (4, 8), "pooling": 2, "cells": "overlapping",
            "threshold": 0.5, "filters": "random", "layers": 2,
        },
        "hog": {"pixels_per_cell": (8, 8), "orientations": 7},
    }  # fmt: skip
    assert settings == FeatureSettings(
        ("patches", "hog"), parameters, n_components=20, whiten=0.25, ridge_scores=0.5,
        ridge_components=30, augment="flip",
    )  # fmt: skip
    assert to_options(settings) == options
    stack = make_feature_pipeline(settings).named_steps["stack"]
    *patches, second, hog = (transformer for _, transformer in stack.source.transformers)
    assert [(one.n_filters, one.patch_size) for one in patches] == [(5, 4), (5, 8)]
    assert second.n_filters == 5
    assert hog.pixels_per_cell == (8, 8)


def test_zero_is_a_setting():
    settings = settings_of("--features", "patches", "--threshold", 0)
    assert to_options(settings) == {
        "features": ["patches"],
        **OF_ALL,
        "threshold": 0.0,
    }
    assert settings.parameters == {"patches": {"threshold": 0.0}}


def test_order_of_help():
    """Features first, then what concerns some of them, then what is done with all."""
    first, *others = _SHARED

    @click.command()
    @feature_options()
    def command(features):
        pass

    names = [option.name for option in command.params]
    assert names == [first, *_KIND_OPTIONS, *others]


@pytest.mark.parametrize("options", [[], ["--pca", 5], ["--pca", 9, "--pca", 3]])
def test_several_pca(options):
    numbers = [n for n in options if n != "--pca"] or [None]
    features, counts = settings_of(*options, "--features", "hog", "--hog-cell", 8, several_pca=True)
    assert counts == numbers
    assert features == FeatureSettings(("hog",), {"hog": {"pixels_per_cell": (8, 8)}})
    for count in counts:
        assert to_options(replace(features, n_components=count)).get("pca") == count


@pytest.mark.parametrize("name", _KIND_OPTIONS)
def test_help_tells_the_transformers_own_default(name):
    option = _KIND_OPTIONS[name]
    defaults = transformer_class(option.kind)().get_params() | {"layers": 1}
    default = defaults[option.argument]
    assert option.to_argument(option.type.convert(option.default, None, None)) == default
    described = re.search(rf"--{name.replace('_', '-')} (.+?)  --", _help() + "  --")[1]
    assert f"[only for --features {option.kind}; default: {option.default}]" in described


def _help():
    return re.sub(r" +", " ", run("train", "--help").replace("\n  --", "  --")).replace("\n", "")


@pytest.mark.parametrize("name", _KIND_OPTIONS)
def test_options_without_their_features(name):
    option, flag = _KIND_OPTIONS[name], f"--{name.replace('_', '-')}"
    others = [kind for kind in KINDS if kind != option.kind]
    arguments = [text for kind in others for text in ("--features", kind)]
    for several_pca in (False, True):
        with pytest.raises(InputError) as caught:
            settings_of(*arguments, flag, option.default, several_pca=several_pca)
        assert str(caught.value).startswith(
            f"{flag} has no effect without --features {option.kind}. "
            f"Got {option.default} with --features {' '.join(others)}. "
        )
    settings_of(*arguments, "--features", option.kind, flag, option.default)


WRONG = [
    ("--filters", "0"), ("--patch-size", "0"), ("--patch-size", "2.5"), ("--pooling", "0"),
    ("--threshold", "-1"), ("--threshold", "nan"), ("--threshold", "inf"),
    ("--filter-kind", "som"), ("--hog-cell", "0"), ("--hog-cell", "2.5"),
    ("--hog-orientations", "181"),
]  # fmt: skip


@pytest.mark.parametrize(("flag", "value"), WRONG)
def test_wrong_values(flag, value):
    kind = _KIND_OPTIONS[flag[2:].replace("-", "_")].kind
    error = fail("train", "--features", kind, flag, value, exit_code=2)
    assert f"Invalid value for '{flag}'" in error


@pytest.mark.parametrize("name", _KIND_OPTIONS)
def test_transformers_take_the_ends_of_the_ranges(name):
    """An option's range is not wider than the transformer's own."""
    option = _KIND_OPTIONS[name]
    ends = getattr(option.type, "choices", None) or [
        end for end in (option.type.min, option.type.max) if end is not None
    ]
    for end in ends:
        value = option.to_argument(option.type.convert(str(end), None, None))
        make_transformers([option.kind], {option.kind: {option.argument: value}})
