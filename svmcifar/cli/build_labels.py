"""svmcifar build-labels."""

from pathlib import Path

import click

from svmcifar.cli.options import data_options, open_data, out_option, overwrite_option


@click.command()
@data_options
@out_option("data/labels.csv", "The CSV to write.")
@overwrite_option
def command(data: str | None, skip_md5: bool, out: Path, overwrite: bool) -> None:
    """Write the map from the 100 fine classes to the 20 superclasses as a CSV.

    It is derived from the pairs of labels in the pickles, and checked: five fine
    classes in each superclass, the same in both splits.
    """
    from svmcifar.data.labels import write_label_csv
    from svmcifar.io.files import check_output

    check_output(out, overwrite)
    dataset = open_data(data, skip_md5)
    write_label_csv(dataset, out, overwrite=overwrite)
    click.echo(f"{out}: 100 fine classes in 20 superclasses, from {dataset.label}")
