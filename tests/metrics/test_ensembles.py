import numpy as np
import pytest

from svmcifar.metrics.ensembles import combine_scores


def test_sum_is_the_mean_of_probabilities():
    a, b = np.array([[0.6, 0.3, 0.1]]), np.array([[0.1, 0.5, 0.4]])
    np.testing.assert_allclose(combine_scores([a, b], [], "sum"), [[0.35, 0.4, 0.25]])


@pytest.mark.parametrize(
    ("rows", "winner"),
    [
        ([[0.4, 0.35, 0.25], [0.4, 0.35, 0.25], [0.0, 0.9, 0.1]], 0),  # two votes beat the sum
        ([[0.9, 0.1, 0.0], [0.3, 0.4, 0.3]], 0),  # a tie: the larger sum
        ([[0.4, 0.3, 0.3], [0.1, 0.8, 0.1]], 1),
        ([[0.5, 0.5, 0.0], [0.5, 0.5, 0.0]], 0),  # alike in all: the first class
    ],
)
def test_votes_and_ties(rows, winner):
    scores = [np.array([row]) for row in rows]
    ids = [one.argmax(1) for one in scores]
    assert combine_scores(scores, ids, "vote").argmax(1) == [winner]
