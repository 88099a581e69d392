"""svmcifar build-labels."""

from pathlib import Path

import click

from svmcifar.cli import options
from svmcifar.cli.help import GroupedCommand
from svmcifar.cli.progress import with_progress
from svmcifar.data.dataset import SUPERCLASSES
from svmcifar.errors import DataError


@click.command(cls=GroupedCommand)
@options.data
@options.out("data/labels.csv", "The CSV to write.")
@options.overwrite
@with_progress
def command(data: options.DataOptions, out: Path, overwrite: bool) -> None:
    """Write the superclass of each class as a CSV.

    Derived from the labels of the images, and checked: the superclasses are of
    equal size, and the same in both splits.
    """
    from svmcifar.data.dataset import kind_words
    from svmcifar.data.labels import write_label_csv

    options.check_outputs(overwrite, out)
    dataset = data.open()
    if SUPERCLASSES not in dataset.description.n_classes:
        raise DataError(
            f"{dataset.location}: the data set must have superclasses, and "
            f"{dataset.description.name} has none"
        )
    dataset.require_kind(SUPERCLASSES)
    write_label_csv(dataset, out, overwrite=overwrite)
    kinds = dataset.label_kinds
    counts = [f"{len(dataset.class_names(k))} {kind_words(k, kinds)[1]}" for k in reversed(kinds)]
    click.echo(f"{out}: {' in '.join(counts)}, from {dataset.label}")
