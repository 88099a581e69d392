"""Options and arguments that commands share."""

from collections.abc import Callable
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from svmcifar.data.dataset import LABEL_KINDS, SUPERCLASSES

if TYPE_CHECKING:
    from svmcifar.data.dataset import Dataset
    from svmcifar.features.cache import FeatureCache
    from svmcifar.model.classifier import ImageClassifier

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class FiniteRange(click.FloatRange):
    """A finite number in a range; click's own range lets NaN and infinity through."""

    def convert(
        self, value: Any, parameter: click.Parameter | None, context: click.Context | None
    ) -> float:
        """Read the number."""
        number = super().convert(value, parameter, context)
        if not isfinite(number):
            self.fail(f"{value} is not finite.", parameter, context)
        return number


FILE = click.Path(dir_okay=False, path_type=Path)
POSITIVE = FiniteRange(min=0, min_open=True)


def data_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--data`` and ``--skip-md5``."""
    command = click.option(
        "--skip-md5", is_flag=True, help="Accept a data set that was altered on purpose."
    )(command)
    return click.option(
        "--data",
        metavar="PATH",
        help="Folder or .tar.gz archive of the data set.  [default: $SVMCIFAR_DATA, then "
        "data/cifar-100-python, then the usual folders of torchvision and Keras]",
    )(command)


def labels_option(help_text: str) -> Decorator:
    """Add ``--labels``."""
    return click.option(
        "--labels",
        type=click.Choice(LABEL_KINDS),
        default=SUPERCLASSES,
        show_default=True,
        help=help_text,
    )


def solver_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--tol``, ``--max-iter`` and ``--class-weight``."""
    command = click.option(
        "--class-weight",
        type=click.Choice(["balanced"]),
        help="Weight classes inversely to their frequency.",
    )(command)
    command = click.option(
        "--max-iter",
        type=click.IntRange(min=1),
        help="Most SMO steps of a pair.  [default: LIBSVM's]",
    )(command)
    return click.option(
        "--tol",
        type=POSITIVE,
        default=1e-3,
        show_default=True,
        help="Largest KKT gap of a solved pair.",
    )(command)


def seed_option(help_text: str) -> Decorator:
    """Add ``--seed``."""
    return click.option(
        "--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help=help_text
    )


def memory_limit_option(what: str) -> Decorator:
    """Add ``--memory-limit``."""
    return click.option(
        "--memory-limit",
        metavar="SIZE",
        callback=_check_size,
        help=f"Memory for {what}, such as 2GB.  [default: what is free]",
    )


def limit_option(help_text: str) -> Decorator:
    """Add ``--limit``."""
    return click.option("--limit", type=click.IntRange(min=1), help=help_text)


def out_option(default: str | None, help_text: str) -> Decorator:
    """Add ``--out``."""
    return click.option(
        "--out",
        type=FILE,
        default=default,
        show_default=default is not None,
        help=help_text,
    )


overwrite_option = click.option(
    "--overwrite", is_flag=True, help="Replace files that exist already."
)

model_argument = click.argument("model_path", metavar="MODEL", type=click.Path(path_type=Path))

split_option = click.option(
    "--split",
    type=click.Choice(["test", "train"]),
    default="test",
    show_default=True,
    help="Images of the data set to use.",
)

jobs_option = click.option(
    "--jobs",
    type=click.IntRange(min=1),
    help="Number of threads.  Results do not depend on it.  [default: all processors]",
)


device_option = click.option(
    "--device",
    type=click.Choice(["cpu", "gpu"]),
    default="cpu",
    show_default=True,
    help="Where to compute features and predictions.",
)


no_cache_option = click.option(
    "--no-cache",
    is_flag=True,
    help="Do not use the feature cache (see 'svmcifar cache').",
)


def open_feature_cache(no_cache: bool) -> "FeatureCache | None":
    """Open the feature cache; print what it did when the command ends."""
    from svmcifar.features.cache import open_cache

    cache = None if no_cache else open_cache()
    if cache is not None:
        click.get_current_context().call_on_close(lambda: _report_cache(cache))
    return cache


def _report_cache(cache: "FeatureCache") -> None:
    from svmcifar.compute.memory import format_bytes

    if cache.n_found:
        click.echo(f"cache: features found in {cache.folder}, not computed", err=True)
    if cache.kept_bytes:
        kept, folder = format_bytes(cache.kept_bytes), cache.folder
        click.echo(f"cache: {kept} kept in {folder} (see 'svmcifar cache')", err=True)


def _check_size(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    from svmcifar.compute.memory import parse_bytes

    if value is not None:
        parse_bytes(value)
    return value


def warn_of_slow_kernels() -> None:
    """Print what to set if OpenBLAS took slower kernels than this processor can run."""
    from svmcifar.compute.blas import slow_kernels_advice

    if advice := slow_kernels_advice():
        click.secho(f"WARNING: {advice}", fg="yellow", err=True)


def wants_gpu(device: str) -> bool:
    """Return whether ``--device`` asks for the GPU; raise if it cannot be used."""
    from svmcifar.compute.arrays import require_gpu

    if device == "gpu":
        require_gpu()
    return device == "gpu"


def open_data(data: str | None, skip_md5: bool) -> "Dataset":
    """Open the data set that the options name."""
    from svmcifar.data.registry import open_dataset

    return open_dataset(data, check_md5=not skip_md5)


def open_model(
    path: Path,
    dataset: "Dataset | None",
    jobs: int | None,
    cache: "FeatureCache | None" = None,
) -> "ImageClassifier":
    """Load a model file, to work with `jobs` threads."""
    from svmcifar.model.persistence import load_model

    return load_model(path, dataset, cache, jobs)


def titled(text: str, synthetic: bool) -> str:
    """Return a title, marked where it is about synthetic data."""
    return f"SYNTHETIC data: {text}" if synthetic else text
