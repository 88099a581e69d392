"""svmcifar show."""

from pathlib import Path

import click

from svmcifar.cli.options import (
    data_options,
    jobs_option,
    model_argument,
    no_cache_option,
    open_data,
    open_feature_cache,
    open_model,
    out_option,
    overwrite_option,
    titled,
)

_N_IMAGES = 9


@click.command()
@model_argument
@data_options
@out_option("grid.png", "The picture to write (.png, .svg or .pdf).")
@jobs_option
@no_cache_option
@overwrite_option
def command(
    model_path: Path,
    data: str | None,
    skip_md5: bool,
    out: Path,
    jobs: int | None,
    no_cache: bool,
    overwrite: bool,
) -> None:
    """Draw the first nine test images with the names MODEL gives them and the true ones.

    Nine images say nothing of accuracy: ask 'svmcifar evaluate' for that.
    """
    from svmcifar.io.files import check_output
    from svmcifar.model.evaluate import require_same_classes
    from svmcifar.plots.figures import check_figure_path, image_grid_figure, save_figure

    check_output(out, overwrite, keep=[model_path])
    check_figure_path(out)
    dataset = open_data(data, skip_md5)
    model = open_model(model_path, dataset, jobs, open_feature_cache(no_cache))
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
        titled(f"First {len(images)} test images", dataset.is_synthetic),
    )
    save_figure(figure, out)
    click.echo(f"{out}: {(predicted == truth).sum()} of {len(images)} right")
