"""Options that say which features are computed; commands that train share them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any, NamedTuple

import click
from click.core import ParameterSource

from svmcifar.cli.options import Decorator, FiniteRange
from svmcifar.cli.settings import gives_way
from svmcifar.errors import InputError
from svmcifar.features.kinds import AUGMENTATIONS, KINDS


class _KindOption(NamedTuple):
    """An option that concerns one kind of features.

    Its default is the transformer's own, which help is not to import; a test compares them.
    """

    kind: str
    argument: str
    type: click.ParamType
    default: str
    help: str
    convert: Callable[[Any], Any] = lambda value: value
    multiple: bool = False


def _square(side: int) -> tuple[int, int]:
    return side, side


# By parameter name; the option has dashes.  The argument is the transformer's.
_KIND_OPTIONS = {
    "filters": _KindOption(
        "patches",
        "n_filters",
        click.IntRange(1, 200_000),  # of so many patches at most
        "2000",
        "Patches to learn as filters.",
    ),
    "patch_size": _KindOption(
        "patches",
        "patch_size",
        click.IntRange(1, 32),
        "6",
        "Rows and columns of a patch, pixels; give it again to learn filters of several sizes.",
        multiple=True,
    ),
    "pooling": _KindOption(
        "patches", "pooling", click.IntRange(1, 32), "3", "Rows and columns of the grid of cells."
    ),
    "threshold": _KindOption(
        "patches",
        "threshold",
        FiniteRange(min=0, max=100),  # longer than any whitened patch
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
    "hog_cell": _KindOption(
        "hog",
        "pixels_per_cell",
        click.IntRange(1, 16),
        "4",
        "Rows and columns of a cell, pixels.",
        _square,
    ),
    "hog_orientations": _KindOption(
        "hog", "orientations", click.IntRange(1, 180), "9", "Bins of a histogram."
    ),
}

# Takes that of a preset or config away.
_NO_AUGMENTATION = "none"
_SHARED = ("features", "pca", "whiten", "ridge_scores", "ridge_pca", "augment")


@dataclass(frozen=True)
class FeatureChoice:
    """What the options say about features.

    Attributes
    ----------
    options : dict
        Values by the long form of each option without its dashes, as a config has them; those
        that were left open are not in it.
    for_training : dict
        Keyword arguments of `svmcifar.model.train.train_classifier`.
    for_pipeline : dict
        Keyword arguments of `svmcifar.features.build.make_feature_pipeline`.
    """

    options: dict[str, Any]
    for_training: dict[str, Any]
    for_pipeline: dict[str, Any]


def feature_options(several_pca: bool = False) -> Decorator:
    """Add the options of features; the command gets them as one argument, ``features``.

    Parameters
    ----------
    several_pca : bool, default=False
        Whether ``--pca`` may be given several times.  The command then gets a list of
        `FeatureChoice`, one for each number of components, or one without PCA where there is
        none; otherwise it gets one `FeatureChoice`.

    Returns
    -------
    decorator
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(command)
        def collected(**values: Any) -> Any:
            own = {name: values.pop(name) for name in (*_SHARED, *_KIND_OPTIONS)}
            _leave_out(own)
            _require_used(own)
            if not several_pca:
                return command(features=_choose(own), **values)
            choices = [_choose(own | {"pca": pca}) for pca in own["pca"] or [None]]
            return command(features=choices, **values)

        decorated: Callable[..., Any] = collected
        for option in reversed(_options(several_pca)):
            decorated = option(decorated)
        return decorated

    return decorate


def _options(several_pca: bool) -> list[Decorator]:
    """Make the options, in the order of help."""
    return [
        click.option(
            "--features",
            multiple=True,
            type=click.Choice(list(KINDS)),
            default=["raw"],
            show_default=True,
            help="What to compute from the images; give it again to concatenate several.",
        ),
        *(
            click.option(
                _flag(name),
                type=option.type,
                multiple=option.multiple,
                help=f"{option.help}  [only for --features {option.kind}; "
                f"default: {option.default}]",
            )
            for name, option in _KIND_OPTIONS.items()
        ),
        click.option(
            "--pca",
            multiple=several_pca,
            type=click.IntRange(min=1),
            help="Keep this many principal components"
            + ("; give it again to try several." if several_pca else "."),
        ),
        click.option(
            "--whiten",
            metavar="POWER",
            type=FiniteRange(min=0, max=1),
            default=0.0,
            show_default=True,
            help="Divide each principal component by its standard deviation to this power.",
        ),
        click.option(
            "--ridge-scores",
            metavar="WEIGHT",
            type=FiniteRange(min=0, max=100),
            default=0.0,
            show_default=True,
            help="Put scores of the fine classes by ridge regression, out of fold, before the "
            "components; 1 gives them as much variance as these have.",
        ),
        click.option(
            "--ridge-pca",
            type=click.IntRange(min=1),
            help="Components that these scores are learned from, more than --pca; by default "
            "those.",
        ),
        click.option(
            "--augment",
            type=click.Choice([*AUGMENTATIONS, _NO_AUGMENTATION]),
            help="Train on mirror images too, and decide by image and mirror image: about 4 times "
            "the work. With shift, train on both moved by up to 3 pixels besides: 16 times in "
            "training.",
        ),
    ]


def _choose(values: Mapping[str, Any]) -> FeatureChoice:
    """Turn the values of the options into arguments."""
    settings: dict[str, dict[str, Any]] = {}
    for name, option in _KIND_OPTIONS.items():
        if values[name] is not None:
            of_kind = settings.setdefault(option.kind, {})
            of_kind[option.argument] = option.convert(values[name])
    shared = {
        "n_components": values["pca"],
        "whiten": values["whiten"],
        "ridge_scores": values["ridge_scores"],
        "ridge_components": values["ridge_pca"],
    }
    return FeatureChoice(
        options={
            _flag(name)[2:]: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
            if value is not None
        },
        for_training={
            "features": values["features"],
            "feature_settings": settings,
            "augment": values["augment"],
            **shared,
        },
        for_pipeline={"kinds": values["features"], "settings": settings, **shared},
    )


def _leave_out(values: dict[str, Any]) -> None:
    """Leave out what is not given, and what a preset or config has no use for any more."""
    context = click.get_current_context()
    for name, option in _KIND_OPTIONS.items():
        if option.multiple and not values[name]:
            values[name] = None
        if option.kind not in values["features"] and gives_way(context, name, to="features"):
            values[name] = None
    if not values["ridge_scores"] and gives_way(context, "ridge_pca", to="ridge_scores"):
        values["ridge_pca"] = None
    if values["augment"] == _NO_AUGMENTATION:
        values["augment"] = None


def _require_used(values: Mapping[str, Any]) -> None:
    """Refuse an option of features that are not computed."""
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
    """Name the option of a parameter."""
    return f"--{name.replace('_', '-')}"
