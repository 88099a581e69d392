"""The paired tests of two models, in numbers and in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from svmcifar.compare.report.formatting import count, points, probability
from svmcifar.compare.report.model_styles import ShownModel

_LEVEL = 0.05


@dataclass(frozen=True)
class PairedRow:
    """How two models differ, in numbers and in words.

    Attributes
    ----------
    a, b : ShownModel
    difference, interval, p : str
    parts : tuple of (str, str, int, float)
        Key, words, images and their share in percent: both right, only a,
        only b, both wrong.
    sentence : str
    """

    a: ShownModel
    b: ShownModel
    difference: str
    interval: str
    p: str
    parts: tuple[tuple[str, str, int, float], ...]
    sentence: str


def paired_rows(
    pairs: Sequence[Mapping[str, Any]], models: Sequence[ShownModel]
) -> list[PairedRow]:
    """Set the paired tests, and say what each means.

    Parameters
    ----------
    pairs : sequence of mapping
        Of ``paired`` for one set of labels.
    models : sequence of ShownModel

    Returns
    -------
    list of PairedRow
    """
    by_id = {model.id: model for model in models}
    rows = []
    for pair in pairs:
        a, b = by_id[pair["a"]], by_id[pair["b"]]
        difference = pair["difference"]
        low, high = difference["low"], difference["high"]
        parts = (
            ("both", "both right", pair["both_right"]),
            ("a", f"only {a.name} right", pair["only_a"]),
            ("b", f"only {b.name} right", pair["only_b"]),
            ("none", "both wrong", pair["both_wrong"]),
        )
        rows.append(
            PairedRow(
                a=a,
                b=b,
                difference=points(difference["value"], 2),
                interval=f"{points(low, 2)} to {points(high, 2)}",
                p=probability(pair["mcnemar_p"]),
                parts=tuple((key, words, n, 100 * n / pair["n"]) for key, words, n in parts),
                sentence=_sentence(pair, a.name, b.name),
            )
        )
    return rows


def _sentence(pair: Mapping[str, Any], a: str, b: str) -> str:
    """Say who is better, by how much, and whether chance would do."""
    value, low, high = (pair["difference"][key] for key in ("value", "low", "high"))
    if value < 0:
        a, b, value, low, high = b, a, -value, -high, -low
        pair = {**pair, "only_a": pair["only_b"], "only_b": pair["only_a"]}
    counts = (
        f"{a} is right on {count(pair['only_a'])} images that {b} gets wrong; "
        f"the reverse holds for {count(pair['only_b'])}."
    )
    confidence = f"{100 * pair['difference']['confidence']:.0f}"
    interval = f"{confidence} % interval {points(low, 2)} to {points(high, 2)}"
    if low > 0 and pair["mcnemar_p"] < _LEVEL:
        verdict = (
            f"{a} is {points(value, 2).lstrip('+')} points more accurate ({interval}), "
            f"more than chance explains ({probability(pair['mcnemar_p'])})."
        )
    else:
        verdict = (
            f"The difference of {points(value, 2).lstrip('+')} points ({interval}) may be "
            f"chance ({probability(pair['mcnemar_p'])})."
        )
    return f"{counts} {verdict}"
