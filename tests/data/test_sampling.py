"""Random draws that are even over the classes."""

import numpy as np
import pytest
from sklearn.model_selection import StratifiedKFold

from svmcifar.data.sampling import draw_rows, fold_splits, hold_out, holdout_split
from svmcifar.errors import InputError


def test_draws_are_those_of_all_releases():
    """Models, tuning files and checkpoints name a seed, and mean these very images."""
    labels = np.random.default_rng(5).integers(0, 7, 60)
    drawn = [0, 2, 4, 11, 17, 22, 23, 25, 38, 43, 48, 57]
    assert draw_rows(labels, 12, seed=3).tolist() == drawn
    assert holdout_split(labels, 12, seed=3).held_out.tolist() == drawn
    chosen = [0, 2, 11, 17, 22, 23, 25, 38, 42, 43, 48, 57]
    assert np.flatnonzero(hold_out(labels, 0.2, seed=3)).tolist() == chosen


def test_draw_is_even_and_seeded():
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(10), 30))
    rows = draw_rows(labels, 57, seed=1)
    assert np.bincount(labels[rows]).tolist().count(6) == 7
    assert np.bincount(labels[rows]).tolist().count(5) == 3
    assert (np.diff(rows) > 0).all()
    np.testing.assert_array_equal(rows, draw_rows(labels, 57, seed=1))
    assert rows.tolist() != draw_rows(labels, 57, seed=2).tolist()
    np.testing.assert_array_equal(draw_rows(labels, 300, seed=1), np.arange(300))


def test_draw_of_uneven_classes():
    labels = np.repeat([0, 1, 2], [1, 2, 50])
    assert np.bincount(labels[draw_rows(labels, 30, seed=0)]).tolist() == [1, 2, 27]


@pytest.mark.parametrize("limit", [9, 301])
def test_draw_out_of_range(limit):
    labels = np.repeat(np.arange(10), 30)
    with pytest.raises(InputError, match=rf"from 10, one a class, to 300\. Got {limit} "):
        draw_rows(labels, limit, seed=0)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.25, 0.5])
def test_hold_out_is_even_over_the_classes(share):
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(10), 20))
    chosen = hold_out(labels, share, 0)
    assert chosen.dtype == bool
    assert np.bincount(labels[chosen], minlength=10).tolist() == [share * 20] * 10
    np.testing.assert_array_equal(chosen, hold_out(labels, share, 0))
    if share:
        assert (chosen != hold_out(labels, share, 1)).any()


def test_hold_out_of_uneven_classes():
    labels = np.repeat([0, 1, 3], [10, 31, 4])
    chosen = hold_out(labels, 0.2, 5)
    assert np.bincount(labels[chosen], minlength=4).tolist() == [2, 6, 0, 1]


def test_hold_out_takes_one_of_a_small_class_and_leaves_one():
    labels = np.repeat([0, 1, 2], [5, 2, 40])
    assert np.bincount(labels[hold_out(labels, 0.05, 0)]).tolist() == [1, 1, 2]
    assert np.bincount(labels[hold_out(labels, 0.9, 0)]).tolist() == [4, 1, 36]
    assert not hold_out(labels, 0.0, 0).any()


def test_hold_out_takes_any_image_of_a_class():
    labels = np.repeat([0, 1], 10)
    counts = sum(hold_out(labels, 0.3, seed).astype(int) for seed in range(300))
    assert 60 < counts.min() <= counts.max() < 120  # 90 each on average


def test_a_part_is_held_out_evenly():
    strata = np.random.default_rng(0).permutation(np.repeat(np.arange(10), 25))
    train, held_out = holdout_split(strata, seed=3)
    assert np.bincount(strata[held_out]).tolist() == [5] * 10
    np.testing.assert_array_equal(np.sort(np.append(train, held_out)), np.arange(250))
    np.testing.assert_array_equal(held_out, holdout_split(strata, 50, seed=3).held_out)
    assert held_out.tolist() != holdout_split(strata, 50, seed=4).held_out.tolist()
    assert set(np.bincount(strata[holdout_split(strata, 77).held_out])) == {7, 8}
    assert len(holdout_split(strata[:30]).held_out) == 10


@pytest.mark.parametrize("n_held_out", [9, 241])
def test_a_part_that_leaves_a_class_out_is_refused(n_held_out):
    strata = np.repeat(np.arange(10), 25)
    with pytest.raises(InputError, match=rf"from 10, one a class, to 240.* Got {n_held_out} "):
        holdout_split(strata, n_held_out)


def test_a_part_that_takes_all_of_a_small_class_is_refused():
    strata = np.repeat([0, 1, 2], [2, 20, 20])
    assert len(holdout_split(strata, 3).held_out) == 3
    with pytest.raises(InputError, match=r"Got 20 of 42, all 2 of one class"):
        holdout_split(strata, 20)


def test_folds_are_those_of_scikit_learn():
    y = np.random.default_rng(0).integers(0, 4, 90)
    expected = StratifiedKFold(4, shuffle=True, random_state=7).split(y, y)
    for (train, held_out), found in zip(expected, fold_splits(y, 4, seed=7), strict=True):
        np.testing.assert_array_equal(found.train, train)
        np.testing.assert_array_equal(found.held_out, held_out)


@pytest.mark.parametrize("n_folds", [1, 6])
def test_folds_out_of_range(n_folds):
    with pytest.raises(InputError, match=rf"folds must be from 2 to 5.* Got {n_folds} "):
        fold_splits(np.repeat([0, 1], [5, 9]), n_folds)
