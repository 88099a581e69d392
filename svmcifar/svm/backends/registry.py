"""The backends, which of them work here, and why the others do not."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from svmcifar.compute import gpu
from svmcifar.compute.arrays import is_host
from svmcifar.compute.memory import parse_bytes
from svmcifar.compute.threads import count_workers
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
        """Solve every pair of a one-vs-one problem.

        Parameters
        ----------
        problem : OvOProblem
        n_workers : int
            Threads to work with, >= 1; the result does not depend on it.  For solvers on the CPU
            that use several.
        memory_limit_bytes : int or None
            Limit on what is held at a time, as in `RBFSVC`; by default most of the free memory.
        progress : callable
            Called with the number of pairs just solved.

        Returns
        -------
        OvOSolution

        Raises
        ------
        BackendUnavailableError
            If the solver cannot work with the settings of its libraries.
        MemoryLimitError
            If the largest pair does not fit.
        """


@dataclass(frozen=True)
class Backend:
    """A solver with its name and requirements."""

    name: str
    summary: str
    why_not: Callable[[], str | None]  # the reason why it does not work here
    load: Callable[[], Solver]  # imports the solver
    uses_gpu: bool = False  # whether it works on the GPU, and accepts samples there
    # From the samples of each class, the numbers of features and workers, the memory limit in bytes
    # and the products of a kernel value: raises MemoryLimitError if they do not fit, whatever their
    # values.
    check_memory: Callable[[list[int], int, int, int | None, int], None] = lambda *_: None
    implies_mirror_images: bool = True  # whether it takes `n_odd` of `SVC.fit`
    # The name of the backend that solves, if others than this do.
    solver: Callable[[], str] | None = None

    def require_place_of(self, X: Any) -> None:
        """Raise InputError if the samples are on a device and the backend works on the host."""
        if not self.uses_gpu and not is_host(X):
            raise InputError(
                f"Samples must be on the host for the backend {self.name!r}. Got an array on a "
                f"device instead. Use the backend 'cupy' or "
                f"'cuml', or svmcifar.compute.arrays.to_host."
            )

    def require_memory(
        self,
        y: NDArray[np.int64],
        n_views: int,
        n_features: int,
        *,
        n_jobs: int | None,
        memory_limit: Any,
        n_products: int = 1,
    ) -> None:
        """Raise MemoryLimitError if views of float32 samples with labels y, from 0 on, cannot fit.

        `n_jobs` and the limit are those of `RBFSVC`, `n_products` those of the kernel.
        """
        sizes = np.bincount(y)
        limit_bytes = None if memory_limit is None else parse_bytes(memory_limit)
        sizes = (n_views * sizes[sizes > 0]).tolist()
        self.check_memory(sizes, n_features, count_workers(n_jobs), limit_bytes, n_products)


def _loader(file: str, function: str) -> Callable[[], Any]:
    return lambda: getattr(import_module(f"svmcifar.svm.backends.{file}"), function)


_BACKENDS = (
    Backend(
        "cupy",
        "all pairs at once on an NVIDIA GPU",
        lambda: gpu.why_no_cupy(),
        _loader("cupy_ovo", "solve_cupy"),
        uses_gpu=True,
        check_memory=lambda *problem: _loader("cupy_ovo", "check_memory")()(*problem),
    ),
    Backend(
        "cuml",
        "cuML, pair by pair on an NVIDIA GPU",
        lambda: gpu.why_no_cuml(),
        _loader("cuml_ovo", "solve_cuml"),
        uses_gpu=True,
        implies_mirror_images=False,
    ),
    Backend(
        "numba",
        "all pairs over one kernel matrix on the CPU",
        lambda: None,
        _loader("numba_ovo", "solve_blocked"),
        check_memory=lambda *problem: _loader("numba_ovo", "check_memory")()(*problem),
    ),
    Backend(
        "sklearn",
        "scikit-learn's SVC (LIBSVM) on the CPU",
        lambda: None,
        _loader("sklearn_ovo", "solve_sklearn"),
        check_memory=lambda *problem: _loader("sklearn_ovo", "check_memory")()(*problem),
    ),
    Backend(
        "dask",
        "all pairs on the workers of a Dask cluster",
        lambda: _loader("dask_ovo", "why_no_dask")()(),
        _loader("dask_ovo", "solve_dask"),
        solver=lambda: _loader("dask_ovo", "solver_of_workers")()(),
    ),
)

BACKENDS = {backend.name: backend for backend in _BACKENDS}

# Fastest first.  The GPU's backends are left out until they have been measured on one.
_AUTO = ("numba", "sklearn")


def choose_backend(name: str) -> Backend:
    """Return the backend of a name, or for "auto" the fastest that works here.

    Raise BackendUnavailableError if there is none of that name, or with the reason if it does not
    work here.
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
