"""Scores of a classifier's predictions, with their uncertainty.

The input is plain arrays, class ids and perhaps one decision value per class, so that an SVM and a
network are scored by the same code.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from svmcifar.json_values import finite, plain
from svmcifar.metrics.calibration import N_BINS, calibration_scores, probability_log_loss
from svmcifar.metrics.losses import N_FOLDS, check_scores, hinge_loss, temperature_log_loss
from svmcifar.metrics.per_class import (
    ClassExtreme,
    accuracy_interval,
    best_and_worst_class,
    check_labels,
    count_confusions,
    kappa_of_confusion,
    per_class_table,
)
from svmcifar.text import shortened

_TOP = 5
_TOP_CLASSES_MIN = _TOP**2  # with fewer, guessing alone would reach more than a fifth


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Every score of one set of predictions; rates are fractions in [0, 1].

    Macro averages are over all classes; a class whose ratio is undefined counts as 0 there, as with
    scikit-learn's ``zero_division=0``.
    """

    n_samples: int
    n_correct: int
    accuracy: float
    accuracy_interval: tuple[float, float]  # Wilson's, 95 %
    macro_precision: float
    macro_recall: float
    macro_f1: float
    cohen_kappa: float  # NaN where all labels and predictions are one class
    hinge_loss: float | None  # None without scores
    # Nats, of the probabilities; without any, of the scores after calibration, None without scores
    # or with fewer samples than folds.
    log_loss: float | None
    temperatures: tuple[float, ...] | None  # of the folds; None where nothing was calibrated
    # As `calibration_scores` returns them; None without probabilities.
    calibration_error: float | None
    confident_accuracy: float | None
    top5_accuracy: float | None  # None without scores or with fewer than 25 classes
    best_class: ClassExtreme
    worst_class: ClassExtreme
    confusion: npt.NDArray[np.int64]  # (n_classes, n_classes); rows are true classes
    per_class: pd.DataFrame  # as `per_class_table` returns it

    def to_dict(self) -> dict[str, Any]:
        """Return the scores as plain types for JSON; NaN and infinity become None."""
        return finite(plain(vars(self) | {"per_class": self.per_class.to_dict("records")}))

    def to_text(self, all_classes: bool = False) -> str:
        """Return an aligned summary for the terminal, with no trailing newline.

        Of more than 25 classes only those with the five highest and the five lowest accuracies are
        listed, unless `all_classes` is set.
        """
        low, high = (_percent(bound, 2) for bound in self.accuracy_interval)
        interval = f"95 % interval {low} to {high} %; {self.n_correct} of {self.n_samples}"
        lines = [_score_line("accuracy", self.accuracy, "%", interval)]
        if self.top5_accuracy is not None:
            lines.append(_score_line("top-5 accuracy", self.top5_accuracy, "%"))
        lines += [
            _score_line("macro precision", self.macro_precision, "%"),
            _score_line("macro recall", self.macro_recall, "%"),
            _score_line("macro F1", self.macro_f1, "%"),
            _score_line("Cohen's kappa", self.cohen_kappa),
        ]
        if self.hinge_loss is not None:
            lines.append(_score_line("hinge loss", self.hinge_loss, note="of the decision values"))
        if self.log_loss is not None and self.temperatures is not None:
            span = f"{min(self.temperatures):.3g} to {max(self.temperatures):.3g}"
            note = f"nats; cross-fitted temperature {span}"
            lines.append(_score_line("log loss", self.log_loss, note=note))
        elif self.log_loss is not None:
            lines.append(_score_line("log loss", self.log_loss, note="nats; of the probabilities"))
        if self.calibration_error is not None and self.confident_accuracy is not None:
            note = f"expected, {N_BINS} bins of equal width"
            lines.append(_score_line("calibr. error", self.calibration_error, "%", note))
            note = "accuracy of the more confident half"
            lines.append(_score_line("confident half", self.confident_accuracy, "%", note))
        for title, extreme in (("best", self.best_class), ("worst", self.worst_class)):
            name, *others = map(shortened, (extreme.name, *extreme.tied_with))
            tied = f" (tied: {', '.join(others)})" if others else ""
            lines.append(f"{title} class: {name} {_percent(extreme.recall)} %{tied}")
        seen = self.per_class[self.per_class["support"] > 0]
        if all_classes or len(seen) <= _TOP_CLASSES_MIN:
            return "\n".join([*lines, "", *_table_lines(self.per_class)])
        ranked = seen.sort_values(["recall", "class_id"], ascending=[False, True])
        heading, *best = _table_lines(ranked[:_TOP])
        worst = _table_lines(ranked[-_TOP:])[1:]
        return "\n".join([*lines, "", f"best and worst {_TOP}", heading, *best, "...", *worst])


def evaluate_predictions(
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    scores: npt.ArrayLike | None,
    class_names: Sequence[str],
    probabilities: npt.ArrayLike | None = None,
) -> Evaluation:
    """Return every score of one set of predictions.

    Parameters
    ----------
    y_true, y_pred : array-like of int, shape (n_samples,)
        Class ids in 0, ..., n_classes - 1.
    scores : array-like of float, shape (n_samples, n_classes) or (n_samples,), or None
        Decision values per class; 1-D ones are binary and positive for class 1.  They need not
        agree with `y_pred` (votes and sums may differ).
    class_names : sequence of str
        At least two.
    probabilities : array-like of float, shape (n_samples, n_classes), optional
        Above 0.  Log loss and top-5 accuracy are of these where there are any.

    Raises
    ------
    ValueError
        If there are no samples, the lengths differ, a label is no class id, or a score is not
        finite.

    Examples
    --------
    >>> evaluation = evaluate_predictions([0, 0, 1, 1], [0, 1, 1, 1], None, ["cat", "dog"])
    >>> evaluation.accuracy, evaluation.best_class.name
    (0.75, 'dog')
    """
    n_classes = len(class_names)
    y_true, y_pred = check_labels(y_true, y_pred, n_classes)
    confusion = count_confusions(y_true, y_pred, n_classes)
    table = per_class_table(confusion, class_names)
    macro = table[["precision", "recall", "f1"]].fillna(0.0).mean()
    n_samples, n_correct = len(y_true), int(np.trace(confusion))
    best, worst = best_and_worst_class(table)
    hinge = log_loss = temperatures = top5 = error = confident = None
    if scores is not None:
        _, columns = check_scores(y_true, scores, n_classes)
        hinge = hinge_loss(y_true, columns)
        if probabilities is None and n_samples >= N_FOLDS:
            log_loss, fitted = temperature_log_loss(y_true, columns)
            temperatures = tuple(fitted.tolist())
        top5 = _top5_accuracy(y_true, columns)
    if probabilities is not None:
        _, columns = check_scores(y_true, probabilities, n_classes)
        log_loss = probability_log_loss(y_true, columns)
        error, confident = calibration_scores(y_true, y_pred, columns)
        top5 = _top5_accuracy(y_true, columns)
    return Evaluation(
        n_samples=n_samples,
        n_correct=n_correct,
        accuracy=n_correct / n_samples,
        accuracy_interval=accuracy_interval(n_correct, n_samples),
        macro_precision=float(macro["precision"]),
        macro_recall=float(macro["recall"]),
        macro_f1=float(macro["f1"]),
        cohen_kappa=kappa_of_confusion(confusion),
        hinge_loss=hinge,
        log_loss=log_loss,
        temperatures=temperatures,
        calibration_error=error,
        confident_accuracy=confident,
        top5_accuracy=top5,
        best_class=best,
        worst_class=worst,
        confusion=confusion,
        per_class=table,
    )


def _top5_accuracy(y_true: npt.NDArray[np.intp], columns: npt.NDArray[Any]) -> float | None:
    """Return the share of samples whose class is among the five best; None with few classes."""
    if columns.shape[1] < _TOP_CLASSES_MIN:
        return None
    top = np.argsort(-columns, axis=1, kind="stable")[:, :_TOP]  # ties: the lower id
    return float((top == y_true[:, None]).any(axis=1).mean())


def _score_line(name: str, value: float, unit: str = "", note: str = "") -> str:
    """Format one score: in percent where that is its unit, else with four decimals."""
    number = _percent(value, 2) if unit == "%" else f"{value:.4f}".replace("nan", "-")
    return f"{name:<15}  {number:>8} {unit:1}{f'  ({note})' if note else ''}".rstrip()


def _table_lines(table: pd.DataFrame) -> list[str]:
    """Format the per-class table, rates in percent."""
    names = table["name"].map(shortened)
    width = max(len("class"), *names.str.len())
    lines = [
        f"{'id':>3}  {'class':<{width}}  {'support':>7}  {'correct':>7}  "
        f"{'accuracy %':>10}  {'95 % interval':>14}  {'precision %':>11}  {'F1 %':>5}"
    ]
    for row, name in zip(table.itertuples(), names, strict=True):
        low, high = _percent(row.recall_low), _percent(row.recall_high)
        interval = f"{low} to {high:>5}" if row.support else "-"
        lines.append(
            f"{row.class_id:>3}  {name:<{width}}  {row.support:>7}  {row.correct:>7}  "
            f"{_percent(row.recall):>10}  {interval:>14}  "
            f"{_percent(row.precision):>11}  {_percent(row.f1):>5}"
        )
    return lines


def _percent(rate: float, decimals: int = 1) -> str:
    """Format a rate as a percentage, and an undefined one as a dash."""
    return "-" if np.isnan(rate) else f"{100 * rate:.{decimals}f}"
