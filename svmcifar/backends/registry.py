"""The backends there are, which of them work here, and why the others do not."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Protocol

from svmcifar.backends.problem import OvOProblem, OvOSolution, Progress
from svmcifar.errors import BackendUnavailableError


class Solver(Protocol):
    """Solves every pair of a problem."""

    def __call__(
        self,
        problem: OvOProblem,
        *,
        n_workers: int,
        memory_limit_bytes: int | None,
        progress: Progress,
    ) -> OvOSolution:
        """See `svmcifar.backends.blocked.solve_blocked`."""


@dataclass(frozen=True)
class Backend:
    """One way to solve the problem.

    Attributes
    ----------
    name : str
    summary : str
        What it is, in a few words.
    why_not : callable
        Gives the reason why it does not work here, or None if it does.
    load : callable
        Imports and returns the solver.
    """

    name: str
    summary: str
    why_not: Callable[[], str | None]
    load: Callable[[], Solver]


def _load_numba() -> Solver:
    from svmcifar.backends.blocked import solve_blocked

    return solve_blocked


def _load_sklearn() -> Solver:
    from svmcifar.backends.sklearn_svc import solve_sklearn

    return solve_sklearn


def _not_in_this_release(package: str) -> Callable[[], str | None]:
    def why_not() -> str:
        if find_spec(package) is None:
            return f"the package {package} is not installed"
        return f"this release has no {package} backend"

    return why_not


def _no_solver() -> Solver:
    raise NotImplementedError


_BACKENDS = (
    Backend("cupy", "all pairs at once on an NVIDIA GPU", _not_in_this_release("cupy"), _no_solver),
    Backend(
        "cuml", "cuML, pair by pair on an NVIDIA GPU", _not_in_this_release("cuml"), _no_solver
    ),
    Backend("numba", "all pairs over one kernel matrix on the CPU", lambda: None, _load_numba),
    Backend("sklearn", "scikit-learn's SVC (LIBSVM) on the CPU", lambda: None, _load_sklearn),
)

BACKENDS = {backend.name: backend for backend in _BACKENDS}

# Fastest first.
_AUTO = ("cupy", "numba", "sklearn")


def choose_backend(name: str) -> Backend:
    """Find a backend that works here.

    Parameters
    ----------
    name : str
        A backend's name, or "auto" for the fastest that works here.

    Returns
    -------
    Backend

    Raises
    ------
    BackendUnavailableError
        If there is no such backend, or if it does not work here; the message
        gives the reason.
    """
    if name == "auto":
        return next(BACKENDS[n] for n in _AUTO if BACKENDS[n].why_not() is None)
    if name not in BACKENDS:
        raise BackendUnavailableError(
            f"The backend must be one of auto, {', '.join(BACKENDS)}. Got {name!r} instead."
        )
    reason = BACKENDS[name].why_not()
    if reason is not None:
        raise BackendUnavailableError(
            f"The backend {name!r} does not work here: {reason}. "
            f"Use {choose_backend('auto').name!r}, the fastest that does."
        )
    return BACKENDS[name]
