"""svmcifar predict."""

from pathlib import Path

import click

from svmcifar.cli import options
from svmcifar.cli.progress import with_progress
from svmcifar.cli.terminal import data_output


@click.command()
@options.model
@click.argument("images", nargs=-1, type=click.Path(path_type=Path))
@options.data
@options.split
@options.out(None, "The CSV to write.  [default: predictions.csv; standard output for IMAGES]")
@click.option(
    "--top",
    type=options.COUNT,
    metavar="K",
    help="Add the K most probable classes with their probabilities; for a model that was trained "
    "with --probability.",
)
@options.device
@options.jobs
@options.no_cache
@options.overwrite
@with_progress
def command(
    model_path: Path,
    images: tuple[Path, ...],
    data: str | None,
    skip_md5: bool,
    split: str,
    out: Path | None,
    top: int | None,
    device: str,
    jobs: int | None,
    no_cache: bool,
    overwrite: bool,
) -> None:
    """Predict the classes of IMAGES, or of a split of the data set, as a CSV.

    Image files may have any size and format; their central square is resized to
    the size of the data set's images.  The predicted class is that of the pairs'
    votes, and need not be the most probable one of --top.
    """
    from svmcifar.data.image_files import read_image
    from svmcifar.data.registry import DATASETS
    from svmcifar.io.csv_files import write_table
    from svmcifar.io.files import atomic_path
    from svmcifar.model.persistence import load_classifier, read_manifest
    from svmcifar.model.predict import predict_files, predict_split

    if out is None and not images:
        out = Path("predictions.csv")
    options.check_outputs(overwrite, out, keep=[model_path, *images])
    on_gpu = options.wants_gpu(device)
    dataset = None
    if not images or read_manifest(model_path).slim:
        dataset = options.open_data(data, skip_md5)
    shape = (dataset or DATASETS[0]).description.image_shape
    pixels = [read_image(path, shape) for path in images]
    model = load_classifier(model_path, dataset, options.open_feature_cache(no_cache), jobs)
    if dataset and not images:
        table = predict_split(model, dataset, split, top=top or 0, on_gpu=on_gpu)
    else:
        table = predict_files(model, images, pixels, top=top or 0, on_gpu=on_gpu)
    if out is None:
        with data_output() as stream:
            write_table(table, stream)
        return
    with atomic_path(out) as temporary:
        write_table(table, temporary)
    click.echo(f"{out}: {len(table)} predictions" + (" (SYNTHETIC)" if model.is_synthetic else ""))
