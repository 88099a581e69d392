"""How a search spends its memory."""

from svmcifar.svm.backends.memory_plan import Holding, Plan, choose_plan
from svmcifar.svm.path.problem import SearchProblem
from svmcifar.svm.path.products import STRIP

_FLOAT32_BYTES = 4
# Largest memory of the decision values of a worker's batch of held-out samples.
_SCORING_BYTES = 128 * 2**20


def make_search_plan(
    problem: SearchProblem, n_workers: int, limit_bytes: int | None
) -> Plan | None:
    """Choose the fastest schedule that fits (see `svmcifar.svm.backends.memory_plan.choose_plan`).

    The limit is on samples, kernel blocks, products and coefficients.  What is kept of the blocks
    within classes are inner products.
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
        always=_held_bytes(problem),
    )
    return choose_plan(problem.sizes, n_workers, limit_bytes, holding)


def samples_bytes(problem: SearchProblem) -> int:
    """Return the size of the widest samples, of which the others are views."""
    return int(problem.paths[-1].samples.X.nbytes)


def _held_bytes(problem: SearchProblem) -> int:
    """Return the size of samples and of the coefficients of all points."""
    return samples_bytes(problem) + sum(path.coef.nbytes for path in problem.paths)


def scoring_bytes(problem: SearchProblem, plan: Plan) -> int:
    """Return a worker's limit for decision values: at most what solving the pairs took."""
    return min(_SCORING_BYTES, (plan.n_bytes - _held_bytes(problem)) // plan.n_workers)
