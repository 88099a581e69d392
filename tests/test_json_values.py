"""Values that JSON knows."""

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from svmcifar.compute.environment import Host
from svmcifar.json_values import finite, is_of_type, plain


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


@pytest.mark.parametrize("kind", [Any, dict[str, Any], Host])
def test_what_json_lacks_and_depth_without_end_are_of_no_type(kind):
    def held(value):
        return {"system": "", "processor": "", "cores": 1, "blas": [], "more": value}

    for value in (1.5, None, [{"a": True}], 10**400):
        assert is_of_type(held(value), kind)
    deep: Any = 1
    for _ in range(50):
        deep = [deep]
    for value in (math.nan, [{"a": -math.inf}], deep):
        assert not is_of_type(held(value), kind)
