"""Bundles of parts: what a task is on a cluster."""

import pytest

from svmcifar.svm.backends.memory_plan import make_plan
from svmcifar.svm.backends.parts import bundle_parts, list_parts


def plan_for(n_classes, size):
    sizes = [size] * n_classes
    return make_plan(sizes, 600, 1, 100 << 30, 4, 4), sizes


@pytest.mark.parametrize("n_threads", [1, 2, 7, 1000])
@pytest.mark.parametrize("size", [400, 3000])
def test_bundles_hold_each_part_once_and_end_small(n_threads, size):
    plan, sizes = plan_for(100, size)
    parts = list_parts(plan, sizes)
    bundles = bundle_parts(parts, plan, sizes, n_threads)
    assert [part for bundle in bundles for part in bundle] == parts
    values = [
        [plan_values(part, plan, sizes) for part in bundle] for bundle in bundles
    ]  # of each part
    assert all(len(bundle) == 1 or sum(bundle) <= 2**26 for bundle in values)
    # While threads work on their last bundles, what one has is little of all there was.
    assert max(map(sum, values[-n_threads:])) <= max(sum(map(sum, values)) / 20, values[0][0])


def plan_values(part, plan, sizes):
    first, second = (
        sum(sizes[group[0] : group[1] + 1])
        for group in (plan.groups[part.first], plan.groups[part.second])
    )
    return first * second


@pytest.mark.parametrize(("n_threads", "expected"), [(2, 32), (200, 153)])
def test_a_few_workers_get_few_bundles(n_threads, expected):
    plan, sizes = plan_for(100, 400)
    parts = list_parts(plan, sizes)
    assert len(parts) == 153
    assert len(bundle_parts(parts, plan, sizes, n_threads)) == expected


def test_what_is_left_of_a_fit_is_shared_anew():
    plan, sizes = plan_for(100, 400)
    left = list_parts(plan, sizes)[-5:]
    assert [len(bundle) for bundle in bundle_parts(left, plan, sizes, 2)] == [1] * 5
    assert bundle_parts([], plan, sizes, 2) == []
