from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from svmcifar.errors import MemoryLimitError
from svmcifar.svm.backends.gpu_memory_plan import make_device_plan

SIZES = [[2500] * 20, [500] * 100, [7, 3], [1, 900, 2, 40, 41, 3000, 5], [60] * 3]
sizes_lists = st.lists(st.integers(1, 3000), min_size=2, max_size=30)
PLENTY = 2**60


def least_limit(sizes):
    """Find the least limit that a plan fits, by bisection."""
    low, high = 0, make_device_plan(sizes, PLENTY).n_bytes
    while high - low > 1:
        middle = (low + high) // 2
        try:
            make_device_plan(sizes, middle)
            high = middle
        except MemoryLimitError:
            low = middle
    return high


@settings(deadline=None)
@given(sizes=sizes_lists, share=st.floats(0, 1))
def test_each_pair_is_solved_once_on_a_tile_that_fits(sizes, share):
    least, most = least_limit(sizes), make_device_plan(sizes, PLENTY).n_bytes
    limit = int(least + share * (most - least))
    plan = make_device_plan(sizes, limit)
    solved = []
    for classes, pairs in plan.tiles():
        assert classes == sorted(set(classes))
        assert {c for pair in pairs for c in pair} <= set(classes)
        n_samples = sum(sizes[c] for c in classes)
        state = sum(sizes[a] + sizes[b] for a, b in pairs)
        assert 4 * n_samples**2 + 16 * state <= plan.n_bytes <= limit
        solved += pairs
    assert sorted(solved) == list(combinations(range(len(sizes)), 2))


@pytest.mark.parametrize("sizes", SIZES)
def test_budgets_from_plenty_to_nothing(sizes):
    plan = make_device_plan(sizes, PLENTY)
    assert plan.groups == ((0, len(sizes) - 1),)
    seen = [len(plan.groups)]
    least = least_limit(sizes)
    while plan.n_bytes - 1 >= least:
        plan = make_device_plan(sizes, plan.n_bytes - 1)
        seen.append(len(plan.groups))
    assert seen == sorted(set(seen))
    assert 2 not in seen  # two groups would be one tile
    with pytest.raises(MemoryLimitError, match=r"must be at least .* Got .* instead"):
        make_device_plan(sizes, least - 1)


def test_samples_that_tiles_copy_must_fit_too():
    sizes, sample_bytes = [60] * 9, 400
    whole = make_device_plan(sizes, PLENTY)
    room = whole.n_bytes
    assert make_device_plan(sizes, room, room, sample_bytes) == whole  # which copies none
    tiled = make_device_plan(sizes, room - 1)
    assert tiled.groups == ((0, 2), (3, 5), (6, 8))
    room = tiled.n_bytes + 360 * sample_bytes
    assert make_device_plan(sizes, whole.n_bytes - 1, room, sample_bytes) == tiled
    assert make_device_plan(sizes, tiled.n_bytes, room, sample_bytes) == tiled
    assert len(make_device_plan(sizes, tiled.n_bytes, room - 1, sample_bytes).groups) > 3
    assert len(make_device_plan(sizes, tiled.n_bytes - 1, room, sample_bytes).groups) > 3
    with pytest.raises(MemoryLimitError, match=r"Got 0 B instead"):
        make_device_plan(sizes, room, 100 * sample_bytes, sample_bytes)


def test_plans_are_described():
    assert make_device_plan([2500] * 20, PLENTY).describe() == "whole kernel matrix, 9.327 GiB"
    assert make_device_plan([2500] * 20, 5 * 10**9).describe() == (
        "3 groups of classes, tiles of 4.57 GiB"
    )


def test_least_budget_is_one_pair_at_a_time():
    plan = make_device_plan([60] * 9, least_limit([60] * 9))
    assert plan.groups == tuple((c, c) for c in range(9))
    assert len(list(plan.tiles())) == 36
    assert plan.n_bytes == 4 * 120**2 + 16 * 120
