"""Tables on how far answers can be believed, where errors fall, and how models do together."""

from collections.abc import Sequence
from functools import partial

from svmcifar.compare.comparison import Comparison
from svmcifar.compare.mixtures import Mixture
from svmcifar.compare.report.formatting import (
    ABSENT,
    count,
    decimal,
    percent,
    percent_range,
    points,
    probability,
)
from svmcifar.compare.report.model_styles import ShownModel
from svmcifar.compare.report.score_tables import Row, known_rows, make_row
from svmcifar.data.corruptions import STRENGTHS

_percent2 = partial(percent, decimals=2)


def belief_rows(comparison: Comparison, models: Sequence[ShownModel], kind: str) -> list[Row]:
    """Lay out calibration and risk against coverage on one kind of labels."""
    columns = [comparison.scores[kind][model.id] for model in models]
    curves = [c.risk_coverage for c in columns]
    before, after = (
        [of and of.error for of in of_all]
        for of_all in (
            [c.reliability for c in columns],
            [c.calibrated_reliability for c in columns],
        )
    )
    return known_rows(
        make_row("Calibration error, as answered", before, _percent2, min),
        make_row("Calibration error, calibrated", after, _percent2, min),
        make_row("Confidence is the", [c and c.confidence for c in curves], _text),
        make_row("Area under risk and coverage", [c and c.area for c in curves], decimal, min),
        make_row("Least area at this accuracy", [c and c.least_area for c in curves], decimal),
    )


def place_rows(comparison: Comparison, models: Sequence[ShownModel], kind: str) -> list[Row]:
    """Lay out where the errors of classes fall; no rows where no superclasses tell."""
    found = [comparison.scores[kind][model.id].error_places for model in models]
    return known_rows(
        make_row("Wrong answers", [f and f.n_wrong for f in found], count, min),
        make_row("Within the right superclass", [f and f.n_inside for f in found], count),
        make_row("Share of the wrong answers", [f and f.share for f in found], percent),
        make_row(
            "95 % interval",
            [f and f.interval for f in found],
            lambda i: percent_range(*i or (None,) * 2),
        ),
        make_row("Expected by chance", [f and f.chance for f in found], percent),
    )


def worse_rows(comparison: Comparison, models: Sequence[ShownModel], kind: str) -> list[Row]:
    """Lay out accuracy on images as they are, and its mean over the strengths of corruptions."""
    found = comparison.robustness
    if found is None:
        return []
    before, worse = found.accuracy[kind], found.worse[kind]

    def mean(model: ShownModel, name: str) -> float | None:
        rates = worse[model.id][name] if model.id in worse else []
        return sum(rates) / len(rates) if rates else None

    return known_rows(
        make_row("As they are", [before.get(m.id) for m in models], percent, max),
        *(
            make_row(name.capitalize(), [mean(m, name) for m in models], percent, max)
            for name in STRENGTHS
        ),
    )


def mixture_rows(
    mixtures: Sequence[Mixture], models: Sequence[ShownModel]
) -> list[tuple[str, list[str]]]:
    """Lay out mixtures: both names, accuracy, interval, gain over the better one and its test."""
    names = {model.id: model.name for model in models}
    return [
        (
            f"{names[m.network]} and {names[m.svm]}",
            [
                percent(m.accuracy, 2),
                percent_range(*m.accuracy_interval, 2),
                names[m.better],
                points(m.counts.difference, 2),
                f"{points(m.low, 2)} to {points(m.high, 2)}",
                probability(m.mcnemar_p),
            ],
        )
        for m in mixtures
    ]


def _text(value: str | None) -> str:
    return value or ABSENT
