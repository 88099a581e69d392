#!/usr/bin/env python3
"""Hold exported models against ours on the test images: scikit-learn's SVC, ONNX Runtime, LIBSVM.

Each MODEL, of several classes, is exported to every format, read by the library that it is for, and
asked about the images.  What is compared are labels, the decision values of all pairs, and
probabilities of the first images.  Ours are computed as `predict` does, from float32 kernel values
if these are within the tolerance, and a second time from float64 ones.

    pip install libsvm-official
    svmcifar train --preset hog --limit 3000 --probability --out hog.skops
    python scripts/check_exports.py hog.skops
"""

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import click
import numpy as np
from numpy.typing import NDArray

from svmcifar.cli import main as svmcifar

_BATCH_IMAGES = 500
_N_PROBABILITIES = 500  # images; LIBSVM computes them slowly
_EXACT_TOL = 1e-9  # for which kernel values are float64


class Predictions(NamedTuple):
    """What a model says of images."""

    labels: NDArray[np.int64]
    pairs: NDArray[np.float64]  # decision values, in LIBSVM's order and sign
    probabilities: NDArray[np.float64] | None  # of the first images


class Question(NamedTuple):
    """What exports are asked about: images, and the samples of the SVM that stands for a model."""

    model: Any
    images: Any
    samples: Any


def our_predictions(model: Any, X: Any) -> Predictions:
    """Ask a classifier about features."""
    from svmcifar.svm.prediction import Predictor

    n_views = len(model.decision_views)
    pairs = np.concatenate(list(Predictor(model.svc).pairwise(X, n_views)))
    first = X[: n_views * _N_PROBABILITIES]
    p = model.svc.predict_proba(first, n_views=n_views) if model.has_probabilities else None
    return Predictions(model.predict_features(X)[0], pairs, p)


def sklearn_predictions(path: Path, question: Question) -> Predictions:
    """Ask scikit-learn's SVC, once the steps before it have made the same samples."""
    import skops.io

    pipeline = skops.io.load(path, trusted=skops.io.get_untrusted_types(file=path))
    first = pipeline[:-1].transform(question.images[:_BATCH_IMAGES])
    np.testing.assert_array_equal(first, question.samples[:_BATCH_IMAGES])
    svc = pipeline[-1].set_params(decision_function_shape="ovo")
    samples, has_p = question.samples, question.model.has_probabilities
    p = svc.predict_proba(samples[:_N_PROBABILITIES]) if has_p else None
    return Predictions(svc.predict(samples), svc.decision_function(samples), p)


def onnx_predictions(path: Path, question: Question) -> Predictions:
    """Ask ONNX Runtime; the pairs' decision values become an output of the graph."""
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper

    from svmcifar.cli.image_models import image_shape_of

    graph = onnx.load(path)
    pairs = helper.make_tensor_value_info("decisions", TensorProto.DOUBLE, None)
    graph.graph.output.append(pairs)
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    shape = image_shape_of(vars(question.model.manifest.data))
    results = [
        session.run(None, {"images": question.images[rows].reshape(-1, *shape)})
        for rows in batches(question.images)
    ]
    labels, _, *p, decisions = (np.concatenate(parts) for parts in zip(*results, strict=True))
    return Predictions(labels, decisions, p[0][:_N_PROBABILITIES] if p else None)


def libsvm_predictions(path: Path, question: Question) -> Predictions:
    """Ask LIBSVM, by what its svm-predict calls, with samples from text files."""
    from libsvm import svmutil  # type: ignore[import-not-found,unused-ignore]

    from svmcifar.model.one_view import as_one_view
    from svmcifar.svm.libsvm_export import write_libsvm_samples

    svc = as_one_view(question.model)[1]
    read, labels, pairs, p = svmutil.svm_load_model(str(path)), [], [], None
    samples = path.with_suffix(".samples")
    for rows in batches(question.images):
        X = question.samples[rows]
        with samples.open("w") as file:
            write_libsvm_samples(svc, X, np.zeros(len(X), dtype=int), file)
        y, x = svmutil.svm_read_problem(str(samples), return_scipy=True)
        of_batch, _, values = svmutil.svm_predict(y, x, read, "-q")
        labels.extend(of_batch)
        pairs.append(np.array(values))
        if rows.start == 0 and question.model.has_probabilities:
            p = np.array(svmutil.svm_predict(y, x, read, "-q -b 1")[2])
    return Predictions(np.array(labels, dtype=np.int64), np.concatenate(pairs), p)


FORMATS: dict[str, Callable[[Path, Question], Predictions]] = {
    "sklearn": sklearn_predictions,
    "onnx": onnx_predictions,
    "libsvm": libsvm_predictions,
}


def batches(images: Any) -> Iterator[slice]:
    """Yield slices of the images."""
    return (slice(i, i + _BATCH_IMAGES) for i in range(0, len(images), _BATCH_IMAGES))


def differences(one: Predictions, other: Predictions) -> dict[str, Any]:
    """Compare two models' predictions of the same images."""
    result = {
        "labels": int((one.labels != other.labels).sum()),
        "signs": int(((one.pairs > 0) != (other.pairs > 0)).sum()),
        "decision": float(np.abs(one.pairs - other.pairs).max()),
    }
    if one.probabilities is not None and other.probabilities is not None:
        of_both = zip(one.probabilities, other.probabilities, strict=True)
        result["probability"] = float(max(np.abs(a - b).max() for a, b in of_both))
    return result


def check(path: Path, to: str, question: Question, ours: list[Predictions]) -> dict[str, Any]:
    """Export a model, ask the export, and compare."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, f"model.{to}")
        clock = perf_counter()
        words = ["export", str(path), "--format", to, "--out", str(out), "--quiet"]
        with redirect_stdout(None):
            svmcifar(words, standalone_mode=False)
        row = {"model": path.stem, "format": to, "export_s": perf_counter() - clock}
        row["bytes"] = out.stat().st_size
        clock = perf_counter()
        theirs = FORMATS[to](out, question)
        row["predict_s"] = perf_counter() - clock
    as_predicted, exact = (differences(own, theirs) for own in ours)
    return {**row, "as_predicted": as_predicted, "float64": exact}


@click.command()
@click.argument("models", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--data", help="The data set.")
@click.option("--limit", type=click.IntRange(min=1), help="The first so many test images alone.")
@click.option("--format", "formats", type=click.Choice([*FORMATS]), multiple=True, default=FORMATS)
@click.option(
    "--json", "json_path", type=click.Path(path_type=Path), help="Write the figures here."
)
def main(
    models: tuple[Path, ...],
    data: str | None,
    limit: int | None,
    formats: tuple[str, ...],
    json_path: Path | None,
) -> None:
    """Print how far exported MODELS differ from ours."""
    from sklearn.pipeline import Pipeline

    from svmcifar import load_model, open_dataset
    from svmcifar.model.one_view import as_one_view

    dataset = open_dataset(data)
    images = dataset.read_split("test").images[:limit]
    rows = []
    click.echo("| model | format | export s | MB | labels | signs | decision | probability |"
               " labels, float64 | signs | decision | probability |")  # fmt: skip
    click.echo("|" + "---|" * 12)
    for path in models:
        model = load_model(path, dataset)
        X = model.compute_features(images)
        ours = [our_predictions(model, X)]
        tol, model.svc.tol = model.svc.tol, _EXACT_TOL
        ours.append(our_predictions(model, X))
        model.svc.tol = tol
        steps = Pipeline(as_one_view(model)[0])
        samples = np.concatenate([steps.transform(images[rows]) for rows in batches(images)])
        question = Question(model, images, samples)
        for to in formats:
            row = check(path, to, question, ours)
            rows.append(row)
            cells = [
                f"{row[of]['labels']} | {row[of]['signs']} | {row[of]['decision']:.1e} | "
                + (f"{row[of]['probability']:.1e}" if "probability" in row[of] else "-")
                for of in ("as_predicted", "float64")
            ]
            start = f"{path.stem} | {to} | {row['export_s']:.0f} | {row['bytes'] / 1e6:.0f}"
            click.echo(f"| {start} | {' | '.join(cells)} |")
    if json_path:
        json_path.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
