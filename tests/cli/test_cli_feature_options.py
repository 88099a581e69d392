"""Options of features: what commands get of them."""

import re
from importlib import import_module

import click
import pytest
from click.testing import CliRunner
from clirun import fail, run
from configs import on_command_line

from svmcifar.cli.feature_options import _KIND_OPTIONS, _SHARED, feature_options
from svmcifar.errors import InputError
from svmcifar.features.build import make_feature_pipeline
from svmcifar.features.kinds import KINDS


def choice_of(*arguments, several_pca=False):
    """What a command gets with these arguments."""
    got = []

    @click.command()
    @click.option("--before")
    @feature_options(several_pca)
    @click.option("--after")
    def command(features, before, after):
        got.append((features, before, after))

    arguments = ["--before", "b", *map(str, arguments), "--after", "a"]
    result = CliRunner().invoke(command, arguments)
    if isinstance(result.exception, InputError):
        raise result.exception
    assert result.exit_code == 0, result.output
    ((features, before, after),) = got
    assert (before, after) == ("b", "a")
    return features


def transformer_class(kind):
    module, _, name = KINDS[kind][1].rpartition(".")
    return getattr(import_module(module), name)


def test_defaults():
    choice = choice_of()
    shared = {"n_components": None, "whiten": 0.0, "ridge_scores": 0.0, "ridge_components": None}
    assert choice.options == {"features": ["raw"], "whiten": 0.0, "ridge-scores": 0.0}
    assert choice.for_training == {
        "features": ("raw",), "feature_settings": {}, "augment": None, **shared
    }  # fmt: skip
    assert choice.for_pipeline == {"kinds": ("raw",), "settings": {}, **shared}


def test_every_option():
    options = {
        "features": ["patches", "hog"], "filters": 5, "patch-size": [4, 8], "pooling": 2,
        "threshold": 0.5, "filter-kind": "random", "hog-cell": 8, "hog-orientations": 7, "pca": 20,
        "whiten": 0.25, "ridge-scores": 0.5, "ridge-pca": 30, "augment": "flip",
    }  # fmt: skip
    choice = choice_of(*(text for item in options.items() for text in on_command_line(*item)))
    settings = {
        "patches": {
            "n_filters": 5, "patch_size": (4, 8), "pooling": 2, "threshold": 0.5,
            "filters": "random",
        },
        "hog": {"pixels_per_cell": (8, 8), "orientations": 7},
    }  # fmt: skip
    kinds = ("patches", "hog")
    shared = {"n_components": 20, "whiten": 0.25, "ridge_scores": 0.5, "ridge_components": 30}
    assert choice.options == options
    assert choice.for_training == {
        "features": kinds, "feature_settings": settings, "augment": "flip", **shared
    }  # fmt: skip
    assert choice.for_pipeline == {"kinds": kinds, "settings": settings, **shared}
    stack = make_feature_pipeline(**choice.for_pipeline).named_steps["stack"]
    *patches, hog = (transformer for _, transformer in stack.transformers)
    assert [(one.n_filters, one.patch_size) for one in patches] == [(5, 4), (5, 8)]
    assert hog.pixels_per_cell == (8, 8)


def test_zero_is_a_setting():
    choice = choice_of("--features", "patches", "--threshold", 0)
    assert choice.options == {
        "features": ["patches"],
        "whiten": 0.0,
        "ridge-scores": 0.0,
        "threshold": 0.0,
    }
    assert choice.for_pipeline["settings"] == {"patches": {"threshold": 0.0}}


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
    choices = choice_of(*options, "--features", "hog", "--hog-cell", 8, several_pca=True)
    assert [choice.for_training["n_components"] for choice in choices] == numbers
    assert [choice.for_pipeline["n_components"] for choice in choices] == numbers
    assert [choice.options.get("pca") for choice in choices] == numbers
    for choice in choices:
        assert choice.for_pipeline["settings"] == {"hog": {"pixels_per_cell": (8, 8)}}


@pytest.mark.parametrize("name", _KIND_OPTIONS)
def test_help_tells_the_transformers_own_default(name):
    option = _KIND_OPTIONS[name]
    default = transformer_class(option.kind)().get_params()[option.argument]
    assert option.convert(option.type.convert(option.default, None, None)) == default
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
            choice_of(*arguments, flag, option.default, several_pca=several_pca)
        assert str(caught.value).startswith(
            f"{flag} has no effect without --features {option.kind}. "
            f"Got {option.default} with --features {' '.join(others)}. "
        )
    choice_of(*arguments, "--features", option.kind, flag, option.default)


WRONG = [
    ("--filters", "0"), ("--patch-size", "33"), ("--patch-size", "0"), ("--pooling", "0"),
    ("--threshold", "-1"), ("--threshold", "nan"), ("--threshold", "inf"),
    ("--filter-kind", "som"), ("--hog-cell", "0"), ("--hog-cell", "17"),
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
        value = option.convert(option.type.convert(str(end), None, None))
        transformer_class(option.kind)(**{option.argument: value})._validate_params()
