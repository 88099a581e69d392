"""svmcifar predict."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from svmcifar.cli.options import (
    data_options,
    device_option,
    jobs_option,
    model_argument,
    no_cache_option,
    open_data,
    open_feature_cache,
    open_model,
    out_option,
    overwrite_option,
    split_option,
    wants_gpu,
)

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from svmcifar.data.dataset import Dataset
    from svmcifar.model.classifier import ImageClassifier


@click.command()
@model_argument
@click.argument("images", nargs=-1, type=click.Path(path_type=Path))
@data_options
@split_option
@out_option(None, "The CSV to write.  [default: predictions.csv; standard output for IMAGES]")
@device_option
@jobs_option
@no_cache_option
@overwrite_option
def command(
    model_path: Path,
    images: tuple[Path, ...],
    data: str | None,
    skip_md5: bool,
    split: str,
    out: Path | None,
    device: str,
    jobs: int | None,
    no_cache: bool,
    overwrite: bool,
) -> None:
    """Predict the classes of IMAGES, or of a split of the data set, as a CSV.

    Image files may have any size and format; their central square is reduced to
    the size of the data set's images.
    """
    from svmcifar.data.image_files import read_image
    from svmcifar.data.registry import DATASETS
    from svmcifar.io.files import atomic_path, check_output
    from svmcifar.model.persistence import read_manifest

    if out is None and not images:
        out = Path("predictions.csv")
    if out is not None:
        check_output(out, overwrite, keep=[model_path, *images])
    on_gpu = wants_gpu(device)
    shape = DATASETS[0].description.image_shape
    pixels = [read_image(path, shape) for path in images]
    cache = open_feature_cache(no_cache)
    if images and not read_manifest(model_path).slim:
        model = open_model(model_path, None, jobs, cache)
    else:
        dataset = open_data(data, skip_md5)
        model = open_model(model_path, dataset, jobs, cache)
    if images:
        table = _predict_files(model, images, pixels, on_gpu)
    else:
        table = _predict_split(model, dataset, split, on_gpu)
    if out is None:
        table.to_csv(sys.stdout, index=False, lineterminator="\n")
        return
    with atomic_path(out) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n", errors="surrogateescape")
    click.echo(f"{out}: {len(table)} predictions" + (" (SYNTHETIC)" if model.is_synthetic else ""))


def _predict_files(
    model: "ImageClassifier", paths: tuple[Path, ...], images: "list[np.ndarray]", on_gpu: bool
) -> "pd.DataFrame":
    """Predict image files."""
    import numpy as np
    import pandas as pd

    from svmcifar.compute.arrays import to_device

    pixels = np.stack(images)
    predicted = model.predict(to_device(pixels) if on_gpu else pixels)
    return pd.DataFrame(
        {
            "file": [str(path) for path in paths],
            "predicted_id": predicted,
            "predicted_name": [model.class_names[c] for c in predicted],
        }
    )


def _predict_split(
    model: "ImageClassifier", dataset: "Dataset", split: str, on_gpu: bool
) -> "pd.DataFrame":
    """Predict a split of the data set."""
    import pandas as pd

    from svmcifar.compute.arrays import to_device
    from svmcifar.model.evaluate import require_same_classes

    require_same_classes(model, dataset)
    images = dataset.read_split(split)
    truth = images.labels[model.label_kind]
    predicted = model.predict(to_device(images.images) if on_gpu else images.images)
    return pd.DataFrame(
        {
            "index": range(len(predicted)),
            "file": images.filenames,
            "predicted_id": predicted,
            "predicted_name": [model.class_names[c] for c in predicted],
            "true_id": truth,
            "true_name": [model.class_names[c] for c in truth],
        }
    )
