"""svmcifar evaluate."""

import json
from pathlib import Path

import click

from svmcifar.cli import options, tracking
from svmcifar.cli.help import GroupedCommand
from svmcifar.cli.image_models import (
    NetworkReading,
    is_network,
    load_image_model,
    network_options,
    recorded_data,
)
from svmcifar.cli.progress import with_progress
from svmcifar.cli.settings import settings_of


@click.command(cls=GroupedCommand)
@options.model
@options.data
@options.split
@click.option(
    "--json",
    "json_path",
    type=options.FILE,
    help="Write all scores to this JSON file; - is standard output.",
)
@options.figure("the confusion matrix")
@click.option("--per-class", is_flag=True, help="Print the scores of all classes, however many.")
@options.device
@network_options()
@options.jobs
@options.no_cache
@tracking.option
@options.overwrite
@with_progress
@click.pass_context
def command(
    context: click.Context,
    /,
    model_path: Path,
    data: options.DataOptions,
    split: str,
    json_path: Path | None,
    figure_path: Path | None,
    per_class: bool,
    device: str,
    normalise: str | None,
    checkpoint_key: str | None,
    arch: str | None,
    image_size: int | None,
    jobs: int | None,
    no_cache: bool,
    track: str | None,
    overwrite: bool,
) -> None:
    """Score MODEL, an SVM or a network, on the test images.

    MODEL is a file of 'svmcifar train', a network (.pth, .onnx ...), or the word
    'bundled' for the network that comes with svmcifar.

    Prints accuracy with its 95 % interval, top-5 accuracy, precision, recall,
    F1, kappa, hinge loss, calibrated log loss, and the scores of the classes: of more
    than 25 the best and the worst five.
    The log loss of a model that was trained with --probability is that of its
    probabilities; their expected calibration error, and the accuracy of the half
    of the images with the largest probabilities, are printed too.
    """
    from svmcifar.data.dataset import kind_words
    from svmcifar.io.files import written_together
    from svmcifar.model.evaluate import evaluate_classifier
    from svmcifar.plots.confusion_matrix import confusion_figure
    from svmcifar.plots.figures import save_figure

    options.reserve_output(json_path)
    options.check_outputs(overwrite, json_path, figure=figure_path, keep=[model_path])
    on_gpu = options.wants_gpu(device)
    dataset = data.open(recorded_data(model_path))
    cache = options.open_feature_cache(no_cache)
    reading = NetworkReading(normalise, checkpoint_key, arch, image_size)
    model = load_image_model(model_path, dataset, cache, jobs, reading, on_gpu)
    tracker = None
    if track:
        told = {"command": "evaluate", "data": dataset.label, **settings_of(context)}
        tracker = tracking.start_tracking(track, model_path.stem, told)
    n_found = cache.n_found if cache else 0
    result = evaluate_classifier(model, dataset, split, on_gpu=on_gpu)

    synthetic = dataset.is_synthetic
    kind = kind_words(result.label_kind, dataset.label_kinds)[1]
    click.echo(options.titled(f"{split} images, {len(result.scores.per_class)} {kind}", synthetic))
    click.echo(result.scores.to_text(per_class))
    for rule, upper in (
        ("\nmapped up to superclasses", result.superclass_scores),
        ("probabilities summed by superclass", result.summed_superclass_scores),
    ):
        if upper:
            low, high = upper.accuracy_interval
            click.echo(
                f"{rule}: accuracy {upper.accuracy:.2%} "
                f"(95 % interval {low:.2%} to {high:.2%})"
                + ("" if upper.log_loss is None else f", log loss {upper.log_loss:.4f} nats")
            )
    found = ", found in the cache" if cache and cache.n_found > n_found else ""
    features = "" if is_network(model_path) else f", features included{found}"
    where = " on the GPU" if on_gpu else ""
    click.echo(
        f"\npredicted {result.scores.n_samples:,} images in {result.predict_s:.1f} s{where}"
        f"{features}"
    )
    with written_together():
        if json_path:
            scores = json.dumps(result.to_dict(), indent=2, allow_nan=False)
            with options.written(json_path) as file:
                file.write(scores + "\n")
        if figure_path:
            title = options.titled(f"Confusion matrix, {split} images (%)", synthetic)
            names = result.scores.per_class["name"].tolist()
            save_figure(confusion_figure(result.scores.confusion, names, title), figure_path)
    if tracker:
        upper = result.superclass_scores
        above = {} if upper is None else {"superclass_accuracy": upper.accuracy}
        results = {**result.scores.to_dict(), **above, "predict_s": result.predict_s}
        tracker.finish(results, file=model_path)
    if json_path:
        click.echo(f"scores: {json_path}")
    if figure_path:
        click.echo(f"confusion matrix: {figure_path}")
