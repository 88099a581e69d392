"""Where errors fall, counted by hand and by chance."""

import numpy as np
import pytest

from svmcifar.metrics.error_places import error_places


def test_counted_by_hand():
    superclass_of = np.array([0, 0, 0, 1, 1])
    y_true = np.array([0, 0, 1, 3, 4, 4])
    y_pred = np.array([1, 3, 1, 4, 0, 4])  # inside, outside, right, inside, outside, right
    found = error_places(y_true, y_pred, superclass_of)
    assert (found.n_wrong, found.n_inside, found.share) == (4, 2, 0.5)
    assert found.chance == pytest.approx((2 + 2 + 1 + 1) / 4 / 4)  # of four other classes
    assert found.interval[0] < 0.5 < found.interval[1]


def test_chance_is_the_share_of_random_wrong_answers():
    rng = np.random.default_rng(0)
    superclass_of = rng.integers(4, size=30)
    y_true = rng.integers(30, size=40_000)
    y_pred = (y_true + rng.integers(1, 30, size=len(y_true))) % 30
    found = error_places(y_true, y_pred, superclass_of)
    assert found.share == pytest.approx(found.chance, abs=0.01)


def test_no_errors_have_no_place():
    assert error_places(np.array([0, 1]), np.array([0, 1]), np.array([0, 0])) is None
