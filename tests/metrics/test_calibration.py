"""Against plain loops, and samples drawn from the probabilities themselves."""

import numpy as np
import pytest
import sklearn.metrics

from svmcifar.metrics.calibration import calibration_scores, probability_log_loss


def draw(n=400, n_classes=4, seed=0):
    """Probabilities, labels drawn from them, and predictions that are not always the likeliest."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(n_classes, 0.5), n)
    y = (rng.random((n, 1)) > p.cumsum(axis=1)).sum(axis=1)
    predicted = np.where(rng.random(n) < 0.8, p.argmax(axis=1), rng.integers(n_classes, size=n))
    return p, y, predicted


def test_log_loss():
    p, y, _ = draw()
    assert probability_log_loss(y, p) == pytest.approx(sklearn.metrics.log_loss(y, p))


def test_expected_calibration_error_equals_a_plain_loop():
    p, y, predicted = draw()
    expected = 0.0
    for low in range(15):
        inside = [
            (p[i, predicted[i]], predicted[i] == y[i])
            for i in range(len(y))
            if low / 15 <= p[i, predicted[i]] < (low + 1) / 15 + (low == 14)
        ]
        if inside:
            confidence, right = np.mean(inside, axis=0)
            expected += len(inside) / len(y) * abs(confidence - right)
    assert calibration_scores(y, predicted, p)[0] == pytest.approx(expected)


def test_probabilities_that_are_right_have_no_error():
    p, y, _ = draw(200_000)
    assert calibration_scores(y, p.argmax(axis=1), p)[0] < 0.01
    sure = np.eye(4)[p.argmax(axis=1)]
    error, _ = calibration_scores(y, p.argmax(axis=1), sure)
    assert error == pytest.approx((p.argmax(axis=1) != y).mean())


@pytest.mark.parametrize("n", [1, 2, 7, 400])
def test_the_more_confident_half(n):
    p, y, predicted = draw(n)
    ranked = sorted(range(n), key=lambda i: -p[i, predicted[i]])[: (n + 1) // 2]
    expected = np.mean([predicted[i] == y[i] for i in ranked])
    assert calibration_scores(y, predicted, p)[1] == expected
