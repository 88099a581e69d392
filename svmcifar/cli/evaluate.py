"""svmcifar evaluate."""

import json
from pathlib import Path

import click

from svmcifar.cli.options import (
    FILE,
    data_options,
    device_option,
    jobs_option,
    model_argument,
    no_cache_option,
    open_data,
    open_feature_cache,
    open_model,
    overwrite_option,
    split_option,
    titled,
    wants_gpu,
)


@click.command()
@model_argument
@data_options
@split_option
@click.option("--json", "json_path", type=FILE, help="Write every score to this JSON file.")
@click.option(
    "--figure", "figure_path", type=FILE, help="Draw the confusion matrix (.png, .svg or .pdf)."
)
@device_option
@jobs_option
@no_cache_option
@overwrite_option
def command(
    model_path: Path,
    data: str | None,
    skip_md5: bool,
    split: str,
    json_path: Path | None,
    figure_path: Path | None,
    device: str,
    jobs: int | None,
    no_cache: bool,
    overwrite: bool,
) -> None:
    """Score MODEL on the test images.

    Accuracy with its 95 % interval, precision, recall, F1, kappa, hinge loss,
    calibrated log loss, every class, the best and the worst.
    """
    from svmcifar.data.dataset import kind_words
    from svmcifar.io.files import atomic_path, check_output
    from svmcifar.model.evaluate import evaluate_classifier
    from svmcifar.plots.confusion_matrix import confusion_figure
    from svmcifar.plots.figures import check_figure_path, save_figure

    if json_path:
        check_output(json_path, overwrite, keep=[model_path])
    if figure_path:
        check_output(figure_path, overwrite, keep=[model_path, *filter(None, [json_path])])
        check_figure_path(figure_path)
    on_gpu = wants_gpu(device)
    dataset = open_data(data, skip_md5)
    model = open_model(model_path, dataset, jobs, open_feature_cache(no_cache))
    result = evaluate_classifier(model, dataset, split, on_gpu=on_gpu)

    synthetic = dataset.is_synthetic
    kind = kind_words(result.label_kind, dataset.label_kinds)[1]
    click.echo(titled(f"{split} images, {len(result.scores.per_class)} {kind}", synthetic))
    click.echo(result.scores.to_text())
    if result.superclass_scores:
        upper = result.superclass_scores
        low, high = upper.accuracy_interval
        click.echo(
            f"\nmapped up to superclasses: accuracy {upper.accuracy:.2%} "
            f"(95 % interval {low:.2%} to {high:.2%})"
        )
    click.echo(f"\npredicted in {result.predict_s:.1f} s{' on the GPU' if on_gpu else ''}")
    if json_path:
        with atomic_path(json_path) as temporary:
            temporary.write_text(json.dumps(result.to_dict(), indent=2, allow_nan=False) + "\n")
        click.echo(f"scores: {json_path}")
    if figure_path:
        title = titled(f"Confusion matrix, {split} images (%)", synthetic)
        names = result.scores.per_class["name"].tolist()
        save_figure(confusion_figure(result.scores.confusion, names, title), figure_path)
        click.echo(f"confusion matrix: {figure_path}")
