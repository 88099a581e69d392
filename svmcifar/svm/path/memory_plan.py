"""How a search spends its memory."""

from dataclasses import replace
from functools import partial

from svmcifar.svm.backends import memory_plan as plans
from svmcifar.svm.backends.memory_plan import Plan
from svmcifar.svm.path.problem import SearchProblem
from svmcifar.svm.path.products import STRIP

_FLOAT32_BYTES = 4
# What the decision values of a worker's batch of held-out samples may take.
_SCORING_BYTES = 128 * 2**20


def make_search_plan(problem: SearchProblem, n_workers: int, limit_bytes: int | None) -> Plan:
    """Choose the fastest schedule that fits.

    Parameters
    ----------
    problem : SearchProblem
    n_workers : int
    limit_bytes : int or None
        Limit on kernel blocks, products and coefficients; not on samples.

    Returns
    -------
    Plan
        As `svmcifar.svm.backends.memory_plan.make_plan` makes it, where what is kept of the blocks
        within classes are their inner products.

    Raises
    ------
    MemoryLimitError
        If no schedule fits.
    """
    cost = partial(
        _cost,
        n_widths=len({path.n_features for path in problem.paths}),
        n_bounds=max(len(path.numbers) for path in problem.paths),
        coef_bytes=coef_bytes(problem),
    )
    return plans.make_plan(
        problem.sizes, n_workers, limit_bytes, problem.dtype.itemsize, cost,
        "the coefficients of all settings and the kernel blocks",
        ", or search on fewer samples or fewer settings",
    )  # fmt: skip


def coef_bytes(problem: SearchProblem) -> int:
    """Count what the coefficients of all points take."""
    return sum(path.coef.nbytes for path in problem.paths)


def scoring_bytes(problem: SearchProblem, plan: Plan) -> int:
    """Count what a worker may take for decision values: less than solving the pairs took."""
    return min(_SCORING_BYTES, (plan.n_bytes - coef_bytes(problem)) // plan.n_workers)


def _cost(
    sizes: list[int],
    groups: list[tuple[int, int]],
    workers: int,
    keep: bool,
    itemsize: int,
    *,
    n_widths: int,
    n_bounds: int,
    coef_bytes: int,
) -> Plan:
    """Cost one schedule."""
    totals = sorted(sum(sizes[first : last + 1]) for first, last in groups)
    largest = sorted(sizes)[-2:]
    tile = totals[-1] * (totals[-2] if len(totals) > 1 else totals[-1])
    if any(first < last for first, last in groups):
        tile = max(tile, totals[-1] ** 2)
    all_diagonals = sum(size**2 for size in sizes)
    diagonals = min(
        all_diagonals,
        2 * max(sum(size**2 for size in sizes[first : last + 1]) for first, last in groups),
    )
    # The transpose of one pair's block, and that block cut out of a larger tile.
    pair = largest[0] * largest[1]
    pair = _FLOAT32_BYTES * (2 * pair if tile > pair else pair)
    # Bounds and coefficients for each C, and what the solver keeps.
    pair += 8 * sum(largest) * (3 * n_bounds + 10)
    # The solutions of a tile's pairs that those for the next gamma start from.
    starts = 8 * sum(largest) * max(last + 1 - first for first, last in groups) ** 2
    # Products and kernel of a tile, and the kernel within its classes.
    per_tile = tile * (itemsize + _FLOAT32_BYTES) + diagonals * _FLOAT32_BYTES + starts
    # What is added to products, and what float64 kernel values go through.
    scratch = 2 * min(STRIP, totals[-1]) * totals[-1] * itemsize
    kept = n_widths * all_diagonals * itemsize
    if not keep:
        per_tile += diagonals * itemsize
        kept = 0
    plan = Plan(tuple(groups), workers, keep, 0)
    at_a_time = 1 if plan.shares_tiles else workers
    n_bytes = coef_bytes + kept + at_a_time * per_tile + workers * (pair + scratch)
    return replace(plan, n_bytes=n_bytes)
