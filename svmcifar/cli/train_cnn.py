"""svmcifar train-cnn."""

from dataclasses import asdict, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from svmcifar.cli import options, resuming, tracking
from svmcifar.cli.help import GroupedCommand
from svmcifar.cli.progress import with_progress
from svmcifar.cli.recipe_options import parse_settings, recipe_options
from svmcifar.cli.settings import settings_in_effect, settings_options
from svmcifar.data.dataset import CLASSES, LABEL_KINDS, SUPERCLASSES
from svmcifar.errors import OutputError
from svmcifar.text import shortened

# Keys of accuracies in the history, by name for people.
_ACCURACIES = {"classes": "accuracy", "superclasses": f"{SUPERCLASSES}_accuracy"}


@click.command(cls=GroupedCommand)
@partial(settings_options, folder="cnn/", of="a training of the documents")
@options.data
@recipe_options
@options.with_default(
    "--device",
    click.Choice(["auto", "cpu", "gpu"]),
    "auto",
    "Where to train; auto is the GPU where PyTorch finds one.",
)
@click.option(
    "--jobs",
    type=options.COUNT,
    help="Threads to work with.  Each number of them rounds differently.  [default: all "
    "processors]",
)
@options.out(
    "model.pth",
    "The weights to write; .onnx and .json are written beside them.  Snapshots are numbered.",
)
@click.option("--half", is_flag=True, help="Store the weights as float16, at half the size.")
@resuming.option("a training")
@options.figure("loss and accuracy of each epoch")
@tracking.option
@options.overwrite
@with_progress
@click.pass_context
def command(
    context: click.Context,
    /,
    data: options.DataOptions,
    device: str,
    jobs: int | None,
    out: Path,
    half: bool,
    resume: bool,
    figure_path: Path | None,
    track: str | None,
    overwrite: bool,
    **recipe_fields: Any,
) -> None:
    """Train a convolutional network on the classes.

    By default the reference network: Adam with a one-cycle schedule on augmented
    images.  After each epoch the state is written beside the output, so that a
    stopped training can go on.
    """
    _check_packages()
    import torch

    from svmcifar.cnn.blueprint import default_image_size
    from svmcifar.cnn.first_weights import read_first_weights
    from svmcifar.cnn.recipe import Recipe, choose_device, device_name, fastest_precision
    from svmcifar.cnn.train import check_outputs, output_files, state_path, train_checkpoint

    recipe_fields.pop("config")
    n_snapshots, arch = recipe_fields["snapshots"], recipe_fields["arch"]
    check_outputs(out, n_snapshots, resume=resume, overwrite=overwrite)
    kept = [*output_files(out, n_snapshots), state_path(out)]
    options.check_outputs(overwrite, figure=figure_path, keep=kept)
    if arch != "reference" and context.get_parameter_source("width") is ParameterSource.COMMANDLINE:
        raise click.UsageError(f"--width is of the reference network; --set has those of {arch}.")
    if jobs:
        torch.set_num_threads(jobs)
    chosen = choose_device(device)
    if recipe_fields["precision"] == "auto":
        recipe_fields["precision"] = fastest_precision(chosen)
    named = recipe_fields.pop("weights")
    recipe_fields["settings"] = parse_settings(recipe_fields["settings"])
    recipe = Recipe(**recipe_fields)
    dataset = data.open()
    if recipe.image_size is None:
        recipe = replace(recipe, image_size=default_image_size(arch, dataset.image_shape))
    weights = None
    if named is not None:
        weights, words = read_first_weights(named, recipe.blueprint(dataset.superclass_of))
        recipe = replace(recipe, weights=words)
    if settings := settings_in_effect(context):
        click.echo(f"settings     {settings}")
    click.echo(f"data         {dataset.label}, {dataset.location}")
    click.echo(f"network      {recipe.blueprint(dataset.superclass_of)}")
    click.echo(f"device       {device_name(chosen)}, {recipe.precision}")
    state = state_path(out)
    if resume and state.exists():
        click.echo(f"state        going on from {state}")
    else:
        click.echo(f"state        {state} after each epoch; --resume goes on from it")
    tracker = None
    if track is not None:
        tracker = tracking.start_tracking(track, out.stem, asdict(recipe))
    try:
        card = train_checkpoint(
            dataset,
            recipe,
            out,
            device=chosen,
            weights=weights,
            half=half,
            resume=resume,
            overwrite=overwrite,
            progress=False,
            on_epoch=lambda entry: _report_epoch(entry, recipe.all_epochs, tracker),
            on_saving=lambda card: _draw_curves(card, out.stem, figure_path),
        )
    except (OutputError, KeyboardInterrupt) as error:
        reason = str(error) or "stopped"
        raise click.ClickException(
            f"{reason}; {state} holds the training up to its last whole epoch; to go on: "
            f"{resuming.command_to_go_on(context.command)}"
            if state.exists()
            else f"{reason}; the first epoch is not complete, so there is nothing to go on from"
        ) from error
    if tracker is not None:
        right = {k: card["test"].get(f"{k}_right") for k in LABEL_KINDS}
        n = card["test"]["n"]
        accuracies = {f"test_{k}_accuracy": of / n for k, of in right.items() if of is not None}
        tracker.finish(accuracies, file=out)
    _report(card, output_files(out, n_snapshots))
    if figure_path:
        click.echo(f"curves       {figure_path}")


def _check_packages() -> None:
    """Raise if PyTorch or onnx is missing."""
    from svmcifar.errors import BackendUnavailableError

    if missing := [name for name in ("torch", "onnx") if find_spec(name) is None]:
        raise BackendUnavailableError(
            f"train-cnn: PyTorch and onnx must be installed, got no {' and no '.join(missing)}; "
            "install them with `pip install 'svmcifar[cnn]'`"
        )


def _report_epoch(entry: dict[str, float], n_epochs: int, tracker: tracking.Tracker | None) -> None:
    """Print losses and accuracies of an epoch above the progress bar, and record them."""
    if tracker is not None:
        tracker.log(entry)
    parts = [f"epoch {entry['epoch']:.0f}/{n_epochs}"]
    for images in ("train", "validation"):
        if f"{images}_loss" in entry:
            scores = [
                f"{name} {entry[f'{images}_{key}']:.1%}"
                for name, key in _accuracies_in(entry).items()
            ]
            parts.append(f"{images}: loss {entry[f'{images}_loss']:.3f}, {', '.join(scores)}")
    click.echo("  ".join([*parts, f"{entry['seconds']:.1f} s"]))


def _accuracies_in(entry: dict[str, float]) -> dict[str, str]:
    """Return the keys of the accuracies in an entry of the history, by name."""
    return {name: key for name, key in _ACCURACIES.items() if f"train_{key}" in entry}


def _draw_curves(card: dict[str, Any], name: str, path: Path | None) -> None:
    """Draw the training of a network, from its card."""
    if path is None:
        return
    from svmcifar.plots.figures import save_figure
    from svmcifar.plots.learning_curves import curves_figure

    title = options.titled(f"training of {shortened(name)}", card["data"]["synthetic"])
    accuracies = _accuracies_in(card["history"][0])
    save_figure(curves_figure(card["history"], title, accuracies), path)


def _report(card: dict[str, Any], files: list[Path]) -> None:
    """Print the scores and the files."""
    from svmcifar.compute.memory import format_bytes
    from svmcifar.metrics.per_class import accuracy_interval

    click.echo(
        f"trained      {card['training_s']:.0f} s, {card['validation_rows']} images held out"
    )
    if "kept_epoch" in card:
        click.echo(f"kept         epoch {card['kept_epoch']}, the best on held-out images")
    n = card["test"]["n"]
    if together := card.get("ensemble"):
        singles = ", ".join(f"{right / n:.2%}" for right in together["single_right"])
        click.echo(f"snapshots    {singles} of {n} test images in their classes")
        click.echo(
            f"together     {together['sum_right'] / n:.2%} by the sum of probabilities, "
            f"{together['vote_right'] / n:.2%} by vote"
        )
    for kind, name in ((CLASSES, "classes"), (SUPERCLASSES, "superclasses")):
        n_right = card["test"].get(f"{kind}_right")
        if n_right is None:
            continue
        low, high = accuracy_interval(n_right, n)
        click.echo(
            f"test         {n_right / n:.2%} of {n} images in their {name} "
            f"(95 % interval {low:.2%} to {high:.2%})"
        )
    sizes = ", ".join(f"{path} ({format_bytes(path.stat().st_size)})" for path in files)
    synthetic = ", trained on SYNTHETIC data" if card["data"]["synthetic"] else ""
    click.echo(f"saved        {sizes}{synthetic}")
