"""How long a network learned until it was as good as the SVM."""

from collections.abc import Sequence
from typing import Any


def time_to_accuracy(
    entries: Sequence[dict[str, Any]], scores: dict[str, dict[str, Any]]
) -> dict[str, list[dict[str, Any]]]:
    """Find when each network's learning curve reached the SVM's accuracy.

    Parameters
    ----------
    entries : sequence of dict
        The models of the report.
    scores : dict
        Their scores by kind of labels and model id.

    Returns
    -------
    dict of str to list of dict
        By kind of labels, for each network with a curve: ``model``, the SVM's
        ``target`` accuracy on the test images, and the ``seconds`` of training
        after which the network first had it on the images of its curve, or
        None if it never did.  Empty where the SVM has no answers.
    """
    reached: dict[str, list[dict[str, Any]]] = {kind: [] for kind in scores}
    for kind, of_kind in scores.items():
        if "svm" not in of_kind:
            continue
        target = of_kind["svm"]["accuracy"]
        for entry in entries:
            if entry["curve"] is None:
                continue
            seconds = [point["seconds"] for point in entry["curve"] if point[kind] >= target]
            reached[kind].append(
                {"model": entry["id"], "target": target, "seconds": min(seconds, default=None)}
            )
    return reached
