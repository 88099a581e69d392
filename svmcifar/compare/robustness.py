"""Accuracy on test images that were made worse."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from svmcifar.compare.predictions import Ids, Predictions
from svmcifar.compute.image_shape import ImageShape
from svmcifar.data.corruptions import STRENGTHS, corrupt
from svmcifar.data.dataset import Split

_SEED = 0

AskModels = Callable[[Split], Mapping[str, Predictions]]


@dataclass(frozen=True, eq=False)
class Robustness:
    """Models' accuracy on some of the test images, as they are and made worse."""

    rows: NDArray[np.intp]  # the images, in the split
    # Accuracy by kind of labels, then by model.
    accuracy: dict[str, dict[str, float]]  # on the images as they are
    worse: dict[str, dict[str, dict[str, list[float]]]]  # then by corruption, at each strength
    # Predicted ids of shape (n_strengths, n_images), by kind, model and corruption.
    ids: dict[tuple[str, str, str], Ids] = field(repr=False)

    def to_json(self) -> dict[str, object]:
        """Return this part of report.json, without the predictions."""
        return {
            "n_images": len(self.rows),
            "strengths": STRENGTHS,
            "accuracy": self.accuracy,
            "worse": self.worse,
        }


def measure_robustness(
    ask: AskModels,
    test: Split,
    shape: ImageShape,
    n_images: int,
    predictions: Mapping[str, Predictions],
) -> Robustness:
    """Ask the models about `n_images` test images, or all, made worse in every way.

    The images are drawn with a fixed seed.  `ask` predicts a split by all models, `predictions` are
    theirs for the test images as they are.
    """
    n_all = len(test.images)
    rng = np.random.default_rng(_SEED)
    rows = np.sort(rng.choice(n_all, min(n_images, n_all), replace=False))
    chosen = test.take(rows)
    accuracy = {
        kind: {
            model_id: float((predicted.ids[kind][rows] == truth).mean())
            for model_id, predicted in predictions.items()
            if kind in predicted.ids
        }
        for kind, truth in chosen.labels.items()
    }
    ids = dict(_ask_all(ask, chosen, shape))
    worse: dict[str, dict[str, dict[str, list[float]]]] = {
        kind: {model_id: {} for model_id in of_kind} for kind, of_kind in accuracy.items()
    }
    for (kind, model_id, name), predicted in ids.items():
        rates = (predicted == chosen.labels[kind]).mean(axis=1)
        worse[kind][model_id][name] = rates.tolist()
    return Robustness(rows, accuracy, worse, ids)


def _ask_all(
    ask: AskModels, test: Split, shape: ImageShape
) -> Iterator[tuple[tuple[str, str, str], Ids]]:
    """Predict the images at all strengths of a corruption at once."""
    for name in STRENGTHS:
        images = list(corrupt(test.images, shape, name))
        predictions = ask(replace(test, images=np.concatenate(images)))
        for model_id, predicted in predictions.items():
            for kind, ids in predicted.ids.items():
                yield (kind, model_id, name), ids.reshape(len(images), -1)
