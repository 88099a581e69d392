"""Scores against plain loops, textbook formulas and planted models."""

import json
import math
import re
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics
from scipy.optimize import minimize_scalar

from svmcifar.metrics.calibration import calibration_scores
from svmcifar.metrics.evaluation import evaluate_predictions
from svmcifar.metrics.losses import hinge_loss, temperature_log_loss
from svmcifar.metrics.per_class import (
    accuracy_interval,
    best_and_worst_class,
    count_confusions,
    per_class_table,
)

NAMES = ["ant", "bee", "cat_tle", "dog"]


def random_predictions(n_classes, n_samples=300, seed=0):
    """Draw labels and scores that agree more often than chance, unevenly over the classes."""
    rng = np.random.default_rng(seed)
    y = rng.choice(n_classes, n_samples, p=rng.dirichlet(np.full(n_classes, 3.0)))
    scores = rng.normal(size=(n_samples, n_classes))
    scores[np.arange(n_samples), y] += 1.0
    return y, scores.argmax(axis=1), scores


def planted_model(n_samples=20_000, n_classes=5, seed=1):
    """Draw labels from softmax(scores), and return the mean entropy with them."""
    rng = np.random.default_rng(seed)
    scores = 1.5 * rng.normal(size=(n_samples, n_classes))
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    y = (rng.random((n_samples, 1)) > p.cumsum(axis=1)).sum(axis=1)
    return y, scores, -(p * np.log(p)).sum(axis=1).mean()


def wilson(k, n, z=1.959963984540054):
    centre = (k / n + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(k / n * (1 - k / n) / n + z * z / (4 * n * n))
    return centre - half, centre + half


def ratio(a, b):
    return a / b if b else math.nan


@pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 1), (0, 50), (50, 50), (7, 9), (3810, 10_000)])
def test_accuracy_interval_is_wilsons(k, n):
    assert accuracy_interval(k, n) == pytest.approx(wilson(k, n), abs=1e-12)
    assert accuracy_interval(k, n, confidence=0.99) == pytest.approx(
        wilson(k, n, z=2.5758293035489004), abs=1e-12
    )


@pytest.mark.parametrize("arguments", [(1, 0), (-1, 5), (6, 5), (1, 5, 0.0), (1, 5, 1.0)])
def test_accuracy_interval_rejects_what_is_out_of_range(arguments):
    with pytest.raises(ValueError, match="must be in"):
        accuracy_interval(*arguments)


def test_label_scores_equal_plain_loops():
    y, p, _ = random_predictions(4)
    n = len(y)
    pairs = list(zip(y.tolist(), p.tolist(), strict=True))
    evaluation = evaluate_predictions(y, p, None, NAMES)
    table = evaluation.per_class

    precisions, recalls, f1s, by_chance = [], [], [], 0.0
    for c in range(4):
        support = sum(t == c for t, _ in pairs)
        predicted = sum(q == c for _, q in pairs)
        correct = sum(t == c and q == c for t, q in pairs)
        recalls.append(correct / support)
        precisions.append(correct / predicted)
        f1s.append(2 / (1 / recalls[-1] + 1 / precisions[-1]))
        by_chance += support / n * predicted / n
        row = table.iloc[c]
        assert (row["class_id"], row["name"]) == (c, NAMES[c])
        assert (row["support"], row["correct"]) == (support, correct)
        assert (row["recall_low"], row["recall_high"]) == pytest.approx(wilson(correct, support))
        for j in range(4):
            assert evaluation.confusion[c, j] == sum(t == c and q == j for t, q in pairs)
    np.testing.assert_allclose(table["recall"], recalls)
    np.testing.assert_allclose(table["precision"], precisions)
    np.testing.assert_allclose(table["f1"], f1s)

    n_correct = sum(t == q for t, q in pairs)
    assert (evaluation.n_samples, evaluation.n_correct) == (n, n_correct)
    assert evaluation.accuracy == n_correct / n
    assert evaluation.accuracy_interval == pytest.approx(wilson(n_correct, n))
    assert evaluation.macro_precision == pytest.approx(sum(precisions) / 4)
    assert evaluation.macro_recall == pytest.approx(sum(recalls) / 4)
    assert evaluation.macro_f1 == pytest.approx(sum(f1s) / 4)
    assert evaluation.cohen_kappa == pytest.approx((n_correct / n - by_chance) / (1 - by_chance))
    assert evaluation.cohen_kappa == pytest.approx(sklearn.metrics.cohen_kappa_score(y, p))
    assert evaluation.hinge_loss is evaluation.log_loss is evaluation.temperatures is None
    pd.testing.assert_frame_equal(table, per_class_table(evaluation.confusion, NAMES))


def test_hinge_and_top5_equal_plain_loops():
    y, p, scores = random_predictions(25)
    evaluation = evaluate_predictions(y, p, scores, [f"c{i}" for i in range(25)])
    total, hits = 0.0, 0
    for t, row in zip(y, scores.tolist(), strict=True):
        others = [s for j, s in enumerate(row) if j != t]
        total += max(0.0, 1 - (row[t] - max(others)))
        hits += sum(s > row[t] for s in others) < 5
    assert evaluation.hinge_loss == pytest.approx(total / len(y))
    assert evaluation.hinge_loss == pytest.approx(
        sklearn.metrics.hinge_loss(y, scores, labels=range(25))
    )
    assert evaluation.top5_accuracy == hits / len(y)
    loss, temperatures = temperature_log_loss(y, scores)
    assert (evaluation.log_loss, evaluation.temperatures) == (loss, tuple(temperatures))


def test_top5_ties_go_to_the_lower_id_and_need_25_classes():
    y = np.arange(25)
    names = [f"c{i}" for i in range(25)]
    assert evaluate_predictions(y, y, np.zeros((25, 25)), names).top5_accuracy == 5 / 25
    y = y[:24]
    assert evaluate_predictions(y, y, np.zeros((24, 24)), names[:24]).top5_accuracy is None


def test_binary_scores_are_the_margin_of_class_1():
    rng = np.random.default_rng(5)
    s = rng.normal(size=200)
    y = (rng.random(200) < 1 / (1 + np.exp(-2 * s))).astype(int)
    evaluation = evaluate_predictions(y, (s > 0).astype(int), s, ["no", "yes"])
    assert evaluation.hinge_loss == pytest.approx(sklearn.metrics.hinge_loss(y, s))
    loss, temperatures = temperature_log_loss(y, s)
    assert evaluation.log_loss == loss
    assert temperatures == pytest.approx(0.5, rel=0.5)
    two_columns = temperature_log_loss(y, np.column_stack([np.zeros(200), s]))
    assert two_columns[0] == pytest.approx(loss, abs=1e-9)
    only_ones = s[y == 1]  # scikit-learn takes these for class 0
    expected = np.maximum(0, 1 - only_ones).mean()
    assert hinge_loss(np.ones(len(only_ones), int), only_ones) == pytest.approx(expected)


def test_a_calibrated_model_gets_temperature_1_and_its_entropy():
    y, scores, entropy = planted_model()
    loss, temperatures = temperature_log_loss(y, scores)
    assert temperatures == pytest.approx(1.0, abs=0.04)
    assert loss == pytest.approx(entropy, abs=0.015)


@pytest.mark.parametrize("factor", [10.0, 1e-6, 1e8])
def test_the_unit_and_the_origin_of_the_scores_cancel_out(factor):
    y, _, scores = random_predictions(6)
    loss, temperatures = temperature_log_loss(y, scores)
    scaled = temperature_log_loss(y, factor * (scores + scores[:, :1]))
    assert scaled[0] == pytest.approx(loss, abs=1e-6)
    assert scaled[1] == pytest.approx(factor * temperatures, rel=1e-6)


def test_temperature_log_loss_equals_a_plain_cross_fit():
    y, _, scores = random_predictions(4, n_samples=203)
    folds, dealt = [None] * len(y), 0
    for c in range(4):
        for i in range(len(y)):
            if y[i] == c:
                folds[i], dealt = dealt % 5, dealt + 1

    def losses(samples, t, target):
        log_p = scores[samples] / t
        log_p = log_p - np.log(np.exp(log_p).sum(axis=1, keepdims=True))
        return -(target * log_p).sum(axis=1)

    total, expected = 0.0, []
    for fold in range(5):
        fit = [i for i in range(len(y)) if folds[i] != fold]
        smooth = 1 / (len(fit) + 1)
        target = (1 - smooth) * np.eye(4)[y[fit]] + smooth / 4
        best = minimize_scalar(
            lambda t, fit=fit, target=target: losses(fit, t, target).mean(),
            bounds=(0.01, 100.0),
            method="bounded",
            options={"xatol": 1e-10},
        )
        expected.append(best.x)
        held_out = [i for i in range(len(y)) if folds[i] == fold]
        total += losses(held_out, best.x, np.eye(4)[y[held_out]]).sum()
    loss, temperatures = temperature_log_loss(y, scores)
    assert temperatures == pytest.approx(expected, rel=1e-6)
    assert loss == pytest.approx(total / len(y), abs=1e-9)


def test_a_fold_does_not_choose_its_own_temperature():
    y, _, scores = random_predictions(4)
    first_fold = np.argsort(y, kind="stable")[::5]
    spoilt = scores.copy()
    spoilt[first_fold] = -scores[first_fold]
    _, before = temperature_log_loss(y, scores)
    _, after = temperature_log_loss(y, spoilt)
    assert after[0] == before[0]
    assert (after[1:] > before[1:]).all()


def test_labels_that_do_not_depend_on_the_scores_cost_log_k():
    y, scores, _ = planted_model(n_samples=5_000)
    loss, _ = temperature_log_loss(np.random.default_rng(2).permutation(y), scores)
    assert loss == pytest.approx(math.log(5), abs=0.01)
    # With few samples a leak would show as a loss below log(k) on average.
    rng = np.random.default_rng(3)
    small = [
        temperature_log_loss(rng.permutation(40) % 4, rng.normal(size=(40, 4)))[0]
        for _ in range(100)
    ]
    assert np.mean(small) > math.log(4) + 2 * np.std(small) / 10


def test_scores_that_say_nothing_or_mislead_get_an_infinite_temperature():
    y = np.arange(40) % 4
    for scores in (np.full((40, 4), 0.1), -np.eye(4)[y]):
        loss, temperatures = temperature_log_loss(y, scores)
        assert loss == pytest.approx(math.log(4))
        assert np.isinf(temperatures).all()


def test_perfect_predictions():
    y = np.arange(40) % 4
    evaluation = evaluate_predictions(y, y, 8 * np.eye(4)[y], NAMES)
    assert evaluation.accuracy == evaluation.macro_f1 == evaluation.cohen_kappa == 1.0
    assert evaluation.hinge_loss == 0.0
    assert 0 < evaluation.log_loss < 0.05
    assert min(evaluation.temperatures) > 0
    assert evaluation.best_class == evaluation.worst_class
    assert evaluation.best_class.tied_with == ("bee", "cat_tle", "dog")


def test_all_wrong_predictions():
    y = np.arange(8) % 4
    evaluation = evaluate_predictions(y, (y + 1) % 4, None, NAMES)
    assert evaluation.accuracy == evaluation.macro_f1 == evaluation.macro_precision == 0.0
    assert evaluation.accuracy_interval[0] == 0.0
    assert evaluation.cohen_kappa == pytest.approx(-1 / 3)


def test_absent_and_never_predicted_classes():
    y, p = [0, 0, 1, 1], [0, 0, 0, 3]  # 1 never right, 2 nowhere, 3 predicted only
    evaluation = evaluate_predictions(y, p, None, NAMES)
    table = evaluation.per_class
    np.testing.assert_array_equal(table["recall"], [1.0, 0.0, np.nan, np.nan])
    np.testing.assert_array_equal(table["recall_high"].isna(), [False, False, True, True])
    np.testing.assert_array_equal(table["precision"], [2 / 3, np.nan, np.nan, 0.0])
    np.testing.assert_array_equal(table["f1"], [0.8, 0.0, np.nan, 0.0])
    macro = sklearn.metrics.precision_recall_fscore_support(
        y, p, labels=range(4), average="macro", zero_division=0
    )
    ours = evaluation.macro_precision, evaluation.macro_recall, evaluation.macro_f1
    assert ours == pytest.approx(macro[:3])
    assert (evaluation.best_class.name, evaluation.worst_class.name) == ("ant", "bee")
    assert evaluation.worst_class.tied_with == ()
    as_json = json.loads(json.dumps(evaluation.to_dict(), allow_nan=False))
    assert as_json["per_class"][2]["recall"] is as_json["per_class"][2]["f1"] is None
    assert evaluation.to_text().splitlines()[-2].split() == ["2", "cat_tle", "0", "0", *"----"]


def test_ties_name_the_lower_id_first():
    table = per_class_table(
        count_confusions([3, 2, 2, 1, 1, 1, 1, 0], [3, 2, 0, 1, 1, 2, 2, 0], 4), NAMES
    )
    best, worst = best_and_worst_class(table.iloc[::-1])
    assert (best.class_id, best.name, best.recall, best.tied_with) == (0, "ant", 1.0, ("dog",))
    assert (worst.class_id, worst.name, worst.recall) == (1, "bee", 0.5)
    assert worst.tied_with == ("cat_tle",)


def test_to_dict_is_plain_json_with_every_score():
    y, p, scores = random_predictions(4)
    evaluation = evaluate_predictions(y, p, scores, NAMES)
    plain = evaluation.to_dict()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert plain["confusion"] == evaluation.confusion.tolist()
    assert plain["accuracy_interval"] == list(evaluation.accuracy_interval)
    assert plain["best_class"]["name"] == evaluation.best_class.name
    assert [row["name"] for row in plain["per_class"]] == NAMES
    one_class = evaluate_predictions([1] * 5, [1] * 5, np.zeros((5, 4)), NAMES)
    assert math.isnan(one_class.cohen_kappa)
    assert one_class.to_dict()["cohen_kappa"] is None
    assert "nan" not in one_class.to_text()
    assert one_class.to_dict()["temperatures"] == [None] * 5


def test_to_text_is_aligned_and_starts_with_the_accuracy():
    y, p, scores = random_predictions(25)
    names = [f"class_{'x' * (i % 7)}" for i in range(25)]
    evaluation = evaluate_predictions(y, p, scores, names)
    lines = evaluation.to_text().splitlines()
    low, high = evaluation.accuracy_interval
    assert lines[0].split(maxsplit=1) == [
        "accuracy",
        f"{100 * evaluation.accuracy:.2f} %  (95 % interval {100 * low:.2f} to {100 * high:.2f} %; "
        f"{evaluation.n_correct} of 300)",
    ]
    blank = lines.index("")
    starts = [line.split("  ")[0] for line in lines[1 : blank - 2]]
    assert starts == [
        *("top-5 accuracy", "macro precision", "macro recall", "macro F1", "Cohen's kappa"),
        *("hinge loss", "log loss"),
    ]
    assert {re.match(r".{15} +[0-9.]+", line).end() for line in lines[: blank - 2]} == {25}
    best, worst = evaluation.best_class, evaluation.worst_class
    assert lines[blank - 2].startswith(f"best class: {best.name} {100 * best.recall:.1f} %")
    assert lines[blank - 1].startswith(f"worst class: {worst.name} {100 * worst.recall:.1f} %")
    assert len(lines) == blank + 2 + 25
    assert len({len(line) for line in lines[blank + 1 :]}) == 1
    no_scores = evaluate_predictions(y, p, None, names).to_text()
    assert "loss" not in no_scores
    assert "top-5" not in no_scores


def test_of_many_classes_the_best_and_the_worst_five_are_listed():
    y, p, _ = random_predictions(40)
    names = [f"class_{i}" for i in range(40)]
    evaluation = evaluate_predictions(y, p, None, names)
    lines = evaluation.to_text().splitlines()
    whole = evaluation.to_text(all_classes=True).splitlines()
    blank = lines.index("")
    assert lines[: blank + 1] == whole[: blank + 1]
    assert lines[blank + 1] == "best and worst 5"
    heading, *listed = lines[blank + 2 :]
    assert heading.split()[:2] == ["id", "class"]
    assert listed[5] == "..."
    counts = Counter(np.asarray(y)[np.asarray(y) == np.asarray(p)].tolist())
    rates = sorted(((-counts[c] / n, c) for c, n in Counter(np.asarray(y).tolist()).items()))
    ids = [int(line.split()[0]) for line in listed if line != "..."]
    assert ids == [c for _, c in [*rates[:5], *rates[-5:]]]
    assert [line.split() for line in whole[blank + 2 :]][ids[0]] == listed[0].split()
    assert len(whole) == blank + 2 + 40


def test_too_few_samples_for_the_folds_leave_out_the_log_loss():
    evaluation = evaluate_predictions([0, 1, 2, 3], [0, 1, 2, 3], np.eye(4), NAMES)
    assert evaluation.log_loss is evaluation.temperatures is None
    assert evaluation.hinge_loss == 0.0
    for n_folds in (1, 5):
        with pytest.raises(ValueError, match="n_folds must be in the range"):
            temperature_log_loss([0, 1, 2, 3], np.eye(4), n_folds=n_folds)


def test_scores_of_probabilities_replace_those_of_calibrated_scores():
    y, p, scores = random_predictions(25)
    names = [f"c{i}" for i in range(25)]
    probabilities = np.random.default_rng(3).dirichlet(np.ones(25), len(y))
    plain = evaluate_predictions(y, p, scores, names)
    evaluation = evaluate_predictions(y, p, scores, names, probabilities)
    assert evaluation.log_loss == pytest.approx(sklearn.metrics.log_loss(y, probabilities))
    assert evaluation.temperatures is None
    assert evaluation.hinge_loss == plain.hinge_loss
    top = np.argsort(-probabilities, axis=1)[:, :5]
    assert evaluation.top5_accuracy == (top == y[:, None]).any(axis=1).mean()
    error, confident = calibration_scores(y, p, probabilities)
    assert (evaluation.calibration_error, evaluation.confident_accuracy) == (error, confident)
    assert plain.calibration_error is plain.confident_accuracy is None
    lines = evaluation.to_text().splitlines()
    assert f"log loss           {evaluation.log_loss:.4f}    (nats; of the probabilities)" in lines
    assert f"calibr. error   {100 * error:>9.2f} %  (expected, 15 bins of equal width)" in lines
    note = "accuracy of the more confident half"
    assert f"confident half  {100 * confident:>9.2f} %  ({note})" in lines
    without_scores = evaluate_predictions(y, p, None, names, probabilities)
    assert without_scores.log_loss == evaluation.log_loss
    assert without_scores.hinge_loss is None


@pytest.mark.parametrize(
    ("y_true", "y_pred", "scores", "names", "message"),
    [
        ([], [], None, NAMES, "y_true must be 1-D with at least one label"),
        ([[0]], [0], None, NAMES, "y_true must be 1-D"),
        ([0, 1], [0], None, NAMES, "must have one length. Got 2 and 1"),
        ([0, 4], [0, 1], None, NAMES, "y_true must hold class ids from 0 to 3. Got 0 to 4"),
        ([0, 1], [-1, 1], None, NAMES, "y_pred must hold class ids from 0 to 3. Got -1 to 1"),
        ([0.0, 1.0], [0, 1], None, NAMES, "y_true must hold integer"),
        ([0], [0], None, NAMES[:1], "at least two names"),
        ([0, 1], [0, 1], np.zeros((3, 4)), NAMES, r"shape \(2, 4\).* Got shape \(3, 4\)"),
        ([0, 1], [0, 1], np.zeros((2, 6)), NAMES, r"shape \(2, 4\).* Got shape \(2, 6\)"),
        ([0, 1], [0, 1], np.zeros(2), NAMES, r"shape \(2, 4\)"),
        ([0, 1], [0, 1], [[0, 0, np.nan, 0], [np.inf] * 4], NAMES, "finite.* for 2 samples"),
    ],
)
def test_bad_input_is_one_clear_error(y_true, y_pred, scores, names, message):
    with pytest.raises(ValueError, match=message) as caught:
        evaluate_predictions(y_true, y_pred, scores, names)
    assert "\n" not in str(caught.value)
