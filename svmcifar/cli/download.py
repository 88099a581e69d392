"""svmcifar download."""

from pathlib import Path

import click

from svmcifar.cli import options
from svmcifar.cli.help import GroupedCommand
from svmcifar.cli.progress import with_progress


@click.command(cls=GroupedCommand)
@options.with_default(
    "--data",
    click.Path(file_okay=False, path_type=Path),
    "data",
    "Folder to create the data set's own folder in.",
)
@click.option(
    "--synthetic",
    is_flag=True,
    help="Make the SYNTHETIC stand-in instead: the same file format, no network.",
)
@with_progress
def command(data: Path, synthetic: bool) -> None:
    """Get CIFAR-100 from its official address, or make the synthetic stand-in.

    An intact copy is not replaced; an interrupted download leaves no files.
    """
    if synthetic:
        from svmcifar.data.synthetic import write_synthetic

        folder = write_synthetic(data / "synthetic-cifar-100", progress=False)
        click.echo(f"SYNTHETIC stand-in for CIFAR-100: {folder}")
    else:
        from svmcifar.data.download import download_dataset

        folder = download_dataset(data)
        click.echo(f"CIFAR-100: {folder}")
