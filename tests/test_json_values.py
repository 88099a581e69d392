"""Values that JSON knows."""

import json
import math
from dataclasses import dataclass

import numpy as np

from svmcifar.json_values import finite, plain


def test_plain_values_are_json_ready():
    value = {np.int64(3): [np.float32(0.5), (True, None, "x")]}
    assert json.dumps(plain(value)) == '{"3": [0.5, [true, null, "x"]]}'


def test_arrays_and_dataclasses_are_plain_at_any_depth():
    @dataclass
    class Point:
        x: np.ndarray
        inner: object

    value = [{"a": (Point(np.arange(2), Point(np.ones((1, 2), bool), None)),)}]
    assert plain(value) == [{"a": [{"x": [0, 1], "inner": {"x": [[True, True]], "inner": None}}]}]
    assert plain(Point) is Point


def test_what_is_not_finite_is_none():
    value = {"a": [1.5, math.nan, [math.inf, -math.inf, "nan", 3, None, True]]}
    assert finite(value) == {"a": [1.5, None, [None, None, "nan", 3, None, True]]}
