"""Networks and SVMs together: the mean of their calibrated probabilities."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from svmcifar.compare.predictions import Ids, Predictions, Scores
from svmcifar.compare.scores import logits
from svmcifar.data.dataset import CLASSES
from svmcifar.data.superclasses import sum_by_superclass
from svmcifar.metrics.losses import calibrated_probabilities
from svmcifar.metrics.paired_tests import (
    PairedCounts,
    bootstrap_difference,
    count_pairs,
    mcnemar_p,
)
from svmcifar.metrics.per_class import accuracy_interval

WEIGHT = 0.5


@dataclass(frozen=True)
class Mixture:
    """A network (or an ensemble of networks) and an SVM together, on one kind of labels."""

    network: str  # ids of the models
    svm: str
    weight: float  # of the network's probabilities; those of the SVM have the rest
    n_correct: int
    accuracy: float
    accuracy_interval: tuple[float, float]  # Wilson's, 95 %
    better: str  # the more accurate of the two, the network if they are equal
    counts: PairedCounts  # a is the mixture, b the better of the two
    mcnemar_p: float  # of McNemar's exact test
    low: float  # ends of the bootstrap interval of the gain, 95 %
    high: float

    def to_json(self) -> dict[str, Any]:
        """Return this part of report.json."""
        content = asdict(self)
        counts = content.pop("counts")
        gain = {"value": self.counts.difference, "low": content.pop("low")}
        gain["high"] = content.pop("high")
        return content | {"gain": gain | counts}


def mix_models(
    truth: Mapping[str, Ids],
    predictions: Mapping[str, Predictions],
    pairs: Sequence[tuple[str, str]],
    superclass_of: Ids | None,
) -> dict[str, list[Mixture]]:
    """Mix each pair of a network and an SVM; return the mixtures by kind of labels.

    Both models' scores become probabilities by temperatures that were fitted on other images than
    those they are used on (see `svmcifar.metrics.losses.calibrate`), and count alike.  A better
    weight would have to be fitted on images that neither model learned from, and these are no
    others than the test images, for all that is known here.  Classes are mixed where both models
    have scores of them, and summed to superclasses; else superclasses are.  A pair without scores
    of the same labels has no mixture.
    """
    mixtures: dict[str, list[Mixture]] = {kind: [] for kind in truth}
    for network, svm in pairs:
        of_pair = predictions[network], predictions[svm]
        for kind, ids in _mix(truth, of_pair, superclass_of):
            of_kind = [of.ids.get(kind) for of in of_pair]
            mixtures[kind].append(_judge(truth[kind], ids, (network, svm), of_kind))
    return mixtures


def _mix(
    truth: Mapping[str, Ids], models: Sequence[Predictions], superclass_of: Ids | None
) -> Iterator[tuple[str, Ids]]:
    """Yield what two models together predict, by kind of labels."""
    shared = [kind for kind in truth if all(kind in model.scores for model in models)]
    kind = CLASSES if CLASSES in shared else next(iter(shared), None)
    if kind is None:
        return
    network, svm = (_calibrated(truth[kind], model, kind) for model in models)
    mixed = WEIGHT * network + (1 - WEIGHT) * svm
    if kind == CLASSES and superclass_of is not None:
        yield from (
            (other, sum_by_superclass(mixed, superclass_of).argmax(axis=1))
            for other in truth
            if other != CLASSES
        )
    yield kind, mixed.argmax(axis=1)


def _calibrated(y_true: Ids, model: Predictions, kind: str) -> Scores:
    scores = logits(model, kind)
    assert scores is not None  # `_mix` chose a kind that has some
    return calibrated_probabilities(y_true, scores)


def _judge(
    y_true: Ids, ids: Ids, names: tuple[str, str], of_models: Sequence[Ids | None]
) -> Mixture:
    """Hold the mixture against the better of its two models."""
    n_right = [-1 if of is None else int((of == y_true).sum()) for of in of_models]
    best = int(np.argmax(n_right))
    answers = of_models[best]
    assert answers is not None  # one of the two predicts what both have scores of
    counts = count_pairs(y_true, ids, answers)
    n_correct = counts.both_right + counts.only_a
    low, high = bootstrap_difference(counts)
    return Mixture(
        network=names[0],
        svm=names[1],
        weight=WEIGHT,
        n_correct=n_correct,
        accuracy=n_correct / counts.n,
        accuracy_interval=accuracy_interval(n_correct, counts.n),
        better=names[best],
        counts=counts,
        mcnemar_p=mcnemar_p(counts),
        low=low,
        high=high,
    )
