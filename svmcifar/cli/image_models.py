"""Models that commands take: SVMs and networks."""

from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from svmcifar.cli import options
from svmcifar.compute.image_shape import ImageShape
from svmcifar.errors import CheckpointError, InputError, ModelFileError
from svmcifar.text import one_line

if TYPE_CHECKING:
    from svmcifar.cnn.image_network import ImageNetwork
    from svmcifar.data.dataset import Dataset
    from svmcifar.features.cache import FeatureCache
    from svmcifar.model.image_model import ImageModel

BUNDLED = "bundled"
# Training images on which normalisations are tried.
_N_TRIED = 2000
_MOST_SIDE = 2048


class NetworkReading(NamedTuple):
    """How a network is read where its file does not tell; see `network_options`."""

    normalise: str | None
    key: str | None
    arch: str | None
    image_size: int | None


def network_options(**settings: Any) -> options.Decorator:
    """Add the options of how networks are read; `settings` are click's, of both."""
    return options.group(
        click.option(
            "--normalise",
            metavar="NAME",
            help="How images are normalised for a network: cifar100, cifar10, imagenet, half, none "
            "(0 to 1), 0-255, or means and deviations as 0.5,0.5,0.5/0.2,0.2,0.2.  [default: as "
            "its file or card says, else whichever is best on training images]",
            **settings,
        ),
        click.option(
            "--checkpoint-key",
            metavar="KEY",
            help="Where a network's weights lie in a checkpoint that holds several, such as "
            "model_ema.",
            **settings,
        ),
        click.option(
            "--arch",
            metavar="NAME",
            help="The architecture of a state dict, where it is not recognised: timm:NAME, "
            "torchvision:NAME, or FILE.py:FUNCTION, a function of your own that makes the network; "
            "the file is run.",
            **settings,
        ),
        click.option(
            "--image-size",
            type=click.IntRange(1, _MOST_SIDE),
            metavar="SIDE",
            help="Resize images to this height and width for a network that was trained so, such "
            "as 224.  [default: as its tensors or its card say, else as they are]",
            **settings,
        ),
    )


def is_network(path: Path) -> bool:
    """Return whether a model's path names a network, or is the word for the bundled one."""
    from svmcifar.cnn.formats import is_network_name

    return is_network_name(path) or str(path) == BUNDLED


def network_path(path: Path, synthetic: bool) -> Path:
    """Return the path of a network's file."""
    from svmcifar.cnn.bundled import bundled_checkpoint

    return bundled_checkpoint(synthetic) if str(path) == BUNDLED else path


def recorded_data(path: Path) -> dict[str, Any]:
    """Return what a model tells of its data set, as `Dataset.to_record`; {} if it does not.

    What is wrong with its file, loading it tells.
    """
    from svmcifar.cnn.model_card import card_data
    from svmcifar.model.persistence import read_manifest

    if is_network(path):
        return {} if str(path) == BUNDLED else card_data(path)
    with suppress(ModelFileError):
        return vars(read_manifest(path).data)
    return {}


def image_shape_of(record: Mapping[str, Any]) -> ImageShape:
    """Return the shape of the images that a model was trained on, by `recorded_data`."""
    from svmcifar.data.registry import DEFAULT_SHAPE

    return ImageShape(*(record.get("image_shape") or DEFAULT_SHAPE))


def load_image_model(
    path: Path,
    dataset: "Dataset | None",
    cache: "FeatureCache | None",
    jobs: int | None,
    reading: NetworkReading,
    on_gpu: bool = False,
) -> "ImageModel":
    """Load an SVM or a network; without a data set, a network's card must name its classes."""
    from svmcifar.model.persistence import load_classifier

    if not is_network(path):
        return load_classifier(path, dataset, cache, jobs)
    if on_gpu:
        raise InputError(f"{path}: a network predicts on the CPU; leave out --device")
    return open_network(path, dataset, jobs, reading)


def open_network(
    path: Path, dataset: "Dataset | None", jobs: int | None, reading: NetworkReading
) -> "ImageNetwork":
    """Load a network and settle its normalisation; say which, if it had to be found out."""
    from svmcifar.cnn.checkpoint import load_network
    from svmcifar.cnn.normalisation import settle_reading
    from svmcifar.compute.threads import count_workers
    from svmcifar.data.dataset import CLASSES, SUPERCLASSES
    from svmcifar.data.sampling import draw_rows

    names = dataset.class_names(CLASSES) if dataset else None
    kinds = dataset.label_kinds if dataset else ()
    superclasses = dataset.class_names(SUPERCLASSES) if dataset and SUPERCLASSES in kinds else ()
    shape = dataset.image_shape if dataset else image_shape_of(recorded_data(path))
    file = network_path(path, synthetic=dataset is not None and dataset.is_synthetic)
    try:
        network = load_network(
            file,
            names,
            shape,
            count_workers(jobs),
            key=reading.key,
            named=reading.arch,
            image_size=reading.image_size,
            superclass_names=superclasses,
        )
    except CheckpointError as error:
        if dataset is None or str(path) != BUNDLED:
            raise
        raise CheckpointError(
            f"{BUNDLED}: the network that comes with svmcifar is for the classes of CIFAR-100, got "
            f"those of {dataset.label}; name another, such as one of 'svmcifar train-cnn'"
        ) from error

    def draw(dataset: "Dataset") -> tuple[Any, Any]:
        train = dataset.read_split("train")
        chosen = train.take(draw_rows(train.classes, min(_N_TRIED, len(train.classes)), seed=0))
        return chosen.images, chosen.labels[network.label_kind]

    drawing = None if dataset is None else partial(draw, dataset)
    settled = settle_reading(network, reading.normalise, drawing)
    if network.alternatives and not settled.alternatives:
        click.echo(f"{one_line(str(path))}: read as {settled.architecture}", err=True)
    if network.normalisation is None and reading.normalise is None and not network.takes_bytes:
        click.echo(f"{one_line(str(path))}: images are normalised {settled.normalised}", err=True)
    return settled
