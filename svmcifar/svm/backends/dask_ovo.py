"""All pairs on the workers of a Dask cluster, to the same bits as on one machine.

A task is a bundle of parts of the fit (`svmcifar.svm.backends.parts`): a worker computes the blocks
of the kernel matrix that it needs, and returns the solutions of the pairs, which are small.
Samples are in a file that all workers can read, since data that a dead worker held is lost; the
client writes each solution beside it, and a later fit of the same problem goes on from there.

Where that is, and what workers solve with, are settings of Dask's: ``svmcifar.folder``, by default
one among the temporary files that is removed in the end, and ``svmcifar.solver``, "numba" or
"cupy".
"""

import os
import socket
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from secrets import token_hex
from threading import Lock
from typing import Any

from svmcifar.compute.arrays import to_device
from svmcifar.errors import BackendUnavailableError, InputError
from svmcifar.svm.backends.memory_plan import make_plan
from svmcifar.svm.backends.parts import (
    Part,
    PartSolution,
    PartSolver,
    bundle_parts,
    list_parts,
    solve_on_gpu,
)
from svmcifar.svm.backends.problem_folder import (
    find_solution,
    keep_solution,
    read_problem,
    write_problem,
)
from svmcifar.svm.backends.refinement import refine
from svmcifar.svm.kernels.precomputed import Precomputed
from svmcifar.svm.problem import OvOProblem, OvOSolution, Progress
from svmcifar.svm.samples import SampleBlocks

FOLDER_SETTING, SOLVER_SETTING = "svmcifar.folder", "svmcifar.solver"
SOLVERS = ("numba", "cupy")
# Of a worker's limit: at four fifths Dask pauses it.
_SHARE = 0.7
# How long to wait for the first worker.
_WAIT_S = 30
# A bundle is given to workers again so many times, each time until Dask gives up on it.
_MOST_TRIES = 5


def why_no_dask() -> str | None:
    """Return why there is no cluster to work on, None if there is one."""
    if find_spec("distributed") is None:
        return "the package distributed is not installed (pip install 'svmcifar[dask]')"
    # Nobody has made a client without importing it, which takes time.
    if "distributed" in sys.modules and _current_client():
        return None
    return "there is no dask.distributed.Client to work with"


def _current_client() -> Any:
    """Return the current client, None if there is none."""
    from distributed import get_client

    try:
        client = get_client()
    except ValueError:
        return None
    return client if client.status == "running" else None


def solver_of_workers() -> str:
    """Return the name of the backend that workers solve with."""
    import dask

    name = dask.config.get(SOLVER_SETTING, "numba")
    if name not in SOLVERS:
        raise InputError(
            f"Dask's setting {SOLVER_SETTING!r} must be one of {', '.join(SOLVERS)}. Got {name!r} "
            f"instead."
        )
    return name


def solve_dask(
    problem: OvOProblem,
    *,
    n_workers: int,
    memory_limit_bytes: int | None = None,
    progress: Progress = lambda n_pairs: None,
) -> OvOSolution:
    """Solve every pair on the current client's workers (a `Solver`).

    The memory limit is that of a worker, by default seven tenths of what Dask gives it.  Raise
    BackendUnavailableError if the cluster, or the folder on one of its machines, cannot be reached.
    """
    if isinstance(problem.kernel, Precomputed):
        raise InputError(
            "The backend 'dask' must compute kernel values where they are used. Got the kernel "
            "'precomputed'. Use the backend 'numba'."
        )
    client, X = _current_client(), problem.samples.X
    workers = _workers(client)
    limit = memory_limit_bytes or _least_memory(workers)
    n_threads = [worker["nthreads"] for worker in workers]
    stored = problem.stored_dtype.itemsize
    size = X.dtype.itemsize
    plan = make_plan(
        problem.sizes, X.shape[1], max(n_threads), limit, size, stored, in_file=True,
        n_products=problem.kernel.n_products,
    )  # fmt: skip
    solution = OvOSolution.empty(problem)
    solution.memory_plan = f"{plan.describe()}, on Dask's workers"
    with _place() as place:
        folder = write_problem(place, problem, plan, solver_of_workers())
        missing = []
        for part in list_parts(plan, problem.sizes):
            if found := find_solution(folder, part):
                found.store(problem, part.pairs(plan), solution)
                progress(len(found.stats))
            else:
                missing.append(part)

        def done(part: Part, solved: PartSolution) -> None:
            keep_solution(folder, part, solved)
            solved.store(problem, part.pairs(plan), solution)
            progress(len(solved.stats))

        bundles = bundle_parts(missing, plan, problem.sizes, sum(n_threads))
        _solve_bundles(client, folder, bundles, done)
    refine(problem, solution, n_workers)
    return solution


@contextmanager
def _place() -> Iterator[Path]:
    """Yield the folder for problems."""
    import dask

    named = dask.config.get(FOLDER_SETTING, None)
    if named:
        yield Path(named).absolute()
        return
    with tempfile.TemporaryDirectory(prefix="svmcifar-dask-") as folder:
        yield Path(folder)


def _workers(client: Any) -> list[dict[str, Any]]:
    """Return what the scheduler tells of its workers, of which there is one at least."""
    try:
        client.wait_for_workers(1, timeout=_WAIT_S)
        return list(client.scheduler_info(n_workers=-1)["workers"].values())
    except (OSError, TimeoutError) as error:
        raise _lost(client) from error


def _least_memory(workers: list[dict[str, Any]]) -> int | None:
    """Return the bytes that each worker can use; None if none has a limit."""
    limits = [worker["memory_limit"] for worker in workers if worker["memory_limit"]]
    return int(_SHARE * min(limits)) if limits else None


def _solve_bundles(
    client: Any,
    folder: Path,
    bundles: list[list[Part]],
    done: Callable[[Part, PartSolution], None],
) -> None:
    """Have bundles of parts solved, and call `done` with each part's solution as it comes."""
    from distributed import CancelledError, KilledWorker, as_completed

    def submit(bundle: list[Part]) -> Any:
        # A key of its own: Dask would not run one again that has failed.
        key = f"svmcifar-{bundle[0].name}-{token_hex(8)}"
        return client.submit(solve_parts, str(folder), bundle, key=key)

    waiting: dict[Any, list[Part]] = {}
    tries: Counter[Part] = Counter()
    try:
        waiting.update((submit(bundle), bundle) for bundle in bundles)
        completed = as_completed(list(waiting))
        for future in completed:
            bundle = waiting.pop(future)
            try:
                solved = future.result()
            except KilledWorker as error:
                tries[bundle[0]] += 1
                if tries[bundle[0]] == _MOST_TRIES:
                    raise BackendUnavailableError(
                        f"Dask's workers must live until they have solved a part of a fit. Got "
                        f"{_MOST_TRIES} times several that died at one; look at their logs, and "
                        f"lower the memory limit if they ran out of memory."
                    ) from error
                again = submit(bundle)
                waiting[again] = bundle
                completed.add(again)
                continue
            for part, solution in zip(bundle, solved, strict=True):
                done(part, solution)
        with suppress(Exception):  # it is done: what workers still hold goes with the next fit
            client.run(_forget, str(folder))
    except (CancelledError, OSError, TimeoutError) as error:
        raise _lost(client) from error
    finally:
        with suppress(Exception):
            client.cancel(list(waiting))


def _lost(client: Any) -> BackendUnavailableError:
    return BackendUnavailableError(
        f"The Dask scheduler {getattr(client.scheduler, 'address', '')} must answer, with a worker "
        f"at least, until a fit is done. It does not; start it again and fit again, which goes on "
        f"from the parts that were solved if Dask's setting {FOLDER_SETTING!r} (train --resume) "
        f"names where they are."
    )


@contextmanager
def on_cluster(address: str, folder: Path, solver: str) -> Iterator[None]:
    """Make a client of a scheduler the current one, with these settings (see above).

    Raise BackendUnavailableError if there is no Dask, or no scheduler at the address.
    """
    if find_spec("distributed") is None:
        raise BackendUnavailableError(f"Dask cannot be used here: {why_no_dask()}.")
    import dask

    # Before distributed is imported; what is lost is told by an error.
    quiet = dict.fromkeys(("distributed", "distributed.client", "distributed.core"), "critical")
    dask.config.set(logging=quiet)
    from distributed import Client

    try:
        client = Client(address)
    except (OSError, TimeoutError, ValueError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BackendUnavailableError(
            f"There must be a Dask scheduler at {address}, got '{reason}'; start one with "
            f"'dask scheduler' and workers with 'dask worker ADDRESS'"
        ) from error
    with client, dask.config.set({FOLDER_SETTING: str(folder), SOLVER_SETTING: solver}):
        yield


# Of this process, if it is a worker: what it keeps from part to part, for the latest folder.
_solvers: dict[str, Any] = {}
_lock = Lock()


def solve_parts(folder: str, parts: list[Part]) -> list[PartSolution]:
    """Solve parts of the problem in a folder; what a worker does."""
    try:
        # Opened anew each time, so that pages of the file do not count as a worker's memory.
        problem, plan, solver = read_problem(Path(folder))
    except OSError as error:
        raise BackendUnavailableError(
            f"Dask's workers must be able to read {folder}, where the samples are. Got "
            f"'{error.strerror or error}' on {socket.gethostname()}, process {os.getpid()}; name a "
            f"folder that all machines share in Dask's setting {FOLDER_SETTING!r}."
        ) from error
    if solver == "cupy":
        return _solve_on_gpu(folder, problem, plan, parts)
    with _lock:
        kept = _solvers.get(folder)
        if kept is None or kept.plan != plan:
            _solvers.clear()
            kept = _solvers[folder] = PartSolver(plan, problem.n_classes)
    return kept.solve(problem, parts)


def _solve_on_gpu(
    folder: str, problem: OvOProblem, plan: Any, parts: list[Part]
) -> list[PartSolution]:
    """Solve parts on the GPU, where the samples stay from task to task."""
    from svmcifar.svm.backends.registry import choose_backend

    choose_backend("cupy")
    with _lock:  # one GPU, one part at a time
        if folder not in _solvers:
            _solvers.clear()
            samples = problem.samples
            _solvers[folder] = SampleBlocks(to_device(samples.X), to_device(samples.sq_norms))
        on_device = replace(problem, samples=_solvers[folder])
        return [solve_on_gpu(on_device, plan, part) for part in parts]


def _forget(folder: str) -> None:
    """Free what this worker keeps of a problem."""
    with _lock:
        _solvers.pop(folder, None)
