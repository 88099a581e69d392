"""Time to accuracy: how long a network was trained until it was as good as an SVM."""

from collections.abc import Mapping, Sequence
from itertools import product

from svmcifar.compare.comparison import ModelEntry, TimeToAccuracy
from svmcifar.compare.scores import ModelScores


def time_to_accuracy(
    models: Sequence[ModelEntry], scores: Mapping[str, Mapping[str, ModelScores]]
) -> dict[str, list[TimeToAccuracy]]:
    """Find when each network's learning curve reached each SVM's accuracy, by kind.

    Only curves on held-out images count: accuracy on what is learned from says little of others.
    """
    reached: dict[str, list[TimeToAccuracy]] = {kind: [] for kind in scores}
    for kind, of_kind in scores.items():
        svms = [entry.id for entry in models if entry.kind == "svm" and entry.id in of_kind]
        for svm, entry in product(svms, models):
            if entry.curve is not None and entry.curve.held_out:
                target = of_kind[svm].accuracy
                points = zip(entry.curve.seconds, entry.curve.accuracy[kind], strict=True)
                seconds = min((s for s, rate in points if rate >= target), default=None)
                reached[kind].append(TimeToAccuracy(entry.id, svm, target, seconds))
    return reached
