"""svmcifar train."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import click

from svmcifar.cli import options, resuming, tracking
from svmcifar.cli.feature_options import feature_options, to_options
from svmcifar.cli.help import GroupedCommand
from svmcifar.cli.kernel_options import KernelOptions, kernel_options
from svmcifar.cli.progress import with_progress
from svmcifar.cli.settings import (
    comes_from_file,
    settings_in_effect,
    settings_of,
    settings_options,
)
from svmcifar.cli.terminal import shell_word
from svmcifar.data.dataset import SUPERCLASSES
from svmcifar.errors import DataError, OutputError

if TYPE_CHECKING:
    from svmcifar.data.dataset import Dataset
    from svmcifar.features.settings import FeatureSettings
    from svmcifar.model.classifier import ImageClassifier


# Parameters that a fit may change when it goes on.
_OF_THE_RUN = ("backend", "n_jobs", "memory_limit", "verbose")


@click.command(cls=GroupedCommand)
@settings_options
@options.data
@click.option(
    "--label-csv",
    type=options.FILE,
    help="The superclass of each class; written if it does not exist.  [default: data/labels.csv, "
    "or data/labels-SYNTHETIC.csv for the synthetic stand-in]",
)
@options.labels("Train on the superclasses or on the classes.")
@feature_options()
@options.with_default("--C", options.POSITIVE, 1.0, "Regularisation.", name="C")
@kernel_options
@options.solver
@click.option(
    "--probability",
    is_flag=True,
    help="Train class probabilities too, for predict --top, evaluate and compare: five more fits, "
    "on four fifths of the images each, and predictions of the rest.",
)
@options.with_default(
    "--backend",
    click.Choice(["auto", "cuml", "cupy", "numba", "sklearn"]),
    "auto",
    "The solver; auto is the fastest that works here (see 'svmcifar info').",
)
@click.option(
    "--dask",
    "scheduler",
    metavar="ADDRESS",
    help="Fit on the workers of this Dask scheduler, such as tcp://10.0.0.1:8786, with --backend "
    "numba or cupy. All machines must share the folder of the output.",
)
@resuming.option("a fit")
@click.option(
    "--strict", is_flag=True, help="Stop if the backend does not work here; never fall back."
)
@options.limit("Train on this many images, drawn evenly over the classes.")
@options.seed("Random seed of images for --limit, patches and folds.")
@click.option(
    "--searched",
    type=options.COUNT,
    metavar="N",
    help="How many settings were tried to find these, for reports; configs of 'svmcifar tune' say.",
)
@options.memory_limit("kernel blocks and samples")
@options.jobs
@options.no_cache
@options.out("model.skops", "The model file to write.")
@click.option(
    "--slim", is_flag=True, help="Leave support vectors out; loading then needs the data set."
)
@tracking.option
@options.overwrite
@options.verbose
@with_progress
@click.pass_context
def command(
    context: click.Context,
    preset: str | None,
    config: Path | None,
    data: options.DataOptions,
    label_csv: Path | None,
    labels: str | None,
    features: "FeatureSettings",
    C: float,
    kernel: KernelOptions,
    tol: float,
    max_iter: int | None,
    class_weight: str | None,
    probability: bool,
    backend: str,
    scheduler: str | None,
    resume: bool,
    strict: bool,
    limit: int | None,
    seed: int,
    searched: int | None,
    memory_limit: str | None,
    jobs: int | None,
    no_cache: bool,
    out: Path,
    slim: bool,
    track: str | None,
    overwrite: bool,
    verbose: bool,
) -> None:
    """Train an exact one-vs-one kernel SVM, by default of the RBF kernel, and save it."""
    from svmcifar.compute.blas import blas_kernels
    from svmcifar.compute.memory import format_bytes
    from svmcifar.data.labels import check_or_write_label_csv
    from svmcifar.io.files import written_together
    from svmcifar.model.card import card_path, write_card
    from svmcifar.model.persistence import save_model
    from svmcifar.model.train import count_held_out, train_classifier

    clock = perf_counter()
    options.check_outputs(overwrite, out, card_path(out), keep=[config] if config else [])
    resuming.check_parts(out, resume=resume, overwrite=overwrite)
    fitting = _FitOnCluster(scheduler, out, backend) if scheduler else None
    svc = kernel.make_svc(
        C=C,
        tol=tol,
        max_iter=-1 if max_iter is None else max_iter,
        class_weight=class_weight,
        probability=probability,
        backend="dask" if fitting else _usable(backend, strict),
        n_jobs=jobs,
        memory_limit=memory_limit,
    )
    if resume and svc.backend not in ("numba", "dask"):
        raise click.UsageError(f"--resume goes on with fits by numba or --dask, not {svc.backend}.")
    features.validate()
    cache = options.open_feature_cache(no_cache)
    dataset = data.open()
    label_kind = options.label_kind(labels, dataset)
    train = dataset.read_split("train")
    n_images = min(limit or len(train.images), len(train.images))
    features = _fitting_components(context, features, n_images)
    map_csv = _label_csv(label_csv, dataset)
    options.check_outputs(overwrite, out, card_path(out), keep=[map_csv] if map_csv else [])
    if settings := settings_in_effect(context):
        click.echo(f"settings     {settings}")
    click.echo(f"data         {dataset.label}, {dataset.location}")
    click.echo(f"labels       {label_kind}{_where_map_is(dataset, map_csv)}")
    if verbose:
        click.echo(f"BLAS         {'; '.join(blas_kernels())}")
    options.warn_of_slow_kernels()
    tracker = None
    if track:
        told = {"command": "train", "data": dataset.label, "preset": preset or "none"}
        tracker = tracking.start_tracking(track, out.stem, told | settings_of(context))
    fitted = {
        **{"data": dataset.md5s["train"], "labels": label_kind, "limit": limit, "seed": seed},
        **to_options(features),
        **{name: value for name, value in svc.get_params().items() if name not in _OF_THE_RUN},
    }
    with (
        fitting or nullcontext(),
        resuming.parts_kept(out, fitted, resume=resume, at_once=bool(fitting)),
    ):
        model = train_classifier(
            dataset,
            train,
            svc,
            features,
            label_kind=label_kind,
            limit=limit,
            seed=seed,
            preset=preset,
            n_settings=searched,
            cache=cache,
        )
        save = partial(save_model, model, slim=slim, overwrite=overwrite)
        with options.kept_elsewhere(out, save), written_together():
            save(out)
            write_card(model, out)
            if map_csv:
                check_or_write_label_csv(dataset, map_csv)
    _report(model, verbose)
    accuracy = {}
    if held_out := count_held_out(model, train, cache):
        _report_accuracy(*held_out)
        write_card(model, out, held_out)
        accuracy = {"held_out_accuracy": held_out[0] / held_out[1]}
    if tracker:
        results = {**asdict(model.manifest.fit), **model.manifest.times, **accuracy}
        tracker.finish(results, file=out, content_hash=model.manifest.content_hash)
    click.echo(f"time         {perf_counter() - clock:.1f} s in all")
    synthetic = ", trained on SYNTHETIC data" if model.is_synthetic else ""
    size = format_bytes(out.stat().st_size)
    click.echo(f"saved        {out} ({size}), card {card_path(out).name}{synthetic}")
    words = map(shell_word, ["svmcifar", "evaluate", str(out), *data.to_words()])
    click.echo(f"next         {' '.join(words)}")


class _FitOnCluster(AbstractContextManager[None]):
    """Dask's workers for `SVC.fit`, with a folder beside the output for the parts of the fit."""

    def __init__(self, scheduler: str, out: Path, backend: str) -> None:
        self.scheduler = scheduler
        self.parts = resuming.parts_folder(out)
        self.solver = "numba" if backend == "auto" else backend
        if self.solver not in ("numba", "cupy"):
            raise click.UsageError(f"--dask has workers fit by numba or cupy, not by {backend}.")

    def __enter__(self) -> None:
        from svmcifar.svm.backends.dask_ovo import on_cluster

        self._cluster = on_cluster(self.scheduler, self.parts, self.solver)
        self._cluster.__enter__()
        click.echo(f"parts        {self.parts} while it lasts; --resume goes on from them")

    def __exit__(self, *error: Any) -> None:
        self._cluster.__exit__(*error)


def _fitting_components(
    context: click.Context, features: "FeatureSettings", n_images: int
) -> "FeatureSettings":
    """Lower the components of a preset or config to those that so few images have, and say so."""
    fitting = features.with_components_of(n_images)
    parts = {
        "pca": (features.n_components, fitting.n_components),
        "ridge_pca": (features.ridge_components, fitting.ridge_components),
    }
    changed = {name: of_name for name, of_name in parts.items() if len({*of_name}) > 1}
    if not changed or not all(comes_from_file(context, name) for name in changed):
        return features  # what the user asks for is not changed, but refused
    words = [f"{k.replace('_', '-')} {old} to {new or 'none'}" for k, (old, new) in changed.items()]
    click.echo(
        f"WARNING: {n_images:,} images have {n_images - 1:,} principal components: lowered "
        f"{', '.join(words)}.",
        err=True,
    )
    return fitting


def _label_csv(named: Path | None, dataset: "Dataset") -> Path | None:
    """Check the label CSV, or that it can be written; None if there is to be none."""
    from svmcifar.data.labels import check_label_csv, label_rows
    from svmcifar.io.files import check_output

    if SUPERCLASSES in dataset.description.n_classes and SUPERCLASSES not in dataset.label_kinds:
        return None  # they contradict one another, and the classes alone are trained on
    if SUPERCLASSES not in dataset.description.n_classes and named:
        raise DataError(
            f"--label-csv is of superclasses, and {dataset.description.name} has none; leave it out"
        )
    if not named and dataset.label_csv is None:
        return None
    path = named or Path("data", str(dataset.label_csv))
    if path.exists():
        check_label_csv(dataset, path)
        return path
    label_rows(dataset)  # raises if the data set contradicts itself
    try:
        check_output(path, overwrite=False)
    except OutputError:
        if named:
            raise
        return None
    return path


def _where_map_is(dataset: "Dataset", path: Path | None) -> str:
    """Tell where the map of the superclasses is, if there are any."""
    if path:
        return f", map in {path}"
    if SUPERCLASSES not in dataset.description.n_classes or dataset.label_csv is None:
        return ""
    if SUPERCLASSES not in dataset.label_kinds:
        return ", map not written, since superclasses contradict one another"
    return ", map not written: name a file with --label-csv"


def _usable(backend: str, strict: bool) -> str:
    """Return the backend to use; fall back from cuML to scikit-learn unless strict."""
    from svmcifar.svm.backends.registry import BACKENDS, choose_backend

    if backend != "cuml" or strict or (reason := BACKENDS["cuml"].why_not()) is None:
        return choose_backend(backend).name
    click.echo(
        f"WARNING: backend 'cuml' does not work here: {reason}. Falling back to scikit-learn on "
        f"the CPU, which can take hours; --backend {choose_backend('auto').name} gives the same "
        f"model much faster, --strict makes this an error.",
        err=True,
    )
    return "sklearn"


def _report(model: "ImageClassifier", verbose: bool) -> None:
    """Print the results of the fit."""
    from svmcifar.features.augmentation import describe_views
    from svmcifar.features.pipeline import step_names
    from svmcifar.svm.fit_report import kernel_parameters

    fit, times = model.manifest.fit, model.manifest.times
    unconverged = fit.unconverged_pairs
    plan = fit.memory_plan or "the backend's own"
    steps = " > ".join(step_names(model.features))
    click.echo(f"features     {steps}: {fit.n_features} a sample, {times['features_s']:.1f} s")
    seen = describe_views(model.augment, implied=fit.n_odd > 0)
    views = f" ({seen})" if seen else ""
    click.echo(
        f"fit          {fit.n_samples} samples{views}, {fit.n_pairs} pairs, "
        f"{times['fit_s']:.1f} s, backend {fit.backend}"
    )
    if verbose:
        click.echo(f"memory plan  {plan}")
    if verbose or unconverged:
        click.echo(
            f"convergence  {fit.n_iter} SMO steps, largest KKT gap {fit.largest_gap:.3g}, "
            + ("every pair converged" if not unconverged else f"{unconverged} pairs NOT converged")
        )
    kernel = [] if model.svc.kernel == "rbf" else [f"kernel {model.svc.kernel}"]
    kernel += [f"{name} {value:.6g}" for name, value in kernel_parameters(model.svc).items()]
    click.echo(f"model        {fit.n_support} support vectors, {', '.join(kernel)}")
    if verbose:
        click.echo(f"content hash {model.manifest.content_hash}")


def _report_accuracy(n_right: int, n: int) -> None:
    """Print the accuracy on training images that were left out."""
    from svmcifar.metrics.per_class import accuracy_interval

    low, high = accuracy_interval(n_right, n)
    click.echo(
        f"accuracy     {n_right / n:.2%} of {n:,} training images that --limit left out "
        f"(95 % interval {low:.2%} to {high:.2%})"
    )
