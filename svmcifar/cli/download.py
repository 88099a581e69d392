"""svmcifar download."""

from pathlib import Path

import click

from svmcifar.cli import options
from svmcifar.cli.help import GroupedCommand
from svmcifar.cli.progress import with_progress
from svmcifar.data.dataset import DATASET_WORDS


@click.command(cls=GroupedCommand)
@options.with_default(
    "--data",
    click.Path(file_okay=False, path_type=Path),
    "data",
    "Folder to create the data set's own folder in.",
)
@options.with_default(
    "--dataset", click.Choice(DATASET_WORDS[:2]), DATASET_WORDS[0], "The data set to get."
)
@click.option(
    "--synthetic",
    is_flag=True,
    help="Make the SYNTHETIC stand-in instead: the same file format, no network.",
)
@with_progress
def command(data: Path, dataset: str, synthetic: bool) -> None:
    """Get CIFAR-100 or CIFAR-10 from its official address, or make the synthetic stand-in.

    An intact copy is not replaced; an interrupted download leaves no files.
    """
    if synthetic:
        if dataset != DATASET_WORDS[0]:
            raise click.UsageError(
                "--synthetic makes a stand-in for CIFAR-100; leave out --dataset."
            )
        from svmcifar.data.synthetic import write_synthetic

        folder = write_synthetic(data / "synthetic-cifar-100", progress=False)
        click.echo(f"SYNTHETIC stand-in for CIFAR-100: {folder}")
    else:
        from svmcifar.data.cifar10 import CIFAR_10
        from svmcifar.data.cifar100 import CIFAR_100
        from svmcifar.data.download import download_dataset

        description = {about.word: about for about in (CIFAR_100, CIFAR_10)}[dataset]
        folder = download_dataset(data, description=description)
        click.echo(f"{description.name}: {folder}")
