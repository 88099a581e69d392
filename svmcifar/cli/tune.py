"""svmcifar tune."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from svmcifar.cli import options, resuming, tracking
from svmcifar.cli.feature_options import feature_options, to_options
from svmcifar.cli.help import GroupedCommand
from svmcifar.cli.progress import with_progress
from svmcifar.cli.settings import settings_of
from svmcifar.cli.terminal import shell_word
from svmcifar.errors import InputError
from svmcifar.svm.path.grid import DEFAULT_C, DEFAULT_GAMMA, Gamma, Grid

if TYPE_CHECKING:
    from svmcifar.data.dataset import Dataset
    from svmcifar.data.sampling import RowSplit
    from svmcifar.features.settings import FeatureSettings
    from svmcifar.tuning.result import SearchResult


class _Values(click.ParamType):
    """One or more values, separated by commas."""

    def __init__(self, name: str, read: Callable[[str], Any]) -> None:
        self.name = name
        self.read = read

    def convert(
        self, value: Any, parameter: click.Parameter | None, context: click.Context | None
    ) -> list[Any]:
        """Read each value."""
        try:
            return [self.read(text) for text in str(value).split(",")]
        except InputError as error:
            self.fail(str(error), parameter, context)


def _require_rbf(_context: click.Context, _option: click.Parameter, value: str | None) -> None:
    """Raise InputError for another kernel than the one that is searched."""
    if value not in (None, "rbf"):
        raise InputError(
            f"tune searches the RBF kernel alone, got --kernel {value}; leave it out, and of other "
            f"kernels try values with 'svmcifar train --limit', or search an svmcifar.SVC with "
            f"scikit-learn's GridSearchCV"
        )


@click.command(cls=GroupedCommand)
@options.data
@options.labels("Search for the superclasses or for the classes.")
@feature_options(several_pca=True)
@options.with_default(
    "--C",
    _Values("FLOAT,...", lambda text: options.POSITIVE.convert(text, None, None)),
    [",".join(f"{C:g}" for C in DEFAULT_C)],
    "Values of the regularisation to try, separated by commas.",
    name="C",
    multiple=True,
)
@options.with_default(
    "--gamma",
    _Values("FLOAT|2x,...", Gamma.parse),
    [",".join(map(str, DEFAULT_GAMMA))],
    "Kernel coefficients to try: numbers, or multiples of 'scale' such as 2x.",
    multiple=True,
)
@click.option(
    "--holdout",
    type=options.COUNT,
    help="Score on this many images, drawn evenly over the classes.  [default: a fifth, "
    "one of each class at least]",
)
@click.option(
    "--folds",
    type=click.IntRange(min=2),
    help="Score by this many folds instead of one held-out part.",
)
@click.option("--kernel", hidden=True, expose_value=False, callback=_require_rbf)
@options.solver
@options.limit("Search on this many training images, drawn evenly over the classes.")
@options.seed("Random seed of images, patches and folds.")
@options.memory_limit("kernel blocks, samples and coefficients")
@options.jobs
@options.no_cache
@options.out("tuned.toml", "The best setting, for 'svmcifar train --config'.")
@resuming.option("a search")
@click.option(
    "--table",
    type=options.FILE,
    help="Write every setting with its scores to this CSV; - is standard output.",
)
@click.option(
    "--heatmap", type=options.FILE, help="Draw the scores to this file (.png, .svg or .pdf)."
)
@tracking.option
@options.overwrite
@options.verbose
@with_progress
@click.pass_context
def command(
    context: click.Context,
    /,
    data: options.DataOptions,
    labels: str | None,
    features: "FeatureSettings",
    n_components: list[int | None],
    C: tuple[list[float], ...],
    gamma: tuple[list[Any], ...],
    holdout: int | None,
    folds: int | None,
    tol: float,
    max_iter: int | None,
    class_weight: str | None,
    limit: int | None,
    seed: int,
    memory_limit: str | None,
    jobs: int | None,
    no_cache: bool,
    out: Path,
    resume: bool,
    table: Path | None,
    heatmap: Path | None,
    track: str | None,
    overwrite: bool,
    verbose: bool,
) -> None:
    """Search C, gamma and the number of components on training images.

    A part of the training images is held out, or each of several folds in turn; the test images
    are not read. Every distance is computed once, whatever the number of settings.
    """
    from svmcifar.data.sampling import draw_rows, fold_splits, holdout_split
    from svmcifar.io.csv_files import write_table
    from svmcifar.io.files import written_together
    from svmcifar.svm.estimator import RBFSVC
    from svmcifar.tuning.output import write_config
    from svmcifar.tuning.tune import require_searchable, tune

    if folds and holdout:
        raise click.UsageError("--folds and --holdout exclude each other; leave one of them out.")
    options.reserve_output(out, table)
    options.check_outputs(overwrite, out, table, figure=heatmap)
    resuming.check_parts(out, resume=resume, overwrite=overwrite)
    # Validate before the data is read.
    grid = Grid(chain(*C), chain(*gamma), n_components)
    features = require_searchable(features, grid)
    svc = RBFSVC(
        tol=tol,
        max_iter=-1 if max_iter is None else max_iter,
        class_weight=class_weight,
        n_jobs=jobs,
        memory_limit=memory_limit,
    )
    cache = options.open_feature_cache(no_cache)
    dataset = data.open()
    label_kind = options.label_kind(labels, dataset)
    train = dataset.read_split("train")
    if limit is not None:
        train = train.take(draw_rows(train.classes, limit, seed))
    if folds:
        splits = fold_splits(train.labels[label_kind], folds, seed)
    else:
        splits = [holdout_split(train.classes, holdout, seed)]
    _print_heading(dataset, label_kind, splits, grid)
    options.warn_of_slow_kernels()
    tracker = None
    if track:
        told = {"command": "tune", "data": dataset.label, **settings_of(context)}
        tracker = tracking.start_tracking(track, out.stem, told)
    searched = {
        "data": dataset.md5s["train"],
        "labels": label_kind,
        **to_options(features),
        **{name: getattr(grid, name) for name in ("C", "gamma", "n_components")},
        **{"holdout": holdout, "folds": folds, "limit": limit, "seed": seed},
        **{"tol": tol, "max-iter": max_iter, "class-weight": class_weight},
    }
    with resuming.parts_kept(out, searched, resume=resume):
        result = tune(
            svc, grid, train, splits, features, label_kind=label_kind, seed=seed, cache=cache
        )
        _report(result, verbose)
        best = result.best
        chosen = replace(features, n_components=best.n_components or features.n_components)
        config = {
            "labels": label_kind,
            **to_options(chosen),
            "C": best.C,
            "gamma": best.gamma,
            "tol": tol,
            "max-iter": max_iter,
            "class-weight": class_weight,
            "seed": seed,
            "searched": len(result.table),
        }
        with written_together():
            with options.written(out) as file:
                write_config(file, config, _comments(result, dataset))
            if table:
                with options.written(table) as file:
                    write_table(result.table, file)
            if heatmap:
                _draw_heatmap(result, heatmap, label_kind, dataset.is_synthetic)
    if tracker:
        score = {"held_out_accuracy": best.score, "standard_error": best.std_error}
        settings = {"best_C": best.C, "best_gamma": best.gamma, "best_pca": best.n_components}
        tracker.finish({**score, **settings, **result.times}, file=out)
    files = [path for path in (out, table, heatmap) if path not in (None, options.STANDARD_OUTPUT)]
    if files:
        click.echo(f"saved        {', '.join(map(str, files))}")
    if out in files:
        click.echo(f"next         svmcifar train --config {shell_word(str(out))}")


def _print_heading(
    dataset: "Dataset", labels: str, splits: "Sequence[RowSplit]", grid: Grid
) -> None:
    """Print data, labels, split sizes and grid."""
    n_train, n_held_out = (len(rows) for rows in splits[0])
    times = "" if len(splits) == 1 else f", in each of {len(splits)} folds"
    gammas = ", ".join(map(str, grid.gamma)) + (" scale" if grid.gamma[0].times_scale else "")
    click.echo(f"data         {dataset.label}, {dataset.location}, training images alone")
    click.echo(f"labels       {labels}")
    click.echo(f"images       {n_train} to train on, {n_held_out} held out{times}")
    click.echo(f"grid         C {', '.join(f'{C:g}' for C in grid.C)}")
    click.echo(f"             gamma {gammas}")
    if grid.n_components != (None,):
        click.echo(f"             components {', '.join(map(str, grid.n_components))}")


def _report(result: "SearchResult", verbose: bool) -> None:
    """Print times and the best settings; warn if the best is at an end of the grid."""
    from svmcifar.tuning.output import result_lines

    times = result.times
    click.echo(
        f"search       {len(result.table)} settings in {sum(times.values()):.1f} s: features "
        f"{times['features_s']:.1f} s, pairs {times['solve_s']:.1f} s, held-out images "
        f"{times['score_s']:.1f} s"
    )
    if verbose:
        click.echo(f"memory plan  {result.memory_plan}")
    click.echo("\n".join(result_lines(result)))
    for edge in result.edges:
        click.echo(f"WARNING: {edge}; search beyond it.", err=True)


def _draw_heatmap(result: "SearchResult", path: Path, labels: str, synthetic: bool) -> None:
    """Draw the scores with the best setting in the title."""
    from svmcifar.plots.figures import save_figure
    from svmcifar.plots.search_heatmap import search_figure

    best = result.best
    title = f"{labels} labels, best {best.score:.2%} at C {best.C:g}, gamma {best.gamma:.3g}"
    save_figure(search_figure(result.table, options.titled(title, synthetic)), path)


def _comments(result: "SearchResult", dataset: "Dataset") -> list[str]:
    """Describe the origin of the settings, as comments of the config."""
    best, row = result.best, result.table.iloc[0]
    how = f"{result.n_splits} folds" if result.n_splits > 1 else "one held-out part"
    return [
        "Found by svmcifar tune; for svmcifar train --config.",
        f"{dataset.label}, md5 of train {dataset.md5s['train']}",
        f"{row['n_train']} training images, {row['n_held_out']} held out, {how}",
        f"accuracy {best.score:.4f}, standard error {best.std_error:.4f}, "
        f"the best of {len(result.table)} settings",
    ]
