"""What a search tries, and on which images."""

import numpy as np
import pytest
from sklearn.model_selection import ParameterGrid, StratifiedKFold

from svmcifar.data.sampling import fold_splits, holdout_split
from svmcifar.errors import InputError
from svmcifar.svm.path.grid import Gamma, Grid


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.5", (0.5, False)), (2, (2.0, False)), ("1e-4", (1e-4, False)), ("2x", (2.0, True)),
        (" 0.25x", (0.25, True)), ("scale", (1.0, True)),
    ],
)  # fmt: skip
def test_gamma_is_read(text, expected):
    assert Gamma.parse(text) == expected
    assert Gamma.parse(str(Gamma.parse(text))) == expected


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "x", "", "auto", "2y", "0x", "-2x"])
def test_other_gammas_are_refused(text):
    with pytest.raises(InputError, match=rf"gamma must be a number above 0.* Got '{text}' instead"):
        Gamma.parse(text)


def test_a_multiple_is_of_scale():
    assert Gamma.parse("3x").resolve(0.5) == 1.5
    assert Gamma.parse("3").resolve(0.5) == 3.0


def test_points_come_in_the_order_that_wins_ties():
    grid = Grid(C=[10, 0.1], gamma=[2, 0.5, 1], n_components=[None, 30, 4])
    expected = ParameterGrid({"C": [0.1, 10], "gamma": [0.5, 1, 2], "n_components": [4, 30, None]})
    found = [(p.C, p.gamma.number, p.n_components) for p in grid.points]
    assert found == [(p["C"], p["gamma"], p["n_components"]) for p in expected]
    assert len(Grid().points) == 25


BAD_GRIDS = [
    ({"C": []}, "values of C, each once. Got none"),
    ({"C": [1, 1.0]}, "values of C, each once. Got 1.0, 1.0"),
    ({"C": [0]}, "C to search must be a finite number above 0. Got 0.0"),
    ({"C": [float("nan")]}, "C to search must be a finite number above 0. Got nan"),
    ({"C": [float("inf")]}, "C to search must be a finite number above 0. Got inf"),
    ({"gamma": []}, "values of gamma, each once. Got none"),
    ({"gamma": ["1x", "scale"]}, "values of gamma, each once. Got 1x, 1x"),
    ({"gamma": ["1x", 0.5]}, "all numbers or all multiples of 'scale'. Got 0.5, 1x"),
    ({"n_components": [5, 5]}, "values of components, each once. Got 5, 5"),
    ({"n_components": [0]}, "components to search must be at least 1. Got 0"),
]


@pytest.mark.parametrize(("values", "message"), BAD_GRIDS)
def test_bad_grids(values, message):
    with pytest.raises(InputError, match=message):
        Grid(**values)


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
