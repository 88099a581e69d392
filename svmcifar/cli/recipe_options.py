"""Options of `train-cnn` for the network and how it is trained."""

from typing import Any

import click

from svmcifar.cli import options

_SHARE = options.FiniteRange(min=0, max=1, max_open=True)


def recipe_options(command: Any) -> Any:
    """Add the options whose values are the fields of `svmcifar.cnn.recipe.Recipe`."""
    return options.group(
        options.with_default(
            "--arch",
            click.STRING,
            "reference",
            "The network: reference, weak-baseline, refined, tuned, five-blocks, simple-cnn, "
            "torchvision:NAME or timm:NAME.",
            metavar="NAME",
        ),
        options.with_default(
            "--width",
            options.COUNT,
            64,
            "Channels of the reference network's first convolution; the others follow in "
            "proportion.",
        ),
        click.option(
            "--set",
            "settings",
            multiple=True,
            metavar="KEY=VALUE",
            help="A setting of another network, such as units=256 of tuned; may be repeated.",
        ),
        options.with_default(
            "--head",
            click.Choice(["standard", "gumbel", "hierarchical", "adaptive"]),
            "standard",
            "The softmax behind the last layer.",
        ),
        click.option(
            "--image-size",
            type=options.COUNT,
            help="Resize images to this height and width in the network.  [default: what a "
            "library's network needs, else not at all]",
        ),
        click.option(
            "--weights",
            metavar="FILE|imagenet",
            help="Start from these weights; the last layer stays random if it has other classes.",
        ),
        options.with_default(
            "--head-epochs",
            click.IntRange(min=0),
            0,
            "Train the last layer alone first for so many epochs.",
        ),
        options.with_default(
            "--head-learning-rate", options.POSITIVE, 1e-3, "The constant rate of --head-epochs."
        ),
        options.with_default("--epochs", options.COUNT, 50, "Passes over the training images."),
        options.with_default("--batch-size", options.COUNT, 128, "Images a step."),
        options.with_default(
            "--optimizer",
            click.Choice(["adam", "sgd"]),
            "adam",
            "Adam, or gradient descent with momentum 0.9.",
        ),
        options.with_default(
            "--learning-rate",
            options.POSITIVE,
            1e-3,
            "The highest of the schedule.",
            name="max_learning_rate",
        ),
        options.with_default(
            "--schedule",
            click.Choice(["one-cycle", "constant", "step", "cosine", "cyclic"]),
            "one-cycle",
            "How the learning rate changes, batch by batch.",
        ),
        click.option(
            "--milestones",
            multiple=True,
            type=options.COUNT,
            help="Divide the rate of the schedule 'step' by ten after this epoch; may be "
            "repeated.  [default: half and three quarters of the epochs]",
        ),
        options.with_default(
            "--weight-decay",
            options.FiniteRange(min=0),
            1e-3,
            "L2 penalty added to the gradient.",
        ),
        options.with_default(
            "--label-smoothing", _SHARE, 0.0, "Share of the target that all classes get."
        ),
        options.with_default(
            "--augmentation",
            click.Choice(["standard", "flip-shift", "none"]),
            "standard",
            "How training images are changed: standard rotates them too.",
            name="augment",
        ),
        options.with_default(
            "--jitter",
            options.FiniteRange(min=0, max=5),
            1.0,
            "Strength of the colour jitter of an augmentation; 1 is 20 % and a tenth of the hues.",
        ),
        options.with_default(
            "--normalise",
            click.STRING,
            "cifar10",
            "How pixels are normalised: cifar100, cifar10, imagenet, half, none, or M,M,M/S,S,S.",
            metavar="NAME",
        ),
        options.with_default(
            "--validation",
            options.FiniteRange(min=0, max=0.5),
            0.1,
            "Share of the training images to hold out and watch; 0 trains on all.",
            metavar="SHARE",
        ),
        options.with_default(
            "--keep",
            click.Choice(["last", "best"]),
            "last",
            "The epoch to save: the last, or the most accurate on held-out images.",
        ),
        click.option(
            "--patience",
            type=options.COUNT,
            help="Stop after so many epochs without a better accuracy on held-out images.",
        ),
        options.with_default(
            "--snapshots",
            click.IntRange(min=0),
            0,
            "Save the network at the ends of so many cycles of epochs: a snapshot ensemble.",
        ),
        options.with_default(
            "--precision",
            click.Choice(["auto", "float32", "bfloat16"]),
            "auto",
            "Floating-point format to train in; auto is bfloat16 where the processor has it.",
        ),
        options.seed("Random seed of first weights, order, augmentation and --validation."),
    )(command)


def parse_settings(texts: tuple[str, ...]) -> dict[str, Any]:
    """Read settings of a network, KEY=VALUE each: whole numbers, numbers or text."""
    settings: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not (key and equals and value):
            raise click.UsageError(f"--set takes KEY=VALUE. Got {text!r} instead.")
        settings[key] = _plain(value)
    return settings


def _plain(text: str) -> Any:
    for of_type in (int, float):
        try:
            return of_type(text)
        except ValueError:
            pass
    return text
