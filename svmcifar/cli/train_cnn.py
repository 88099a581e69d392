"""svmcifar train-cnn."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from svmcifar.cli import options
from svmcifar.cli.help import GroupedCommand
from svmcifar.cli.progress import with_progress
from svmcifar.data.dataset import CLASSES, SUPERCLASSES
from svmcifar.errors import OutputError
from svmcifar.text import shortened

# Keys of accuracies in the history, by name for people.
_ACCURACIES = {"classes": "accuracy", "superclasses": f"{SUPERCLASSES}_accuracy"}


@click.command(cls=GroupedCommand)
@options.data
@options.with_default(
    "--width",
    options.COUNT,
    64,
    "Channels of the first convolution; the others follow in proportion.",
)
@options.with_default("--epochs", options.COUNT, 50, "Passes over the training images.")
@options.with_default("--batch-size", options.COUNT, 128, "Images a step.")
@options.with_default(
    "--learning-rate",
    options.POSITIVE,
    1e-3,
    "The highest of the one-cycle schedule.",
    name="max_learning_rate",
)
@options.with_default(
    "--weight-decay", options.FiniteRange(min=0), 1e-3, "Adam's own, added to the gradient."
)
@options.with_default(
    "--validation",
    options.FiniteRange(min=0, max=0.5),
    0.1,
    "Share of the training images to hold out and watch; 0 trains on all.",
    metavar="SHARE",
)
@options.with_default(
    "--precision",
    click.Choice(["auto", "float32", "bfloat16"]),
    "auto",
    "Floating-point format to train in; auto is bfloat16 where the processor has it.",
)
@options.with_default(
    "--device",
    click.Choice(["auto", "cpu", "gpu"]),
    "auto",
    "Where to train; auto is the GPU where PyTorch finds one.",
)
@options.seed("Random seed of first weights, order, augmentation and --validation.")
@click.option(
    "--jobs",
    type=options.COUNT,
    help="Threads to work with.  Each number of them rounds differently.  [default: all "
    "processors]",
)
@options.out("model.pth", "The weights to write; .onnx and .json are written beside them.")
@click.option("--half", is_flag=True, help="Store the weights as float16, at half the size.")
@click.option("--resume", is_flag=True, help="Go on with a training that was stopped.")
@options.figure("loss and accuracy of each epoch")
@options.overwrite
@with_progress
def command(
    data: options.DataOptions,
    device: str,
    jobs: int | None,
    out: Path,
    half: bool,
    resume: bool,
    figure_path: Path | None,
    overwrite: bool,
    **recipe_fields: Any,
) -> None:
    """Train the reference convolutional network on the classes.

    Adam with a one-cycle schedule on augmented images.  After each epoch the
    state is written beside the output, so that a stopped training can go on.
    """
    _check_packages()
    import torch

    from svmcifar.cnn.checkpoint import checkpoint_files
    from svmcifar.cnn.recipe import Recipe, choose_device, device_name, fastest_precision
    from svmcifar.cnn.train import check_outputs, state_path, train_checkpoint

    check_outputs(out, resume=resume, overwrite=overwrite)
    kept = [*checkpoint_files(out), state_path(out)]
    options.check_outputs(overwrite, figure=figure_path, keep=kept)
    if jobs:
        torch.set_num_threads(jobs)
    chosen = choose_device(device)
    if recipe_fields["precision"] == "auto":
        recipe_fields["precision"] = fastest_precision(chosen)
    recipe = Recipe(**recipe_fields)
    dataset = data.open()
    click.echo(f"data         {dataset.label}, {dataset.location}")
    click.echo(f"device       {device_name(chosen)}, {recipe.precision}")
    state = state_path(out)
    if resume and state.exists():
        click.echo(f"state        going on from {state}")
    else:
        click.echo(f"state        {state} after each epoch; --resume goes on from it")
    try:
        card = train_checkpoint(
            dataset,
            recipe,
            out,
            device=chosen,
            half=half,
            resume=resume,
            overwrite=overwrite,
            progress=False,
            on_epoch=lambda entry: _report_epoch(entry, recipe.epochs),
            on_saving=lambda card: _draw_curves(card, out.stem, figure_path),
        )
    except (OutputError, KeyboardInterrupt) as error:
        reason = str(error) or "stopped"
        raise click.ClickException(
            f"{reason}; {state} holds the training up to its last whole epoch: go on with the same "
            "options and --resume"
            if state.exists()
            else f"{reason}; the first epoch is not complete, so there is nothing to go on from"
        ) from error
    _report(card, checkpoint_files(out))
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


def _report_epoch(entry: dict[str, float], n_epochs: int) -> None:
    """Print losses and accuracies of an epoch above the progress bar."""
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
    n = card["test"]["n"]
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
