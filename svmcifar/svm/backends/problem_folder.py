"""A problem in a folder that several processes share, and the solutions of its parts there.

The folder's name is a hash of the samples, the settings and the plan, so that solutions found in
it are those of this very problem.  Samples are read by memory mapping: a process holds those that
it works on.
"""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import svmcifar
from svmcifar.io.files import atomic_path
from svmcifar.io.folders import staged_folder
from svmcifar.json_values import plain
from svmcifar.svm.backends.memory_plan import Plan
from svmcifar.svm.backends.parts import Part, PartSolution
from svmcifar.svm.backends.working_set import RowPlan
from svmcifar.svm.kernels.kernel import Precision
from svmcifar.svm.kernels.registry import make_kernel
from svmcifar.svm.moments import row_batches
from svmcifar.svm.problem import OvOProblem
from svmcifar.svm.samples import SampleBlocks

_SETTINGS = "problem.json"


def write_problem(place: Path, problem: OvOProblem, plan: Plan, solver: str) -> Path:
    """Write a problem, unless it is there, to its folder within `place`; return that.

    Raise OutputError if it cannot be written.
    """
    X = problem.samples.X
    arrays = {"sq_norms": problem.samples.sq_norms, "upper": problem.upper}
    settings = {
        "version": svmcifar.__version__,
        "solver": solver,
        "kernel": {"name": problem.kernel.name, **asdict(problem.kernel)},  # type: ignore[call-overload]
        "precision": int(problem.precision),
        "tol": problem.tol,
        "max_iter": problem.max_iter,
        "starts": problem.starts,
        "plan": _plain_plan(plan),
    }
    folder = place / _hash(X, arrays, settings)
    if not folder.is_dir():
        with staged_folder(folder) as staging:
            kept = np.lib.format.open_memmap(staging / "X.npy", "w+", X.dtype, X.shape)
            done = 0
            for rows in row_batches(X):
                kept[done : done + len(rows)] = rows
                done += len(rows)
            kept.flush()
            for name, values in arrays.items():
                np.save(staging / f"{name}.npy", values)
    with atomic_path(folder / _SETTINGS) as temporary:
        temporary.write_text(json.dumps(plain(settings)))
    return folder


def read_problem(folder: Path) -> tuple[OvOProblem, Plan, str]:
    """Open a problem; return it with its plan and the name of its solver."""
    settings = json.loads((folder / _SETTINGS).read_text())
    precision = Precision(settings["precision"])
    problem = OvOProblem(
        samples=SampleBlocks(_open(folder / "X.npy"), _open(folder / "sq_norms.npy")),
        starts=tuple(settings["starts"]),
        upper=_open(folder / "upper.npy"),
        kernel=make_kernel(**settings["kernel"]).at(precision),
        precision=precision,
        tol=settings["tol"],
        max_iter=settings["max_iter"],
    )
    content = settings["plan"]
    plan = Plan(
        **content
        | {
            "groups": tuple((first, last) for first, last in content["groups"]),
            "on_demand": frozenset(content["on_demand"]),
            "rows": RowPlan(**content["rows"]),
        }
    )
    return problem, plan, settings["solver"]


def keep_solution(folder: Path, part: Part, solved: PartSolution) -> None:
    """Write the solution of a part."""
    with atomic_path(_path(folder, part)) as temporary:
        np.savez(temporary, **solved._asdict())


def find_solution(folder: Path, part: Part) -> PartSolution | None:
    """Read the solution of a part; None if it is not there, or damaged."""
    try:
        with np.load(_path(folder, part), allow_pickle=False) as content:
            return PartSolution(content["stats"], content["betas"])
    except Exception:  # a damaged archive may raise any, and is written again
        return None


def _path(folder: Path, part: Part) -> Path:
    return folder / f"{part.name}.npz"


def _open(path: Path) -> NDArray[Any]:
    """Map an array, as one that may be written: compiled code knows no other, and none writes."""
    return np.asarray(np.load(path, mmap_mode="c", allow_pickle=False))


def _plain_plan(plan: Plan) -> dict[str, Any]:
    return asdict(plan) | {"on_demand": sorted(plan.on_demand)}


def _hash(X: Any, arrays: dict[str, NDArray[Any]], settings: dict[str, Any]) -> str:
    """Hash what the solutions depend on; memory and threads are not among that."""
    plan = settings["plan"]
    of_plan = {"groups": plan["groups"], "on_demand": plan["on_demand"]}
    of_plan["n_working"] = plan["rows"]["n_working"]
    text = json.dumps(plain(settings | {"plan": of_plan}), sort_keys=True)
    digest = hashlib.sha256(f"{text} {X.dtype.str} {X.shape}".encode())
    for values in (*arrays.values(), *row_batches(X)):
        digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()[:32]
