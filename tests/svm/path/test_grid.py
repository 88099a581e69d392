"""What a search tries, and on which images."""

import pytest
from sklearn.model_selection import ParameterGrid

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
