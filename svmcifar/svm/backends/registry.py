"""The backends, which of them work here, and why the others do not."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from svmcifar.compute.arrays import is_host
from svmcifar.errors import BackendUnavailableError, InputError
from svmcifar.svm.problem import OvOProblem, OvOSolution, Progress


class Solver(Protocol):
    """A function that solves every pair of a problem."""

    def __call__(
        self,
        problem: OvOProblem,
        *,
        n_workers: int,
        memory_limit_bytes: int | None,
        progress: Progress,
    ) -> OvOSolution:
        """See `svmcifar.svm.backends.numba_ovo.solve_blocked`."""


@dataclass(frozen=True)
class Backend:
    """A solver with its name and requirements.

    Attributes
    ----------
    name : str
    summary : str
        A description in a few words.
    why_not : callable
        Returns the reason why it does not work here, or None if it does.
    load : callable
        Imports and returns the solver.
    uses_gpu : bool
        Whether it works on the GPU, and accepts samples on the GPU.
    """

    name: str
    summary: str
    why_not: Callable[[], str | None]
    load: Callable[[], Solver]
    uses_gpu: bool = False

    def require_place_of(self, X: Any) -> None:
        """Raise `InputError` if the samples are on a device and the backend works on the host."""
        if not self.uses_gpu and not is_host(X):
            raise InputError(
                f"Samples must be on the host for the backend {self.name!r}. Got an array on a "
                f"device instead. Use the backend 'cupy' or "
                f"'cuml', or svmcifar.compute.arrays.to_host."
            )


def _load_numba() -> Solver:
    from svmcifar.svm.backends.numba_ovo import solve_blocked

    return solve_blocked


def _load_sklearn() -> Solver:
    from svmcifar.svm.backends.sklearn_ovo import solve_sklearn

    return solve_sklearn


def _load_cuml() -> Solver:
    from svmcifar.svm.backends.cuml_ovo import solve_cuml

    return solve_cuml


def _load_cupy() -> Solver:
    from svmcifar.svm.backends.cupy_ovo import solve_cupy

    return solve_cupy


def _why_no_cupy() -> str | None:
    from svmcifar.compute.gpu import why_no_cupy, why_no_numba_cuda

    return why_no_cupy() or why_no_numba_cuda()


def _why_no_cuml() -> str | None:
    from svmcifar.compute.gpu import why_no_cuml

    return why_no_cuml()


def _works_anywhere() -> None:
    return None


_BACKENDS = (
    Backend("cupy", "all pairs at once on an NVIDIA GPU", _why_no_cupy, _load_cupy, True),
    Backend("cuml", "cuML, pair by pair on an NVIDIA GPU", _why_no_cuml, _load_cuml, True),
    Backend("numba", "all pairs over one kernel matrix on the CPU", _works_anywhere, _load_numba),
    Backend("sklearn", "scikit-learn's SVC (LIBSVM) on the CPU", _works_anywhere, _load_sklearn),
)

BACKENDS = {backend.name: backend for backend in _BACKENDS}

# Fastest first.  The GPU's backends are left out until they have been measured on one.
_AUTO = ("numba", "sklearn")


def choose_backend(name: str) -> Backend:
    """Return a backend that works here.

    Parameters
    ----------
    name : str
        A backend's name, or "auto" for the fastest that works.

    Returns
    -------
    Backend

    Raises
    ------
    BackendUnavailableError
        If there is no such backend, or if it does not work here, with the reason.
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
