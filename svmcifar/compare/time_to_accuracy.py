"""Time to accuracy: how long a network was trained until it was as good as the SVM."""

from collections.abc import Mapping, Sequence

from svmcifar.compare.comparison import ModelEntry, TimeToAccuracy
from svmcifar.compare.scores import ModelScores


def time_to_accuracy(
    models: Sequence[ModelEntry], scores: Mapping[str, Mapping[str, ModelScores]]
) -> dict[str, list[TimeToAccuracy]]:
    """Find when each network's learning curve, if any, reached the SVM's accuracy, by kind."""
    reached: dict[str, list[TimeToAccuracy]] = {kind: [] for kind in scores}
    for kind, of_kind in scores.items():
        if "svm" not in of_kind:
            continue
        target = of_kind["svm"].accuracy
        for entry in models:
            if entry.curve is not None:
                points = zip(entry.curve.seconds, entry.curve.accuracy[kind], strict=True)
                seconds = [s for s, accuracy in points if accuracy >= target]
                reached[kind].append(TimeToAccuracy(entry.id, target, min(seconds, default=None)))
    return reached
