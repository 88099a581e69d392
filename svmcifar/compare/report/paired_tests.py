"""The paired tests of two models, in numbers and in words."""

from collections.abc import Sequence
from dataclasses import dataclass

from svmcifar.compare.comparison import PairedTest
from svmcifar.compare.conclusions import describe_difference
from svmcifar.compare.report.formatting import count, points, probability
from svmcifar.compare.report.model_styles import ShownModel


@dataclass(frozen=True)
class PairedRow:
    """How two models differ, in numbers and in words."""

    a: ShownModel
    b: ShownModel
    difference: str
    interval: str
    p: str
    parts: list[tuple[str, str, int, float]]  # key, words, number of images, share in percent
    sentence: str


def paired_rows(pairs: Sequence[PairedTest], models: Sequence[ShownModel]) -> list[PairedRow]:
    """Lay out the paired tests on one kind of labels."""
    by_id = {model.id: model for model in models}
    rows = []
    for pair in pairs:
        a, b, counts = by_id[pair.a], by_id[pair.b], pair.counts
        parts = (
            ("both", "both right", counts.both_right),
            ("a", f"only {a.name} right", counts.only_a),
            ("b", f"only {b.name} right", counts.only_b),
            ("none", "both wrong", counts.both_wrong),
        )
        rows.append(
            PairedRow(
                a=a,
                b=b,
                difference=points(counts.difference, 2),
                interval=f"{points(pair.low, 2)} to {points(pair.high, 2)}",
                p=probability(pair.mcnemar_p),
                parts=[(key, words, n, 100 * n / counts.n) for key, words, n in parts],
                sentence=_sentence(pair, a.name, b.name),
            )
        )
    return rows


def _sentence(pair: PairedTest, a: str, b: str) -> str:
    """Describe the pair, the more accurate model first."""
    if pair.counts.difference < 0:
        return _sentence(pair.swapped(), b, a)
    return (
        f"{a} is right on {count(pair.counts.only_a)} images that {b} gets wrong, and the reverse "
        f"holds for {count(pair.counts.only_b)}: {describe_difference(pair, a, b)}."
    )
