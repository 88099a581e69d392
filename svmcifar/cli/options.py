"""Options and arguments that commands share, and what they do with them."""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from functools import reduce, wraps
from math import isfinite
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from svmcifar.cli.terminal import data_output
from svmcifar.data.dataset import CLASSES, DATASET_WORDS, LABEL_KINDS, SUPERCLASSES
from svmcifar.errors import InputError, OutputError

if TYPE_CHECKING:
    from svmcifar.data.dataset import Dataset
    from svmcifar.features.cache import FeatureCache

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


STANDARD_OUTPUT = Path("-")
# Key of `Context.meta`: standard output, if it is for data alone.
_RESERVED = f"{__name__}.reserved"
FILE = click.Path(dir_okay=False, path_type=Path)
COUNT = click.IntRange(min=1)
POSITIVE = FiniteRange(min=0, min_open=True)


def group(*options: Decorator) -> Decorator:
    """Add several options, in this order."""
    return lambda command: reduce(lambda done, add: add(done), reversed(options), command)


def with_default(
    flag: str,
    of_type: click.ParamType,
    default: Any,
    help_text: str,
    name: str | None = None,
    **settings: Any,
) -> Decorator:
    """Add an option whose default stands in the help."""
    settings |= {"type": of_type, "default": default, "help": help_text}
    return click.option(*filter(None, (flag, name)), show_default=True, **settings)


def labels(help_text: str) -> Decorator:
    """Add ``--labels``; see `label_kind`."""
    return click.option(
        "--labels",
        type=click.Choice(LABEL_KINDS),
        help=f"{help_text}  [default: {SUPERCLASSES}; {CLASSES} where there are no superclasses]",
    )


def label_kind(labels: str | None, dataset: "Dataset") -> str:
    """Return the kind of labels to use; raise DataError if the data set has none of it."""
    kind = labels or (SUPERCLASSES if SUPERCLASSES in dataset.description.n_classes else CLASSES)
    dataset.require_kind(kind)
    return kind


def seed(help_text: str) -> Decorator:
    """Add ``--seed``."""
    return with_default("--seed", click.IntRange(0, 2**32 - 1), 0, help_text)


def memory_limit(what: str) -> Decorator:
    """Add ``--memory-limit``."""
    return click.option(
        "--memory-limit",
        metavar="SIZE",
        callback=_check_size,
        help=f"Memory for {what}, such as 2GB; a tight one may change the last digits of a model.  "
        "[default: what is free]",
    )


def _check_size(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    from svmcifar.compute.memory import parse_bytes

    if value is not None:
        parse_bytes(value)
        if value.strip().isdigit():
            raise click.BadParameter(
                f"{value} has no unit; write {value}GB, {value}MB or {value}B."
            )
    return value


def limit(help_text: str) -> Decorator:
    """Add ``--limit``."""
    return click.option("--limit", type=COUNT, help=help_text)


def out(default: str | None, help_text: str) -> Decorator:
    """Add ``--out``."""
    return click.option(
        "--out", type=FILE, default=default, show_default=default is not None, help=help_text
    )


def figure(what: str) -> Decorator:
    """Add ``--figure``, as ``figure_path``."""
    text = f"Draw {what} (.png, .svg or .pdf)."
    return click.option("--figure", "figure_path", type=FILE, help=text)


@dataclass(frozen=True)
class DataOptions:
    """The data set that a command line names."""

    place: str | None
    kind: str | None  # one of DATASET_WORDS
    image_size: int | None
    split_seed: int | None
    skip_md5: bool

    @property
    def is_named(self) -> bool:
        """Whether a data set is asked for."""
        return self.place is not None or self.kind is not None

    def open(self, *records: Mapping[str, Any]) -> "Dataset":
        """Open the data set; in what is not asked for, as one of some models read it.

        `records` are those of `Dataset.to_record` in models; the first one that tells counts.
        """
        from svmcifar.data.registry import open_dataset

        dataset = open_dataset(
            self.place,
            kind=self.kind,
            check_md5=not self.skip_md5,
            image_size=self.image_size,
            split_seed=self.split_seed,
        )
        known = next((record for record in records if record.get("image_shape")), {})
        return dataset.like(known)

    def to_words(self) -> list[str]:
        """Return the options that another command needs for the same data set."""
        named = {"--data": self.place, "--dataset": self.kind}
        words = [word for flag, value in named.items() if value for word in (flag, value)]
        return words + ["--skip-md5"] * self.skip_md5


def data(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of the data set; the command receives `DataOptions` as ``data``."""

    @wraps(command)
    def collected(
        data: str | None,
        dataset: str | None,
        resize: int | None,
        split_seed: int | None,
        skip_md5: bool,
        **values: Any,
    ) -> Any:
        return command(data=DataOptions(data, dataset, resize, split_seed, skip_md5), **values)

    return group(
        click.option(
            "--data",
            metavar="PATH",
            help="The data set: folder, .tar.gz or .zip archive of CIFAR-100 or CIFAR-10, a folder "
            "of images in train/CLASS/ and test/CLASS/ or in CLASS/, an .npz file, or a folder of "
            "parquet files.  [default: $SVMCIFAR_DATA, then data/cifar-100-python, then the usual "
            "folders of torchvision and Keras]",
        ),
        click.option(
            "--dataset",
            type=click.Choice(DATASET_WORDS),
            help="What the data set is.  [default: what is found]",
        ),
        click.option(
            "--resize",
            type=click.IntRange(1, 1024),
            metavar="PIXELS",
            help="Height and width that images of your own are cropped and resized to.  [default: "
            "as the model's, else 32; of arrays their own]",
        ),
        click.option(
            "--split-seed",
            type=click.IntRange(0, 2**32 - 1),
            help="Random seed of the fifth of your own images that is held out for tests, where "
            "there are no test images.  [default: as the model's, else 0]",
        ),
        click.option(
            "--skip-md5", is_flag=True, help="Accept a data set that was altered on purpose."
        ),
    )(collected)


solver = group(
    with_default("--tol", POSITIVE, 1e-3, "Largest KKT gap of a solved pair."),
    click.option("--max-iter", type=COUNT, help="Most SMO steps of a pair.  [default: LIBSVM's]"),
    click.option(
        "--class-weight",
        type=click.Choice(["balanced"]),
        help="Weight classes inversely to their frequency.",
    ),
)
verbose = click.option(
    "--verbose", is_flag=True, help="Print what the solver did: plan, steps, gap, BLAS, hash."
)
overwrite = click.option("--overwrite", is_flag=True, help="Replace files that exist already.")
model = click.argument("model_path", metavar="MODEL", type=click.Path(path_type=Path))
split = with_default(
    "--split", click.Choice(["test", "train"]), "test", "Images of the data set to use."
)
jobs = click.option(
    "--jobs",
    type=COUNT,
    help="Number of threads.  Results do not depend on it, but with PCA or class scores, in their "
    "last digits, on those of BLAS (OPENBLAS_NUM_THREADS).  [default: all processors]",
)
device = with_default(
    "--device", click.Choice(["cpu", "gpu"]), "cpu", "Where to compute features and predictions."
)
no_cache = click.option(
    "--no-cache", is_flag=True, help="Do not use the feature cache (see 'svmcifar cache')."
)


def check_outputs(
    overwrite: bool, *paths: Path | None, figure: Path | None = None, keep: Iterable[Path] = ()
) -> None:
    """Raise OutputError if an output cannot be written, or is one of `keep` or another output."""
    from svmcifar.io.files import check_output

    kept = list(keep)
    for path in filter(None, (*paths, figure)):
        if path == STANDARD_OUTPUT:
            if _RESERVED in click.get_current_context().meta and path != figure:
                continue
            raise OutputError("-: this output cannot go to standard output; name a file")
        check_output(path, overwrite, kept)
        kept.append(path)
    if figure:
        from svmcifar.plots.figures import check_figure_path

        check_figure_path(figure)


def reserve_output(*paths: Path | None) -> None:
    """If one of the outputs is standard output, let all that is not data go to standard error.

    Raise UsageError if several are.
    """
    n = paths.count(STANDARD_OUTPUT)
    if n > 1:
        raise click.UsageError("Only one output can be standard output; name files for the others.")
    if n:
        context = click.get_current_context()
        context.meta[_RESERVED] = sys.stdout
        context.with_resource(redirect_stdout(sys.stderr))


@contextmanager
def written(path: Path) -> Iterator[IO[str]]:
    """Yield a text file in UTF-8 that appears at `path` as by `atomic_path`, or standard output.

    The latter must have been reserved.
    """
    from svmcifar.io.files import atomic_path

    if path == STANDARD_OUTPUT:
        with data_output(click.get_current_context().meta[_RESERVED]) as stream:
            yield stream
        return
    with (
        atomic_path(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        yield file


@contextmanager
def kept_elsewhere(path: Path, save: Callable[[Path], Any]) -> Iterator[None]:
    """If a block cannot write what took long to make, save that elsewhere and say where.

    The folders of the feature cache and of temporary files are tried, with a name like that of
    `path`.  The block's OutputError is raised all the same.
    """
    import secrets

    try:
        yield
    except OutputError as error:
        name = f"{path.stem}-{secrets.token_hex(4)}{path.suffix}"
        for folder in _spare_folders():
            with suppress(OutputError):
                save(folder / name)
                break
        else:
            raise
        raise OutputError(f"{error}; the model is kept: {folder / name}") from error


def _spare_folders() -> Iterator[Path]:
    import tempfile

    from svmcifar.features.cache_folder import make_store, read_cache_settings

    with suppress(InputError, OutputError):
        yield make_store(read_cache_settings().folder).parent
    with suppress(OSError):
        yield Path(tempfile.gettempdir())


def open_feature_cache(no_cache: bool) -> "FeatureCache | None":
    """Open the feature cache; when the command ends, print how it was used."""
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


def warn_of_slow_kernels() -> None:
    """Print what to set if OpenBLAS chose slower kernels than this processor can run."""
    from svmcifar.compute.blas import slow_kernels_advice

    if advice := slow_kernels_advice():
        click.echo(f"WARNING: {advice}", err=True)


def wants_gpu(device: str) -> bool:
    """Return whether ``--device`` is the GPU; raise BackendUnavailableError if there is none."""
    from svmcifar.compute.arrays import require_gpu

    if device == "gpu":
        require_gpu()
    return device == "gpu"


def titled(text: str, synthetic: bool) -> str:
    """Return a title, marked if it is about synthetic data."""
    return f"SYNTHETIC data: {text}" if synthetic else text
