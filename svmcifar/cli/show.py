"""svmcifar show."""

from pathlib import Path

import click

from svmcifar.cli import options
from svmcifar.cli.help import GroupedCommand
from svmcifar.cli.image_models import (
    NetworkReading,
    load_image_model,
    network_options,
    recorded_data,
)
from svmcifar.cli.progress import with_progress

_N_IMAGES = 9


@click.command(cls=GroupedCommand)
@options.model
@options.data
@options.out("grid.png", "The picture to write (.png, .svg or .pdf).")
@network_options()
@options.jobs
@options.no_cache
@options.overwrite
@with_progress
def command(
    model_path: Path,
    data: options.DataOptions,
    out: Path,
    normalise: str | None,
    checkpoint_key: str | None,
    arch: str | None,
    image_size: int | None,
    jobs: int | None,
    no_cache: bool,
    overwrite: bool,
) -> None:
    """Draw the first nine test images with their predicted and true class names.

    MODEL is a file of 'svmcifar train', a network (.pth, .onnx ...), or the word
    'bundled' for the network that comes with svmcifar.
    For the accuracy of MODEL see 'svmcifar evaluate'.
    """
    from svmcifar.model.evaluate import require_same_classes
    from svmcifar.plots.figures import image_grid_figure, save_figure

    options.check_outputs(overwrite, figure=out, keep=[model_path])
    dataset = data.open(recorded_data(model_path))
    cache = options.open_feature_cache(no_cache)
    reading = NetworkReading(normalise, checkpoint_key, arch, image_size)
    model = load_image_model(model_path, dataset, cache, jobs, reading)
    require_same_classes(model, dataset)
    test = dataset.read_split("test")
    images = test.images[:_N_IMAGES]
    truth = test.labels[model.label_kind][:_N_IMAGES]
    predicted = model.predict(images)
    names = model.class_names
    figure = image_grid_figure(
        dataset.image_shape.to_pictures(images),
        [names[c] for c in predicted],
        [names[c] for c in truth],
        options.titled(f"First {len(images)} test images", dataset.is_synthetic),
    )
    save_figure(figure, out)
    click.echo(f"{out}: {(predicted == truth).sum()} of {len(images)} right")
