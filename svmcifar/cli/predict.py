"""svmcifar predict."""

import os
from pathlib import Path
from typing import BinaryIO

import click

from svmcifar.cli import options
from svmcifar.cli.help import GroupedCommand
from svmcifar.cli.image_models import (
    NetworkReading,
    image_shape_of,
    is_network,
    load_image_model,
    network_options,
    recorded_data,
)
from svmcifar.cli.progress import with_progress
from svmcifar.errors import DataError
from svmcifar.text import one_line


@click.command(cls=GroupedCommand)
@options.model
@click.argument("images", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--files-from",
    type=click.File("rb"),
    metavar="FILE",
    help="A file that names IMAGES, one a line, for more than a command line holds; - for standard "
    "input.",
)
@options.data
@options.split
@options.out(
    None, "The CSV to write; - is standard output.  [default: predictions.csv; - for IMAGES]"
)
@click.option(
    "--top",
    type=options.COUNT,
    metavar="K",
    help="Add the K most probable classes with their probabilities; for a network, or an SVM that "
    "was trained with --probability.",
)
@options.device
@network_options()
@options.jobs
@options.no_cache
@options.overwrite
@with_progress
def command(
    model_path: Path,
    images: tuple[Path, ...],
    files_from: BinaryIO | None,
    data: options.DataOptions,
    split: str,
    out: Path | None,
    top: int | None,
    device: str,
    normalise: str | None,
    checkpoint_key: str | None,
    arch: str | None,
    image_size: int | None,
    jobs: int | None,
    no_cache: bool,
    overwrite: bool,
) -> None:
    """Predict the classes of IMAGES, or of a split of the data set, as a CSV.

    MODEL is a file of 'svmcifar train', a network (.pth, .onnx ...), or the word
    'bundled' for the network that comes with svmcifar.  A network without a card
    and a slim SVM need the data set too.

    IMAGES are files, folders (all image files in them and in folders within, but
    hidden ones) and patterns such as 'photos/*.jpg'.  They may have any format that
    Pillow reads, and up to 179 megapixels (117 with transparency); their central
    square is resized to the size of the data set's images.  A file that cannot be
    read has no row: the others are predicted, such files are listed in the end, and
    the exit code is 1.

    The class that an SVM predicts is that of the pairs' votes, and need not be the
    most probable one of --top.
    """
    from svmcifar.data.image_files import find_images, read_images
    from svmcifar.io.csv_files import write_table
    from svmcifar.model.persistence import read_manifest
    from svmcifar.model.predict import predict_files, predict_split

    if files_from:
        images += tuple(Path(os.fsdecode(line)) for line in files_from.read().splitlines() if line)
        if not images:
            raise click.UsageError("--files-from names no image.")
    if out is None:
        out = options.STANDARD_OUTPUT if images else Path("predictions.csv")
    options.reserve_output(out)
    images = tuple(find_images(images))
    options.check_outputs(overwrite, out, keep=[model_path, *images])
    on_gpu = options.wants_gpu(device)
    dataset = None
    needs_data = data.is_named if is_network(model_path) else read_manifest(model_path).slim
    record = recorded_data(model_path)
    if not images or needs_data:
        dataset = data.open(record)
    shape = dataset.image_shape if dataset else image_shape_of(record)
    readable, pixels, errors = read_images(images, shape)
    if errors and not readable:
        raise _listed(errors, len(images))
    cache = options.open_feature_cache(no_cache)
    reading = NetworkReading(normalise, checkpoint_key, arch, image_size)
    model = load_image_model(model_path, dataset, cache, jobs, reading, on_gpu)
    if dataset and not images:
        table = predict_split(model, dataset, split, top=top or 0, on_gpu=on_gpu)
    else:
        table = predict_files(model, readable, pixels, top=top or 0, on_gpu=on_gpu)
    with options.written(out) as file:
        write_table(table, file)
    if out != options.STANDARD_OUTPUT:
        synthetic = " (SYNTHETIC)" if model.is_synthetic else ""
        click.echo(f"{out}: {len(table)} predictions{synthetic}")
    if errors:
        raise _listed(errors, len(images))


def _listed(errors: list[DataError], n_images: int) -> DataError:
    """Return the error of all images that could not be read; print theirs if it cannot hold it."""
    if len(errors) == 1:
        return errors[0]
    for error in errors:
        click.echo(one_line(str(error)), err=True)
    remedy = "the others are predicted" if len(errors) < n_images else "name others"
    return DataError(f"{len(errors)} of {n_images} images could not be read, see above; {remedy}")
