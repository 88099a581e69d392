"""Every model's predictions and scores as one NumPy file, from which a report can be recomputed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from svmcifar.compare.predictions import Predictions
from svmcifar.compare.robustness import Robustness
from svmcifar.data.dataset import Split

NAME = "scores.npz"


def write_scores(
    predictions: Mapping[str, Predictions],
    test: Split,
    robustness: Robustness | None,
    folder: Path,
) -> str:
    """Write ``scores.npz``, predictions by model id; return its name.

    Its arrays have a row for each image of the split, in its order: ``KIND/true`` are ids of the
    true classes of a kind of labels, ``KIND/MODEL/ids`` those that a model predicts,
    ``KIND/MODEL/scores`` its scores, (n_images, n_classes), and ``MODEL/score_kind`` says what
    scores are.  Floats are float32 where that loses nothing.  `numpy.load` reads it without pickle.

    With `robustness`, ``robustness/rows`` are the images that were made worse, and
    ``KIND/MODEL/ids/CORRUPTION``, (n_strengths, n_rows), what was predicted for them.
    """
    arrays: dict[str, NDArray[Any]] = {f"{kind}/true": ids for kind, ids in test.labels.items()}
    for model_id, predicted in predictions.items():
        arrays[f"{model_id}/score_kind"] = np.array(predicted.score_kind)
        for kind, ids in predicted.ids.items():
            arrays[f"{kind}/{model_id}/ids"] = ids
        for kind, scores in predicted.scores.items():
            arrays[f"{kind}/{model_id}/scores"] = _compact(scores)
    if robustness is not None:
        arrays["robustness/rows"] = robustness.rows
        for (kind, model_id, name), ids in robustness.ids.items():
            arrays[f"{kind}/{model_id}/ids/{name}"] = ids
    np.savez_compressed(folder / NAME, **arrays)  # type: ignore[arg-type]
    return NAME


def _compact(scores: NDArray[np.float64]) -> NDArray[np.floating]:
    """Return scores as float32 if all of them are exact in it."""
    short = scores.astype(np.float32)
    return short if np.array_equal(short, scores) else scores
