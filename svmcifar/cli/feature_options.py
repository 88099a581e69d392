"""Options of features, for commands that train."""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, NamedTuple

import click
from click.core import ParameterSource

from svmcifar.cli import options
from svmcifar.cli.settings import gives_way
from svmcifar.errors import InputError
from svmcifar.features.kinds import KINDS
from svmcifar.features.settings import AUGMENTATIONS, RIDGE_KERNELS, FeatureSettings


class _KindOption(NamedTuple):
    """An option of one kind of features."""

    kind: str
    argument: str  # of the transformer
    type: click.ParamType
    default: str  # the transformer's, which help must not import; a test compares them
    help: str
    is_pair: bool = False  # whether the argument is a pair of equal values
    multiple: bool = False

    def to_argument(self, value: Any) -> Any:
        """Convert a value of the option to the transformer's argument."""
        return (value, value) if self.is_pair else value


# By parameter name.
_KIND_OPTIONS = {
    "filters": _KindOption(
        "patches",
        "n_filters",
        click.IntRange(1, 200_000),  # the number of patches that they are learned from
        "2000",
        "Patches to learn as filters.",
    ),
    "patch_size": _KindOption(
        "patches",
        "patch_size",
        options.COUNT,
        "6",
        "Rows and columns of a patch, pixels; repeat to learn filters of several sizes.",
        multiple=True,
    ),
    "pooling": _KindOption(
        "patches", "pooling", options.COUNT, "3", "Rows and columns of the grid of cells."
    ),
    "cells": _KindOption(
        "patches",
        "cells",
        click.Choice(["apart", "overlapping"]),
        "apart",
        "Cells of the grid apart, or overlapping, with weights that fall to the next centre.",
    ),
    "threshold": _KindOption(
        "patches",
        "threshold",
        options.FiniteRange(min=0, max=100),  # longer than any whitened patch
        "1.0",
        "Response that a filter must exceed.",
    ),
    "filter_kind": _KindOption(
        "patches",
        "filters",
        click.Choice(["kmeans", "random"]),
        "kmeans",
        "Filters are centres of clusters, or patches drawn at random.",
    ),
    "layers": _KindOption(
        "patches",
        "layers",
        click.IntRange(1, 2),
        "1",
        "With 2, features of a second layer follow, with as many filters: patches of 3 x 3 values "
        "of maps of responses to patches.",
    ),
    "hog_cell": _KindOption(
        "hog",
        "pixels_per_cell",
        options.COUNT,
        "4",
        "Rows and columns of a cell, pixels.",
        is_pair=True,
    ),
    "hog_orientations": _KindOption(
        "hog", "orientations", click.IntRange(1, 180), "9", "Bins of a histogram."
    ),
}

# Overrides the augmentation of a preset or config.
_NO_AUGMENTATION = "none"
# Fields of `FeatureSettings` by parameter name, for options of all kinds.
_SHARED = {
    "features": "kinds",
    "pca": "n_components",
    "whiten": "whiten",
    "ridge_scores": "ridge_scores",
    "ridge_pca": "ridge_components",
    "ridge_kernel": "ridge_kernel",
    "augment": "augment",
}


def feature_options(several_pca: bool = False) -> options.Decorator:
    """Add the options of features; the command receives `FeatureSettings` as ``features``.

    With `several_pca`, ``--pca`` may be repeated: its values are a list, ``n_components``, [None]
    without PCA, and not part of ``features``.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(command)
        def collected(**values: Any) -> Any:
            own = {name: values.pop(name) for name in (*_SHARED, *_KIND_OPTIONS)}
            if several_pca:
                values["n_components"] = list(own["pca"]) or [None]
                own["pca"] = None
            _leave_out(own)
            _require_used(own)
            return command(features=_to_settings(own), **values)

        return options.group(*_options(several_pca))(collected)

    return decorate


def to_options(features: FeatureSettings) -> dict[str, Any]:
    """Return settings by the long form of their options without dashes, as in a config.

    Values are text, numbers or lists of these; None is left out.
    """
    values = {name: getattr(features, field) for name, field in _SHARED.items()}
    for name, option in _KIND_OPTIONS.items():
        of_kind = features.parameters.get(option.kind, {})
        if option.argument in of_kind:
            argument = of_kind[option.argument]
            values[name] = argument[0] if option.is_pair else argument
    return {
        _flag(name)[2:]: list(value) if isinstance(value, tuple) else value
        for name, value in values.items()
        if value is not None
    }


def _options(several_pca: bool) -> list[options.Decorator]:
    """Build the options, in the order of help."""
    return [
        options.with_default(
            "--features",
            click.Choice(list(KINDS)),
            ["raw"],
            "What to compute from the images; repeat to concatenate several.",
            multiple=True,
        ),
        *(
            click.option(
                _flag(name),
                type=of_kind.type,
                multiple=of_kind.multiple,
                help=f"{of_kind.help}  [only for --features {of_kind.kind}; "
                f"default: {of_kind.default}]",
            )
            for name, of_kind in _KIND_OPTIONS.items()
        ),
        click.option(
            "--pca",
            multiple=several_pca,
            type=options.COUNT,
            help="Keep this many principal components"
            + ("; repeat to try several." if several_pca else "."),
        ),
        options.with_default(
            "--whiten",
            options.FiniteRange(min=0, max=1),
            0.0,
            "Divide each principal component by its standard deviation to this power.",
            metavar="POWER",
        ),
        options.with_default(
            "--ridge-scores",
            options.FiniteRange(min=0, max=100),
            0.0,
            "Prepend out-of-fold ridge scores of the classes (stacking); weight 1 gives them as "
            "much variance as the components have.",
            metavar="WEIGHT",
        ),
        click.option(
            "--ridge-pca",
            type=options.COUNT,
            help="Components that these scores are learned from, more than --pca.  [default: those "
            "of --pca]",
        ),
        options.with_default(
            "--ridge-kernel",
            click.Choice(RIDGE_KERNELS),
            "linear",
            "Kernel of these scores: with rbf they are leave-one-out, of the components of --pca "
            "scaled to length one, and need memory for half a square of all samples.",
        ),
        click.option(
            "--augment",
            type=click.Choice([*AUGMENTATIONS, _NO_AUGMENTATION]),
            help="Train on mirror images too, by even and odd parts of features: an image and its "
            "mirror image get one answer, for about twice the work. With shift, train on images "
            "shifted by up to 3 pixels besides.",
        ),
    ]


def _to_settings(values: Mapping[str, Any]) -> FeatureSettings:
    """Build the settings from the values of the options."""
    parameters: dict[str, dict[str, Any]] = {}
    for name, option in _KIND_OPTIONS.items():
        if values[name] is not None:
            of_kind = parameters.setdefault(option.kind, {})
            of_kind[option.argument] = option.to_argument(values[name])
    shared = {field: values[name] for name, field in _SHARED.items()}
    return FeatureSettings(parameters=parameters, **shared)


def _leave_out(values: dict[str, Any]) -> None:
    """Set to None what was not given, or is unused because a stronger source overrides it."""
    context = click.get_current_context()
    for name, option in _KIND_OPTIONS.items():
        if option.multiple and not values[name]:
            values[name] = None
        if option.kind not in values["features"] and gives_way(context, name, to="features"):
            values[name] = None
    if not values["ridge_scores"] and gives_way(context, "ridge_pca", to="ridge_scores"):
        values["ridge_pca"] = None
    if values["ridge_kernel"] != RIDGE_KERNELS[0] and gives_way(
        context, "ridge_pca", to="ridge_kernel"
    ):
        values["ridge_pca"] = None
    if not values["ridge_scores"] and gives_way(context, "ridge_kernel", to="ridge_scores"):
        values["ridge_kernel"] = RIDGE_KERNELS[0]
    if values["augment"] == _NO_AUGMENTATION:
        values["augment"] = None


def _require_used(values: Mapping[str, Any]) -> None:
    """Raise InputError if an option is of features that are not computed."""
    for name, option in _KIND_OPTIONS.items():
        if values[name] is not None and option.kind not in values["features"]:
            source = click.get_current_context().get_parameter_source(name)
            from_file = " from a preset or config" * (source is ParameterSource.DEFAULT_MAP)
            given = values[name] if option.multiple else [values[name]]
            raise InputError(
                f"{_flag(name)} has no effect without --features {option.kind}. "
                f"Got {' '.join(map(str, given))}{from_file} with "
                f"--features {' '.join(values['features'])}. "
                f"Add the features or leave the setting out."
            )


def _flag(name: str) -> str:
    """Return the option of a parameter."""
    return f"--{name.replace('_', '-')}"
