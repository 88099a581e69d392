"""Options of the features that are computed; commands that train share them."""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, NamedTuple

import click
from click.core import ParameterSource

from svmcifar.cli.options import Decorator, FiniteRange
from svmcifar.cli.settings import gives_way
from svmcifar.errors import InputError
from svmcifar.features.kinds import KINDS
from svmcifar.features.settings import AUGMENTATIONS, FeatureSettings


class _KindOption(NamedTuple):
    """An option of one kind of features.

    `argument` is the transformer's, of so many equal values if `n_equal` is above 1.  `default`
    is the transformer's too, which help must not import; a test compares them.
    """

    kind: str
    argument: str
    type: click.ParamType
    default: str
    help: str
    n_equal: int = 1
    multiple: bool = False

    def to_argument(self, value: Any) -> Any:
        """Return the argument of the transformer that a value of the option stands for."""
        return value if self.n_equal == 1 else (value,) * self.n_equal

    def to_option(self, argument: Any) -> Any:
        """Return the value of the option that stands for an argument of the transformer."""
        return argument if self.n_equal == 1 else argument[0]


# By parameter name.
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
        n_equal=2,
    ),
    "hog_orientations": _KindOption(
        "hog", "orientations", click.IntRange(1, 180), "9", "Bins of a histogram."
    ),
}

# Removes the augmentation of a preset or config.
_NO_AUGMENTATION = "none"
# Of all kinds: the field of `FeatureSettings` by parameter name.
_SHARED = {
    "features": "kinds",
    "pca": "n_components",
    "whiten": "whiten",
    "ridge_scores": "ridge_scores",
    "ridge_pca": "ridge_components",
    "augment": "augment",
}


def feature_options(several_pca: bool = False) -> Decorator:
    """Add the options of features; the command gets them as `FeatureSettings`, ``features``.

    Parameters
    ----------
    several_pca : bool, default=False
        Whether ``--pca`` may be given several times.  The command then gets these numbers as
        ``n_components``, a list, or of None alone without PCA; `features` has none.

    Returns
    -------
    decorator
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

        decorated: Callable[..., Any] = collected
        for option in reversed(_options(several_pca)):
            decorated = option(decorated)
        return decorated

    return decorate


def to_options(features: FeatureSettings) -> dict[str, Any]:
    """Return settings by the long form of their options without dashes, as a config has them.

    Parameters
    ----------
    features : FeatureSettings
        From options: what these cannot say is left out.

    Returns
    -------
    dict of str to str, int, float or list of these
        Without what was left open.
    """
    values = {name: getattr(features, field) for name, field in _SHARED.items()}
    for name, option in _KIND_OPTIONS.items():
        of_kind = features.parameters.get(option.kind, {})
        if option.argument in of_kind:
            values[name] = option.to_option(of_kind[option.argument])
    return {
        _flag(name)[2:]: list(value) if isinstance(value, tuple) else value
        for name, value in values.items()
        if value is not None
    }


def _options(several_pca: bool) -> list[Decorator]:
    """Build the options, in the order of help."""
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
            help="Prepend out-of-fold ridge scores of the classes (stacking); weight 1 gives "
            "them as much variance as the components have.",
        ),
        click.option(
            "--ridge-pca",
            type=click.IntRange(min=1),
            help="Components that these scores are learned from, more than --pca.  [default: those "
            "of --pca]",
        ),
        click.option(
            "--augment",
            type=click.Choice([*AUGMENTATIONS, _NO_AUGMENTATION]),
            help="Train on mirror images too, and average over both in prediction: about 4 times "
            "the work. With shift, train on both shifted by up to 3 pixels besides: 16 times in "
            "training.",
        ),
    ]


def _to_settings(values: Mapping[str, Any]) -> FeatureSettings:
    """Turn the values of the options into settings."""
    parameters: dict[str, dict[str, Any]] = {}
    for name, option in _KIND_OPTIONS.items():
        if values[name] is not None:
            of_kind = parameters.setdefault(option.kind, {})
            of_kind[option.argument] = option.to_argument(values[name])
    shared = {field: values[name] for name, field in _SHARED.items()}
    return FeatureSettings(parameters=parameters, **shared)


def _leave_out(values: dict[str, Any]) -> None:
    """Drop what is not given, and what a stronger source left a preset or config no use for."""
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
    """Raise if an option is of features that are not computed."""
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
