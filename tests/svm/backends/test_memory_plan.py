import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from svmcifar.compute.memory import parse_bytes
from svmcifar.errors import MemoryLimitError
from svmcifar.svm.backends import memory_plan as plans
from svmcifar.svm.backends.memory_plan import make_plan, make_tile_plan
from svmcifar.svm.backends.working_set import least_rows_bytes

SIZES = [
    [2500] * 20,
    [500] * 100,
    [3, 9000],
    [1] * 30,
    [6000, 10, 400, 2560, 2561, 1, 900],
]

sizes_lists = st.lists(st.integers(1, 6000), min_size=2, max_size=40)


def least_limit(sizes, n_workers, itemsize):
    """Find the least limit that some plan fits, by bisection."""
    low, high = 0, make_tile_plan(sizes, n_workers, None, itemsize).n_bytes
    while high - low > 1:
        middle = (low + high) // 2
        if make_tile_plan(sizes, n_workers, middle, itemsize):
            high = middle
        else:
            low = middle
    return high


@settings(deadline=None)
@given(sizes=sizes_lists, share=st.floats(0, 1), n_workers=st.integers(1, 8))
def test_tiles_hold_every_pair_once(sizes, share, n_workers):
    most = make_tile_plan(sizes, n_workers, None, 4).n_bytes
    least = least_limit(sizes, n_workers, 4)
    plan = make_tile_plan(sizes, n_workers, int(least + share * (most - least)), 4)
    classes = [c for first, last in plan.groups for c in range(first, last + 1)]
    assert classes == list(range(len(sizes)))
    pairs = [
        (a, b)
        for g, h in plan.tiles
        for a in range(plan.groups[g][0], plan.groups[g][1] + 1)
        for b in range(plan.groups[h][0], plan.groups[h][1] + 1)
        if a < b
    ]
    assert sorted(pairs) == [(a, b) for a in classes for b in classes if a < b]
    for on_demand in (frozenset(), frozenset(classes[::2]), frozenset(classes)):
        groups = [(c, c) for c in classes] if on_demand else plan.groups
        other = replace(plan, groups=tuple(groups), on_demand=on_demand)
        assert other.n_tiles == len(other.tiles)
    for first, last in plan.groups:
        assert first == last or sum(sizes[first : last + 1]) <= plans.BLOCK


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("n_workers", [1, 2, 5])
@pytest.mark.parametrize("itemsize", [4, 8])
def test_plans_from_plenty_to_nothing(sizes, n_workers, itemsize):
    best = make_tile_plan(sizes, n_workers, None, itemsize)
    assert best.keep_diagonals
    assert best.n_workers == n_workers
    assert make_tile_plan(sizes, n_workers, best.n_bytes, itemsize) == best

    # With less and less room: first workers fall, then diagonals go, then groups.
    seen, limit = [best], best.n_bytes - 1
    least = least_limit(sizes, n_workers, itemsize)
    while limit >= least:
        plan = make_tile_plan(sizes, n_workers, limit, itemsize)
        assert plan.n_bytes <= limit
        seen.append(plan)
        limit = plan.n_bytes - 1
    ranks = [(-len(plan.groups), plan.keep_diagonals, plan.n_workers) for plan in seen]
    assert ranks == sorted(ranks, reverse=True)
    assert len(set(ranks)) == len(ranks)
    # Where workers share each tile, fewer of them would save nothing but float64 scratch.
    assert seen[-1].n_workers == 1 or (seen[-1].shares_tiles and itemsize == 4)
    assert make_tile_plan(sizes, n_workers, least - 1, itemsize) is None


@given(sizes=sizes_lists, share=st.floats(0, 1), itemsize=st.sampled_from([4, 8]))
def test_workers_do_not_decide_the_groups(sizes, share, itemsize):
    least, most = least_limit(sizes, 1, itemsize), make_tile_plan(sizes, 8, None, itemsize).n_bytes
    limit = int(least + share * (most - least))
    groups = {
        make_tile_plan(sizes, n_workers, limit, itemsize).groups for n_workers in (1, 2, 5, 8)
    }
    assert len(groups) == 1


def test_one_tile_is_held_once_whatever_the_workers():
    one, many = (make_tile_plan([9000, 9000], n_workers, None, 4) for n_workers in (1, 16))
    assert many.n_workers == 16
    assert many.n_bytes == one.n_bytes


def test_every_kind_of_plan_is_used():
    """500 samples a class: groups of 5; 100 MB of diagonals; tiles of 26 MB or of 1 MB."""
    sizes = [500] * 100
    plan = make_tile_plan(sizes, 4, None, 4)
    assert plan.groups[:2] == ((0, 4), (5, 9))
    assert (plan.n_workers, plan.keep_diagonals) == (4, True)
    kinds = {}
    for megabytes in range(1, 230):
        plan = make_tile_plan(sizes, 4, megabytes * 10**6, 4)
        if plan is None:
            kinds["refused"] = megabytes
        else:
            kinds.setdefault((len(plan.groups), plan.n_workers, plan.keep_diagonals), megabytes)
    assert kinds["refused"] <= 4  # 3 blocks of one pair, 1 MB each, a transpose and vectors
    assert kinds.keys() >= {(100, 1, False), (100, 4, False), (20, 1, False), (20, 4, True)}


@pytest.mark.parametrize("sizes", SIZES)
def test_the_least_plan_holds_the_blocks_of_the_largest_pair(sizes):
    a, b = sorted(sizes)[-2:]
    blocks = 4 * (a * a + b * b + 2 * a * b)
    least = least_limit(sizes, 3, 4)
    # Other pairs' diagonal blocks are not counted in; some slack is left for the bounds used.
    assert blocks <= least <= 1.5 * blocks + 1000


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("itemsize", [4, 8])
def test_the_message_names_the_need_and_the_remedy(sizes, itemsize):
    with pytest.raises(MemoryLimitError) as caught:
        make_plan(sizes, 7, 2, 1, itemsize)
    message = str(caught.value)
    assert "\n" not in message
    assert f"({sum(sorted(sizes)[-2:])} samples)" in message
    assert "Got 1 B instead." in message
    need = parse_bytes(re.search(r"must be at least ([0-9.]+ [KMG]?i?B)", message)[1])
    # Setting what it names is enough, and a little less is not.
    assert make_plan(sizes, 7, 2, need, itemsize).n_bytes <= need
    if max(sizes) > 1:  # whose blocks take less than rows made on demand
        with pytest.raises(MemoryLimitError):
            make_plan(sizes, 7, 2, int(0.99 * need), itemsize)


@pytest.mark.parametrize("limit", [None, 10**9, 10**6])
def test_samples_count(limit):
    sizes, n_features, itemsize = [300, 200], 100, 8
    plan = make_plan(sizes, n_features, 2, limit, itemsize)
    tiles = make_tile_plan(sizes, 2, limit and limit - 400_000, itemsize)
    if limit == 10**6:  # 600 kB are not enough for the blocks
        assert tiles is None
        assert plan.on_demand
        assert 400_000 < plan.n_bytes <= limit
    else:
        assert plan.n_bytes == tiles.n_bytes + 400_000


def test_small_problems_in_float64_need_little():
    assert make_tile_plan([50, 50, 50], 2, 200_000, 8).n_bytes <= 200_000


def test_plans_are_described():
    assert make_tile_plan([2500] * 20, 2, None, 4).describe() == (
        "a tile for each pair of classes, blocks within classes kept, 573.4 MiB at most"
    )
    assert (
        make_tile_plan([20, 30], 2, None, 4)
        .describe()
        .startswith("whole kernel matrix, blocks within classes kept, ")
    )
    tight = make_tile_plan([500] * 100, 2, 50_000_000, 4)
    assert tight.describe().startswith(
        "tiles between 20 groups of classes, blocks within classes computed again for each tile, "
    )


@pytest.mark.parametrize("sizes", [[25] * 20, [3000, 2000, 9]])
def test_the_least_limit_is_that_of_the_leaner_schedule(sizes):
    """Tiles of small classes, kernel rows of large ones."""
    with pytest.raises(MemoryLimitError) as caught:
        make_plan(sizes, 10, 2, 1, 4)
    least = parse_bytes(re.search(r"at least (.+?) for", str(caught.value))[1])
    held = sum(sizes) * 10 * 4
    of_tiles = held + least_limit(sizes, 2, 4)
    of_rows = least_rows_bytes(sum(sorted(sizes)[-2:]), 10, 2, 4, 4, held)
    assert (of_tiles < of_rows) == (sizes[0] == 25)
    assert least == pytest.approx(min(of_tiles, of_rows), rel=1e-3)
    assert make_plan(sizes, 10, 2, least, 4).n_bytes <= least
