"""Held-out samples whose best factor is known."""

import numpy as np
import pytest

from svmcifar.svm.sharpness import HeldOut, fit_sharpness


def draw(factor, n=4000, n_classes=5, seed=0):
    """Decisions whose coupled probabilities are right once their log-odds are multiplied."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(n_classes), n)
    codes = (rng.random((n, 1)) > p.cumsum(axis=1)).sum(axis=1)
    first, second = np.triu_indices(n_classes, 1)
    return np.log(p[:, first] / p[:, second]) / factor, codes


def held_out(decisions, codes, weight=None, A=-1.0):
    n_pairs = decisions.shape[1]
    weight = np.ones(len(codes)) if weight is None else weight
    return HeldOut(decisions, codes, weight, np.full(n_pairs, A), np.zeros(n_pairs))


@pytest.mark.parametrize("factor", [0.5, 1.0, 1.4, 3.0])
def test_finds_the_factor(factor):
    assert fit_sharpness([held_out(*draw(factor))], 5, 1) == pytest.approx(factor, rel=0.09)


def test_parts_have_sigmoids_of_their_own():
    decisions, codes = draw(1.4)
    whole = fit_sharpness([held_out(decisions, codes)], 5, 1)
    parts = [
        held_out(decisions[:1000], codes[:1000]),
        held_out(decisions[1000:] * 2, codes[1000:], A=-0.5),
    ]
    assert fit_sharpness(parts, 5, 1) == whole
    assert fit_sharpness(parts[::-1], 5, 3) == whole


def test_weights_are_repetition():
    decisions, codes = draw(1.0, n=300)
    weight = np.random.default_rng(1).integers(0, 4, 300)
    repeated = held_out(np.repeat(decisions, weight, axis=0), np.repeat(codes, weight))
    weighted = held_out(decisions, codes, weight.astype(float))
    assert fit_sharpness([weighted], 5, 1) == fit_sharpness([repeated], 5, 1)


def test_samples_without_an_error_have_a_small_factor():
    """The one observation that is spread over all classes keeps it from rising for ever."""
    few = held_out(np.tile([2.0, 2.0, 0.0], (10, 1)), np.zeros(10, dtype=np.intp))
    many = held_out(np.tile([2.0, 2.0, 0.0], (1000, 1)), np.zeros(1000, dtype=np.intp))
    assert 1 < fit_sharpness([few], 3, 1) < fit_sharpness([many], 3, 1) < 4


def test_what_says_nothing_is_left_as_it_is():
    codes = np.arange(30) % 3
    assert fit_sharpness([held_out(np.zeros((30, 3)), codes)], 3, 1) == 1.0
    wrong = held_out(np.tile([5.0, 5.0, 0.0], (30, 1)), np.full(30, 2))
    assert fit_sharpness([wrong], 3, 1) == pytest.approx(0.25)
