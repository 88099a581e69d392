"""Models that differ in the seed of their training alone: mean and spread of their accuracy."""

import json
from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from typing import Any

from svmcifar.compare.comparison import ModelEntry, SeedGroup, Spread
from svmcifar.compare.scores import ModelScores


def group_by_seed(
    models: Sequence[ModelEntry], scores: Mapping[str, Mapping[str, ModelScores]]
) -> list[SeedGroup]:
    """Find the models whose records differ in nothing but the seed, two or more to a group.

    The records are manifests and cards of 'train-cnn'; `scores` are by kind, then by model id.
    """
    alike: dict[str, list[ModelEntry]] = {}
    for entry in models:
        if (recipe := _without_seed(entry)) is not None and entry.terms.seed is not None:
            alike.setdefault(json.dumps(recipe, sort_keys=True, default=str), []).append(entry)
    groups = []
    for entries in alike.values():
        seeds = [entry.terms.seed for entry in entries if entry.terms.seed is not None]
        if len(set(seeds)) == len(seeds) > 1:
            ids = [entry.id for entry in entries]
            accuracy = {
                kind: _spread([of_kind[model_id].accuracy for model_id in ids])
                for kind, of_kind in scores.items()
                if set(ids) <= set(of_kind)
            }
            groups.append(SeedGroup(ids, seeds, accuracy))
    return groups


def _without_seed(entry: ModelEntry) -> Any:
    """Return what a record tells of a training but for the seed; None if it does not."""
    settings = entry.made.get("training" if entry.kind == "svm" else "recipe")
    if entry.kind not in ("svm", "cnn") or settings is None:
        return None
    settings = {key: value for key, value in settings.items() if key != "seed"}
    known = ("data", "architecture", "normalisation", "validation_rows")
    return [entry.kind, settings, {key: entry.made.get(key) for key in known}]


def _spread(values: Sequence[float]) -> Spread:
    return Spread(mean(values), stdev(values), min(values), max(values))
