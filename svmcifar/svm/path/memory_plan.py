"""How a search spends its memory."""

from svmcifar.svm.backends.memory_plan import Holding, Plan, choose_plan
from svmcifar.svm.path.problem import SearchProblem
from svmcifar.svm.path.products import STRIP

_FLOAT32_BYTES = 4
# Largest memory of the decision values of a worker's batch of held-out samples.
_SCORING_BYTES = 128 * 2**20


def make_search_plan(problem: SearchProblem, n_workers: int, limit_bytes: int | None) -> Plan:
    """Choose the fastest schedule that fits (see `svmcifar.svm.backends.memory_plan.choose_plan`).

    The limit is on kernel blocks, products and coefficients, not on samples; raise MemoryLimitError
    if no schedule fits.  What is kept of the blocks within classes are inner products.
    """
    itemsize = problem.dtype.itemsize
    n_widths = len({path.n_features for path in problem.paths})
    n_bounds = max(len(path.points) for path in problem.paths)

    def scratch(block: int, group: int) -> int:
        # Summands of products, and float64 kernel values before they are rounded.
        return 2 * min(STRIP, group) * group * itemsize

    holding = Holding(
        tile=itemsize + _FLOAT32_BYTES,  # products and kernel
        kept=n_widths * itemsize,
        made=itemsize,
        beside=_FLOAT32_BYTES,  # the kernel within the tile's classes
        starts=8,  # warm starts for the next gamma
        pair=8 * (3 * n_bounds + 10),  # coefficients for each C, and vectors of the solver
        pairs_at_once=True,
        scratch=scratch,
        always=coef_bytes(problem),
    )
    return choose_plan(
        problem.sizes,
        n_workers,
        limit_bytes,
        holding,
        "the coefficients of all settings and the kernel blocks",
        ", or search on fewer samples or fewer settings",
    )


def coef_bytes(problem: SearchProblem) -> int:
    """Return the size of the coefficients of all points."""
    return sum(path.coef.nbytes for path in problem.paths)


def scoring_bytes(problem: SearchProblem, plan: Plan) -> int:
    """Return a worker's limit for decision values: at most what solving the pairs took."""
    return min(_SCORING_BYTES, (plan.n_bytes - coef_bytes(problem)) // plan.n_workers)
