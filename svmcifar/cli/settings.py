"""Settings of a command from files: presets of the package, and configs of the user.

Both are flat TOML files whose keys are options in their long form without the dashes.  They become
click's `Context.default_map`: options override the config, and the config overrides the preset.
"""

import tomllib
from collections import ChainMap
from collections.abc import Callable
from functools import partial
from importlib.resources import files
from pathlib import Path
from reprlib import repr as short_repr
from textwrap import shorten
from typing import Any

import click
from click.core import ParameterSource

from svmcifar.errors import InputError
from svmcifar.io.reading import read_file

# Options of how and where a command runs, not of its model.  No flag is a setting either.
_OF_THE_RUN = {
    "backend", "config", "dask", "data", "dataset", "device", "figure", "resize", "jobs",
    "label-csv", "memory-limit", "out", "preset", "split-seed", "track",
}  # fmt: skip
_MOST_BYTES = 64 * 1024
_PRESETS = Path(str(files("svmcifar") / "presets"))
# Sources of a parameter's value, the weakest first.
_SOURCES = ("default", "preset", "config", "command line")
# Keys of `Context.meta`.
_FILES, _UNUSED = f"{__name__}.files", f"{__name__}.unused"


def preset_path(name: str) -> Path:
    """Return the path of a preset's file."""
    return _PRESETS / f"{name}.toml"


def preset_names(folder: str = "") -> list[str]:
    """Return the names of the presets in a folder of those of the package, sorted."""
    return sorted(path.stem for path in (_PRESETS / folder).glob("*.toml"))


def settings_options(
    command: Callable[..., Any], folder: str = "", of: str = "a tuned pipeline"
) -> Callable[..., Any]:
    """Add ``--preset`` and ``--config``, whose settings become the defaults of other options.

    Presets lie in a `folder` of those of the package, and are settings `of` something.
    """
    option = partial(click.option, is_eager=True)
    preset = option(
        "--preset",
        type=click.Choice(preset_names(folder)),
        callback=partial(_set_defaults, folder),
        help=f"Take the settings of {of}; --config and options given here win.",
    )
    config = option(
        "--config",
        type=click.Path(path_type=Path),
        callback=partial(_set_defaults, folder),
        help="Take settings from a TOML file whose keys are options without their dashes; options "
        "given here win.",
    )
    return preset(config(command))


def settings_in_effect(context: click.Context) -> str:
    """Describe the settings in effect that come from ``--preset`` and ``--config``, in one line."""
    parts, read = [], _files_of(context)
    for source in (source for source in _SOURCES if source in read):
        file, settings = read[source]
        words = [
            f"{key} {_words(settings[name])}"
            for key, name in _keys_of(context.command).items()
            if _source(context, name) == source and name not in context.meta.get(_UNUSED, ())
        ]
        parts.append(f"{source} {file}: {', '.join(words) or 'nothing'}")
    return "; ".join(parts)


def settings_of(context: click.Context) -> dict[str, Any]:
    """Return the settings of a command by their keys, wherever they come from; None is left out."""
    values = {key: context.params.get(name) for key, name in _keys_of(context.command).items()}
    return {key: value for key, value in values.items() if value is not None}


def gives_way(context: click.Context, name: str, to: str) -> bool:
    """Return whether a parameter is from a weaker source than another that makes it unused.

    If so, `settings_in_effect` leaves it out.
    """
    own, other = (_SOURCES.index(_source(context, parameter)) for parameter in (name, to))
    if own < other:
        context.meta.setdefault(_UNUSED, set()).add(name)
    return own < other


def comes_from_file(context: click.Context, name: str) -> bool:
    """Return whether a parameter's value is that of a preset or config."""
    return _source(context, name) in ("preset", "config")


def _source(context: click.Context, name: str) -> str:
    """Return the source of a parameter's value, one of `_SOURCES`."""
    source = context.get_parameter_source(name)
    if source is ParameterSource.DEFAULT:
        return "default"
    if source is not ParameterSource.DEFAULT_MAP:
        return "command line"
    return "config" if name in _files_of(context).get("config", ("", {}))[1] else "preset"


def _files_of(context: click.Context) -> dict[str, tuple[str, dict[str, Any]]]:
    """Return name and settings of each file that was read, by "preset" and "config"."""
    return context.meta.setdefault(_FILES, {})


def read_settings(path: Path, command: click.Command) -> dict[str, Any]:
    """Read settings of a command from a TOML file, by parameter name.

    Raise InputError if the file is missing, too large or not TOML in UTF-8, or a key or a value is
    invalid.
    """
    names = _keys_of(command)
    options = {option.name: option for option in command.params}
    settings = {}
    for key, value in _read_toml(path).items():
        if key not in names:
            raise InputError(
                f"{path}: a setting must be one of {', '.join(names)}. Got {_shown(key)} instead. "
                f"Fix or remove it; options of how to run, not of what to train, stand on the "
                f"command line."
            )
        try:
            settings[names[key]] = _checked(options[names[key]], value)
        except click.BadParameter as error:
            raise InputError(
                f"{path}: the setting {key!r} must be what --{key} takes. "
                f"Got {_shown(value)}: {shorten(error.message, 200)} Fix it."
            ) from error
    return settings


def _set_defaults(folder: str, context: click.Context, option: click.Parameter, value: Any) -> Any:
    """Use the settings of a file as defaults of the options that follow."""
    if value is not None:
        source, read = str(option.name), _files_of(context)
        path = preset_path(f"{folder}{value}") if source == "preset" else value
        read[source] = (str(value), read_settings(path, context.command))
        context.default_map = ChainMap(*(read[s][1] for s in ("config", "preset") if s in read))
    return value


def _read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file of at most `_MOST_BYTES`."""
    try:
        content = read_file(path, _MOST_BYTES)
    except OSError as error:
        raise InputError(
            f"{path}: the file of settings must be readable. Got '{error.strerror}' instead. "
            f"Name another file or fix it."
        ) from error
    try:
        return tomllib.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{path}: the file of settings must be TOML in UTF-8. "
            f"Got '{shorten(str(error), 200)}' instead. Fix it."
        ) from error


def _checked(option: click.Parameter, value: Any) -> Any:
    """Convert a value as the option converts one of the command line."""
    if not option.multiple:
        return _converted(option, value)
    if not isinstance(value, list) or not value:
        raise click.BadParameter("it must be a list of one or more values.")
    return [_converted(option, item) for item in value]


def _converted(option: click.Parameter, value: Any) -> Any:
    """Convert one value: text if the option takes text, else a number."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise click.BadParameter("it must be one number or text.")
    try:
        # As text, as on the command line: click would truncate a float to an integer.
        converted = option.type.convert(str(value), None, None)
    except ValueError as error:  # too long a number
        raise click.BadParameter(f"{error}.") from error
    if isinstance(value, str) != isinstance(converted, str):
        raise click.BadParameter("it must be a number without quotation marks.")
    return converted


def _keys_of(command: click.Command) -> dict[str, str]:
    """Return parameter names by the settings that a file may have."""
    options = [o for o in command.params if isinstance(o, click.Option) and not o.is_flag]
    names = {option.opts[0].lstrip("-"): str(option.name) for option in options}
    return {key: name for key, name in names.items() if key not in _OF_THE_RUN}


def _shown(value: Any) -> str:
    """Return a value as in the file, but shortened."""
    try:
        return short_repr(value)
    except ValueError:  # more digits than Python converts
        return "a number of thousands of digits"


def _words(value: Any) -> str:
    """Return a value for people."""
    if isinstance(value, list):
        return " + ".join(map(_words, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
