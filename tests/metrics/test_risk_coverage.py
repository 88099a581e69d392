"""Risk against coverage, held against plain loops."""

from itertools import permutations

import numpy as np
import pytest

from svmcifar.metrics.risk_coverage import N_COVERAGES, margin, risk_coverage


@pytest.mark.parametrize("n", [1, 2, 49, 50, 51, 1000])
def test_risks_are_those_of_the_most_confident(n):
    rng = np.random.default_rng(n)
    right, confidence = rng.random(n) < 0.6, rng.random(n)
    curve = risk_coverage(right, confidence, "probability")
    order = sorted(range(n), key=lambda i: -confidence[i])
    risks = [sum(not right[i] for i in order[:k]) / k for k in range(1, n + 1)]
    assert curve.area == pytest.approx(np.mean(risks))
    assert len(curve.risks) == len(curve.coverages) == N_COVERAGES
    for step, (coverage, risk) in enumerate(zip(curve.coverages, curve.risks, strict=True), 1):
        k = next(k for k in range(1, n + 1) if k * N_COVERAGES >= step * n)
        assert (coverage, risk) == (k / n, pytest.approx(risks[k - 1]))
    assert curve.risks[-1] == pytest.approx(1 - right.mean())


def test_least_area_is_that_of_a_perfect_ranking():
    rng = np.random.default_rng(0)
    right, confidence = rng.random(300) < 0.7, rng.random(300)
    curve = risk_coverage(right, confidence, "margin")
    perfect = risk_coverage(right, right.astype(float) + 0.1 * confidence, "margin")
    assert curve.least_area == pytest.approx(perfect.area)
    assert perfect.area < curve.area


def test_ties_count_as_their_mean_over_all_orders():
    right = np.array([True, False, False, True, True])
    confidence = np.array([0.5, 0.5, 0.9, 0.5, 0.1])
    areas = []
    for order in permutations((0, 1, 3)):
        wrong = ~right[[2, *order, 4]]
        areas.append(np.mean(np.cumsum(wrong) / np.arange(1, 6)))
    assert risk_coverage(right, confidence, "margin").area == pytest.approx(np.mean(areas))


def test_margin_is_below_zero_where_votes_have_another_answer():
    scores = np.array([[3.0, 1.0, 2.5], [0.0, 4.0, 1.0]])
    np.testing.assert_array_equal(margin(scores, np.array([2, 1])), [-0.5, 3.0])
    np.testing.assert_array_equal(scores[0], [3.0, 1.0, 2.5])  # not overwritten
