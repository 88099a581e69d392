"""svmcifar export."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from svmcifar.cli import options
from svmcifar.cli.help import GroupedCommand
from svmcifar.cli.image_models import image_shape_of
from svmcifar.cli.progress import with_progress
from svmcifar.errors import BackendUnavailableError, InputError

if TYPE_CHECKING:
    from svmcifar.data.dataset import Dataset

_FORMATS = ("sklearn", "onnx", "libsvm")
# Images whose samples are computed at a time.
_BATCH_IMAGES = 500


@click.command(cls=GroupedCommand)
@options.model
@click.option(
    "--format",
    "to",
    type=click.Choice(_FORMATS),
    required=True,
    help="sklearn: a fitted Pipeline that ends in sklearn.svm.SVC, in a skops file.  onnx: a graph "
    "from bytes of images to labels, scores and probabilities.  libsvm: LIBSVM's text file of the "
    "SVM.",
)
@click.option("--out", type=options.FILE, required=True, help="The file to write.")
@click.option(
    "--samples",
    type=options.FILE,
    help="With libsvm: write the samples of a split of the data set to this file too, as "
    "svm-predict reads them.",
)
@options.data
@options.split
@options.limit("Write the samples of the first so many images alone.")
@options.jobs
@options.overwrite
@with_progress
def command(
    model_path: Path,
    to: str,
    out: Path,
    samples: Path | None,
    data: options.DataOptions,
    split: str,
    limit: int | None,
    jobs: int | None,
    overwrite: bool,
) -> None:
    """Write MODEL for other programs.

    MODEL is a file of 'svmcifar train', or an SVC, or a pipeline that ends in one, that
    was saved in Python.  A slim one needs the data set; none needs a GPU.
    """
    from svmcifar.compute.memory import format_bytes
    from svmcifar.io.files import written_together
    from svmcifar.model.manifest import Manifest
    from svmcifar.model.persistence import load_model, read_any_manifest

    options.check_outputs(overwrite, out, samples, keep=[model_path])
    manifest = read_any_manifest(model_path)
    source = manifest.data if isinstance(manifest, Manifest) else None
    if samples and (to != "libsvm" or source is None):
        raise click.UsageError("--samples is for --format libsvm of a model of images.")
    if to == "onnx":
        _require_onnx(with_features=source is not None)
    dataset = None
    if isinstance(manifest, Manifest) and (samples or manifest.slim):
        dataset = data.open(vars(manifest.data))
    model = load_model(model_path, dataset, None, jobs)
    with written_together():
        paths = [out]
        if to == "sklearn":
            _write_sklearn(model, out)
        elif to == "onnx":
            paths = _write_onnx(model, vars(source) if source else {}, out, overwrite)
        else:
            _write_libsvm(model, out)
        if samples and dataset:
            _write_samples(model, dataset, split, limit, samples)
            paths.append(samples)
    for path in paths:
        click.echo(f"{path}: {format_bytes(path.stat().st_size)}")


def _require_onnx(*, with_features: bool) -> None:
    """Raise BackendUnavailableError if what writes ONNX graphs is missing."""
    packages = ["onnx", *(["torch", "onnxscript"] if with_features else [])]
    if missing := [name for name in packages if find_spec(name) is None]:
        raise BackendUnavailableError(
            f"export: {', '.join(packages)} must be installed to write ONNX, got no "
            f"{' and no '.join(missing)}; install them with `pip install 'svmcifar[cnn]'`"
        )


def _write_sklearn(model: Any, out: Path) -> None:
    import skops.io

    from svmcifar.io.files import atomic_path
    from svmcifar.model.one_view import to_sklearn

    exported = to_sklearn(model)
    with atomic_path(out) as temporary:
        skops.io.dump(exported, temporary)


def _write_onnx(model: Any, record: dict[str, Any], out: Path, overwrite: bool) -> list[Path]:
    """Write an ONNX graph; return the files that it is in.  `record` is of the model's data."""
    from svmcifar.io.onnx_graph import write_model
    from svmcifar.model.classifier import ImageClassifier
    from svmcifar.svm import onnx_export
    from svmcifar.svm.estimator import SVC

    if isinstance(model, ImageClassifier):
        from svmcifar.model.onnx_export import to_onnx

        graph = to_onnx(model, image_shape_of(record))
    elif isinstance(model, SVC):
        graph = onnx_export.to_onnx(model)
    else:
        raise InputError(
            f"A model for ONNX must be an image classifier or an SVC. Got a "
            f"{type(model).__name__}. Save its last step alone, or export it as sklearn."
        )
    return write_model(graph, out, overwrite=overwrite)


def _write_libsvm(model: Any, out: Path) -> None:
    from svmcifar.model.one_view import as_one_view
    from svmcifar.svm.libsvm_export import require_libsvm_form, write_libsvm

    _, svc = as_one_view(model)
    require_libsvm_form(svc)
    with options.written(out) as file:
        write_libsvm(svc, file)


def _write_samples(
    model: Any, dataset: "Dataset", split: str, limit: int | None, path: Path
) -> None:
    """Write the samples of a split for the SVM of an image classifier."""
    from sklearn.pipeline import Pipeline
    from sklearn.utils import gen_batches

    from svmcifar.compute.progress import stage
    from svmcifar.model.evaluate import require_same_classes
    from svmcifar.model.one_view import as_one_view
    from svmcifar.svm.libsvm_export import write_libsvm_samples

    require_same_classes(model, dataset)
    of_split = dataset.read_split(split)
    images, labels = of_split.images[:limit], of_split.labels[model.label_kind][:limit]
    steps, svc = as_one_view(model)
    pipeline = Pipeline(steps)
    with options.written(path) as file, stage("samples", len(images), "images") as writing:
        for rows in gen_batches(len(images), _BATCH_IMAGES):
            write_libsvm_samples(svc, pipeline.transform(images[rows]), labels[rows], file)
            writing.advance(rows.stop - rows.start)
