"""svmcifar compare."""

import shlex
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from svmcifar.cli import options
from svmcifar.cli.help import GroupedCommand
from svmcifar.cli.image_models import (
    BUNDLED,
    NetworkReading,
    is_network,
    network_options,
    open_network,
    recorded_data,
)
from svmcifar.cli.progress import with_progress
from svmcifar.cli.resuming import typed_words
from svmcifar.compute.progress import stage
from svmcifar.data.dataset import CLASSES, kind_words
from svmcifar.text import one_line

if TYPE_CHECKING:
    from svmcifar.cnn.image_network import ImageNetwork
    from svmcifar.data.dataset import Dataset, Split
    from svmcifar.features.cache import FeatureCache
    from svmcifar.model.classifier import ImageClassifier

_BUNDLED_NOTE = "the network that comes with svmcifar"
_TRAINED_NOTE = "trained by this command, since no SVM was given"
_MODEL_NAME = "model.skops"
_C = 10.0
_N_WORSE = 1000  # images that are made worse


class _CompareCommand(GroupedCommand):
    """Takes models by options alone."""

    allow_extra_args = True

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments; a model without an option is told which."""
        super().parse_args(context, args)
        if context.args and not context.resilient_parsing:
            path = context.args[0]
            option = "--cnn" if is_network(Path(path)) else "--svm"
            raise click.UsageError(
                f"Models are named by --svm and --cnn. Got {path!r}. Write {option} before it.",
                context,
            )
        return context.args


@click.command(cls=_CompareCommand)
@click.option(
    "--cnn",
    "cnns",
    multiple=True,
    is_flag=False,
    flag_value=BUNDLED,
    metavar="[PATH]",
    help="A network, .pth or .onnx; may be given several times.  Without a value, and if no "
    "--cnn is given: the network that comes with svmcifar.",
)
@click.option("--no-cnn", is_flag=True, help="Compare SVMs alone; give --svm at least twice.")
@click.option(
    "--svm",
    "svm_paths",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A model of 'svmcifar train', of classes or superclasses; may be given several times.  "
    f"[default: train one on the classes with C = {_C:g} and save it in the output folder]",
)
@click.option(
    "--ensemble",
    type=click.Choice(["sum", "vote"]),
    help="Compare all networks together as well: the largest sum of probabilities, or the most "
    "votes, ties broken by the sum.",
)
@click.option(
    "--robustness",
    type=click.IntRange(min=1),
    is_flag=False,
    flag_value=_N_WORSE,
    metavar="[IMAGES]",
    help="Ask all models about test images with noise, blur, less contrast and a shift as well, "
    f"each at five strengths: 20 questions an image.  Without a value: {_N_WORSE:,} images.",
)
@network_options(multiple=True)
@options.data
@options.with_default("--out", click.Path(path_type=Path), "report", "The folder to write.")
@options.jobs
@options.no_cache
@options.overwrite
@with_progress
def command(
    cnns: tuple[str, ...],
    no_cnn: bool,
    svm_paths: tuple[Path, ...],
    ensemble: str | None,
    robustness: int | None,
    normalise: tuple[str, ...],
    checkpoint_key: tuple[str, ...],
    arch: tuple[str, ...],
    image_size: tuple[int, ...],
    data: options.DataOptions,
    out: Path,
    jobs: int | None,
    no_cache: bool,
    overwrite: bool,
) -> None:
    """Compare networks with SVMs on the test images, and write a report.

    All models predict the same images.  They are scored on the superclasses,
    and on the classes if they were trained on them: accuracy with intervals,
    paired tests, costs, and the images on which models disagree.  Of several
    networks and SVMs the first ones are shown in most detail.
    """
    from svmcifar.compare.assemble import (
        ask_models,
        compare_predictions,
        describe_models,
        model_ids,
    )
    from svmcifar.compare.report.write import write_report
    from svmcifar.compare.robustness import measure_robustness
    from svmcifar.io.folders import check_folder, staged_folder
    from svmcifar.model.persistence import save_model

    if no_cnn and (cnns or len(svm_paths) < 2):
        raise click.UsageError("--no-cnn needs at least two --svm, and no --cnn.")
    cnns = cnns or (() if no_cnn else (BUNDLED,))
    if ensemble and len(cnns) < 2:
        raise click.UsageError("--ensemble needs at least two networks; give --cnn once more.")
    named = {
        "--normalise": normalise,
        "--checkpoint-key": checkpoint_key,
        "--arch": arch,
        "--image-size": image_size,
    }
    readings = _readings(named, len(cnns))
    check_folder(out, overwrite)
    paths = [*svm_paths, *map(Path, cnns)]
    dataset = data.open(*map(recorded_data, paths))
    cache = options.open_feature_cache(no_cache)
    networks = _load_networks(cnns, readings, dataset, jobs)
    ids = model_ids("cnn", networks)
    notes = {i: _BUNDLED_NOTE for i, cnn in zip(ids, cnns, strict=True) if cnn == BUNDLED}
    svms = _load_svms(svm_paths, dataset, cache, jobs)
    test = dataset.read_split("test")
    keeping: AbstractContextManager[None] = nullcontext()
    if not svms:
        svms = [_train_svm(dataset, dataset.read_split("train"), jobs)]
        notes["svm"] = _TRAINED_NOTE
        keep = partial(save_model, svms[0], slim=True)
        keeping = options.kept_elsewhere(Path(_MODEL_NAME), keep)

    ask = partial(ask_models, networks, svms, dataset, ensemble=ensemble)
    predictions = ask(test)
    worse = robustness and measure_robustness(
        ask, test, dataset.image_shape, robustness, predictions
    )
    with keeping, staged_folder(out) as folder:
        saved = None
        if not svm_paths:
            saved, svm_paths = _MODEL_NAME, (folder / _MODEL_NAME,)
            keep(*svm_paths)
        with_files = list(zip(svms, svm_paths, strict=True))
        entries = describe_models(
            networks, with_files, predictions, dataset, ensemble=ensemble, notes=notes
        )
        typed = shlex.join(typed_words())
        with stage("scores and tests"):
            comparison = compare_predictions(
                entries, predictions, dataset, test, typed, worse or None
            )
        with stage("figures, tables and page"):
            write_report(comparison, predictions, dataset, test, folder, saved)
    click.echo(comparison.title)
    for sentence in comparison.conclusion:
        click.echo(f"- {one_line(sentence)}")
    click.echo(f"report: {out / 'report.html'}")


def _readings(named: dict[str, tuple[Any, ...]], n_networks: int) -> list[NetworkReading]:
    """Return how each network is read: by one value for all of them, or one for each, in order."""
    columns = []
    for flag, values in named.items():
        if len(values) not in (0, 1, n_networks):
            raise click.UsageError(
                f"{flag} may be given once for all networks, or once for each of the {n_networks}, "
                f"in their order; it is given {len(values)} times."
            )
        columns.append(values if len(values) == n_networks else (*values, None)[:1] * n_networks)
    return [NetworkReading(*values) for values in zip(*columns, strict=True)]


def _load_networks(
    cnns: tuple[str, ...], readings: list[NetworkReading], dataset: "Dataset", jobs: int | None
) -> "list[ImageNetwork]":
    """Load the networks; raise CheckpointError if two are the same."""
    from svmcifar.errors import CheckpointError

    networks: dict[Any, ImageNetwork] = {}
    for cnn, reading in zip(cnns, readings, strict=True):
        network = open_network(Path(cnn), dataset, jobs, reading)
        if other := networks.get((network.sha256, reading)):
            raise CheckpointError(
                f"{cnn}: a network may be given once, and it is the same as {other.path}; "
                "leave one of them out"
            )
        networks[network.sha256, reading] = network
    return list(networks.values())


def _load_svms(
    paths: tuple[Path, ...], dataset: "Dataset", cache: "FeatureCache | None", jobs: int | None
) -> "list[ImageClassifier]":
    """Load the SVMs; raise ModelFileError if two are the same."""
    from svmcifar.errors import ModelFileError
    from svmcifar.model.evaluate import require_same_classes
    from svmcifar.model.persistence import load_classifier

    svms: list[ImageClassifier] = []
    for path in paths:
        svm = load_classifier(path, dataset, cache, jobs)
        require_same_classes(svm, dataset)
        for other, other_path in zip(svms, paths, strict=False):
            if other.manifest.content_hash == svm.manifest.content_hash:
                raise ModelFileError(
                    f"{path}: an SVM may be given once, and it is the same as {other_path}; "
                    "leave one of them out"
                )
        svms.append(svm)
    return svms


def _train_svm(dataset: "Dataset", train: "Split", jobs: int | None) -> "ImageClassifier":
    """Train an SVM with default settings on the classes."""
    from svmcifar.model.train import train_classifier
    from svmcifar.svm.estimator import RBFSVC

    n_classes = len(dataset.class_names(CLASSES))
    names = f"{n_classes} {kind_words(CLASSES, dataset.label_kinds)[1]}"
    click.echo(
        f"No --svm given: training one on raw pixels and the {names}, C = {_C:g}, with "
        "the fastest exact backend."
    )
    svc = RBFSVC(C=_C, backend="auto", n_jobs=jobs)
    return train_classifier(dataset, train, svc, label_kind=CLASSES)
