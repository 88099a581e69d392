"""svmcifar tune-cnn."""

from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path

import click

from svmcifar.cli import options
from svmcifar.cli.help import GroupedCommand
from svmcifar.cli.progress import with_progress
from svmcifar.cli.terminal import shell_word

_EPOCHS = 15  # of the training for which the settings are meant


@click.command(cls=GroupedCommand)
@options.data
@options.limit("Search on this many training images, drawn evenly over the classes.")
@options.with_default("--trials", options.COUNT, 30, "Settings to try.")
@options.with_default("--epochs", options.COUNT, 10, "The most epochs of a trial.")
@options.with_default("--batch-size", options.COUNT, 128, "Images a step.")
@options.with_default(
    "--validation",
    options.FiniteRange(min=0.01, max=0.5),
    0.1,
    "Share of the training images to hold out and score on.",
    metavar="SHARE",
)
@options.with_default(
    "--device",
    click.Choice(["auto", "cpu", "gpu"]),
    "auto",
    "Where to train; auto is the GPU where PyTorch finds one.",
)
@options.seed("Random seed of the settings drawn, of first weights, order and --validation.")
@click.option("--jobs", type=options.COUNT, help="Threads.  [default: all processors]")
@click.option(
    "--study",
    type=options.FILE,
    help="Keep the trials in this file; a search that was stopped goes on from it.",
)
@options.out("tuned-cnn.toml", "The best settings, for 'svmcifar train-cnn --config'.")
@options.overwrite
@with_progress
def command(
    data: options.DataOptions,
    limit: int | None,
    trials: int,
    epochs: int,
    batch_size: int,
    validation: float,
    device: str,
    seed: int,
    jobs: int | None,
    study: Path | None,
    out: Path,
    overwrite: bool,
) -> None:
    """Search settings of a small network on training images, by Hyperband.

    Channels, units, activations, dropout and learning rate of --arch tuned. A
    part of the training images is held out; the test images are not read.
    """
    from svmcifar.errors import BackendUnavailableError

    if missing := [name for name in ("torch", "optuna") if find_spec(name) is None]:
        raise BackendUnavailableError(
            f"tune-cnn: PyTorch and Optuna must be installed, got no {' and no '.join(missing)}; "
            "install them with `pip install 'svmcifar[cnn,tune]'`"
        )
    import torch

    from svmcifar.cnn.recipe import Recipe, choose_device, fastest_precision
    from svmcifar.cnn.search import open_study, search
    from svmcifar.compute.progress import stage
    from svmcifar.data.sampling import draw_rows
    from svmcifar.io.files import output_errors
    from svmcifar.tuning.output import write_config

    options.check_outputs(overwrite, out, keep=[study] if study else [])
    if jobs:
        torch.set_num_threads(jobs)
    chosen = choose_device(device)
    recipe = Recipe(
        arch="tuned",
        epochs=epochs,
        batch_size=batch_size,
        validation=validation,
        precision=fastest_precision(chosen),
        seed=seed,
        schedule="constant",
        weight_decay=0.0,
        augment="none",
    )
    dataset = data.open()
    train = dataset.read_split("train")
    if limit is not None:
        train = train.take(draw_rows(train.classes, limit, seed))
    click.echo(f"data         {dataset.label}, {dataset.location}, training images alone")
    click.echo(f"images       {len(train.classes)}, {validation:.0%} of them held out")
    journal_errors = output_errors(study) if study else nullcontext()
    with stage("search", trials, "trials") as searching, journal_errors:
        known = open_study(study, seed, epochs)
        done = 0

        def report(number: int, words: str) -> None:
            nonlocal done
            searching.advance(number - done)
            done = number
            click.echo(f"trial {number}/{trials}  {words}")

        found = search(
            known,
            trials,
            train.images.reshape(-1, *dataset.image_shape),
            train.classes,
            dataset.superclass_of,
            recipe,
            device=chosen,
            on_trial=report,
        )
    config = {
        "arch": "tuned",
        "set": [f"{key}={value}" for key, value in found.settings.items()],
        "epochs": _EPOCHS,
        "batch-size": batch_size,
        "learning-rate": found.learning_rate,
        "schedule": "constant",
        "weight-decay": 0.0,
        "augmentation": "none",
        "validation": validation,
        "keep": "best",
        "seed": seed,
    }
    comments = [
        "Found by svmcifar tune-cnn; for svmcifar train-cnn --config.",
        f"{dataset.label}, md5 of train {dataset.md5s['train']}",
        f"{len(train.classes)} training images, {validation:.0%} of them held out",
        f"accuracy {found.accuracy:.4f} after {found.epoch} epochs, the best of {trials} trials",
    ]
    with options.written(out) as file:
        write_config(file, config, comments)
    click.echo(f"best         {found.accuracy:.2%} on held-out images after {found.epoch} epochs")
    click.echo(f"saved        {out}")
    click.echo(f"next         svmcifar train-cnn --config {shell_word(str(out))}")
