"""Scores of true and predicted class ids: intervals, confusion matrix, per-class table."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix


@dataclass(frozen=True)
class ClassExtreme:
    """The class with the highest or the lowest accuracy."""

    class_id: int
    name: str
    recall: float  # accuracy of the class: the share of its samples that were recognised
    tied_with: tuple[str, ...]  # names of other classes with the same accuracy, by class id


def accuracy_interval(n_correct: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the ends of Wilson's score interval of the proportion n_correct / n.

    Raise ValueError unless 0 <= n_correct <= n, n > 0 and the coverage `confidence` is in (0, 1).

    References
    ----------
    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22
    (1927), 209-212.
    """
    if n < 1 or not 0 <= n_correct <= n:
        raise ValueError(f"n_correct must be in [0, n] and n positive. Got {n_correct} and {n}.")
    if not 0 < confidence < 1:
        raise ValueError(f"The confidence must be in the range (0, 1). Got {confidence}.")
    interval = binomtest(int(n_correct), int(n)).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def best_and_worst_class(table: pd.DataFrame) -> tuple[ClassExtreme, ClassExtreme]:
    """Return the classes with the highest and the lowest accuracy in a per-class table.

    Ties go to the lowest id; classes without samples are left out.
    """
    seen = table[table["support"] > 0].sort_values("class_id")

    def extreme(value: float) -> ClassExtreme:
        tied = seen[seen["recall"] == value]
        first, *others = tied["name"]
        return ClassExtreme(int(tied["class_id"].iloc[0]), first, float(value), tuple(others))

    return extreme(seen["recall"].max()), extreme(seen["recall"].min())


def check_labels(
    y_true: npt.ArrayLike, y_pred: npt.ArrayLike, n_classes: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return true and predicted class ids as arrays; raise ValueError if they are invalid."""
    if n_classes < 2:
        raise ValueError(f"class_names must hold at least two names. Got {n_classes}.")
    y_true = check_class_ids(y_true, "y_true", n_classes)
    y_pred = check_class_ids(y_pred, "y_pred", n_classes)
    if len(y_true) != len(y_pred):
        raise ValueError(
            f"y_true and y_pred must have one length. Got {len(y_true)} and {len(y_pred)}."
        )
    return y_true, y_pred


def check_class_ids(y: npt.ArrayLike, name: str, n_classes: int) -> npt.NDArray[np.intp]:
    """Return class ids as an array; raise ValueError if they are invalid."""
    y = np.asarray(y)
    if y.ndim != 1 or y.size == 0:
        raise ValueError(f"{name} must be 1-D with at least one label. Got shape {y.shape}.")
    if y.dtype.kind not in "iu":
        raise ValueError(f"{name} must hold integer class ids. Got dtype {y.dtype}.")
    if y.min() < 0 or y.max() >= n_classes:
        raise ValueError(
            f"{name} must hold class ids from 0 to {n_classes - 1}. Got {y.min()} to {y.max()}."
        )
    return y.astype(np.intp)


def count_confusions(
    y_true: npt.NDArray[np.intp], y_pred: npt.NDArray[np.intp], n_classes: int
) -> npt.NDArray[np.int64]:
    """Count the samples per true class (row) and predicted class (column)."""
    return confusion_matrix(y_true, y_pred, labels=np.arange(n_classes)).astype(np.int64)


def per_class_table(confusion: npt.NDArray[np.int64], class_names: Sequence[str]) -> pd.DataFrame:
    """Return the scores of each class, from counts with a row for each true class.

    The table has one row per class, by id, with the columns ``class_id``, ``name``, ``support``,
    ``correct``, ``recall`` (the accuracy of the class), ``recall_low`` and ``recall_high`` (its
    95 % Wilson interval), ``precision`` and ``f1``.  A ratio with denominator 0 is NaN: the recall
    of a class without samples, the precision of one never predicted, the F1 of one with neither.
    """
    correct, support = confusion.diagonal(), confusion.sum(axis=1)
    predicted = confusion.sum(axis=0)
    intervals = [
        accuracy_interval(c, n) if n else (np.nan, np.nan)
        for c, n in zip(correct, support, strict=True)
    ]
    with np.errstate(invalid="ignore"):
        return pd.DataFrame(
            {
                "class_id": np.arange(len(confusion)),
                "name": list(class_names),
                "support": support,
                "correct": correct,
                "recall": correct / support,
                "recall_low": [low for low, _ in intervals],
                "recall_high": [high for _, high in intervals],
                "precision": correct / predicted,
                "f1": 2 * correct / (support + predicted),
            }
        )


def kappa_of_confusion(confusion: npt.NDArray[np.int64]) -> float:
    """Return Cohen's kappa (1960): agreement beyond chance, over the largest possible."""
    n = confusion.sum()
    agreed = np.trace(confusion) / n
    by_chance = confusion.sum(axis=0) @ confusion.sum(axis=1) / n**2
    return float((agreed - by_chance) / (1 - by_chance)) if by_chance < 1 else np.nan
