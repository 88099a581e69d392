#!/usr/bin/env python3
"""Benchmark the GPU backends, their peer and the CPU backend on the same data in one run.

Measured are the backends 'cupy' and, where cuML is installed, 'cuml', cuML's own multiclass SVC
and the CPU backend 'numba': fit and predict from features that are where the solver wants them,
the stages of our fit, GPU memory, and how much of the hardware's limits is reached.  Limits are a
float32 matrix product and a copy, measured in the same process.

Each measurement is a process of its own, with a time limit: what does not finish is left out, and
said so.  CUDA kernels are compiled anew, before the clock starts; that time is given apart.

    python scripts/bench_gpu.py --data data/cifar-100-python --out gpu-check
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import click
from gpu_tables import report_markdown, report_text
from gpu_tasks import TOL, C, describe, measure

# Largest share of the time left that one measurement may take.
_SHARE = {"cupy": 0.9, "numba": 0.5, "cuml": 0.4, "cuml-own": 0.35}
# No measurement is started with less.
_LEAST_S = 5.0
# For the question whether there is a GPU.
_QUESTION_S = 60.0
# The largest relative difference of objectives between solvers at tol = 1e-3.
_OBJECTIVE_RTOL = 1e-4


def plan(sizes: list[int], with_cuml: bool) -> list[tuple[str, str, int]]:
    """List the measurements, as solver, labels and samples: what matters most comes first.

    Those that are compared with the backend 'cupy' come behind it.  cuML's grow, so that there
    are figures at some size where the largest takes too long.
    """
    tasks = [("cupy", labels, max(sizes)) for labels in ("coarse", "fine")]
    tasks.append(("numba", "coarse", max(sizes)))
    if with_cuml:
        for n in sorted(sizes):
            tasks += [("cupy", "coarse", n)] * (n < max(sizes))
            tasks += [("cuml-own", "coarse", n), ("cuml", "coarse", n)]
    tasks.append(("numba", "fine", max(sizes)))
    return tasks


def run_apart(task: dict, limit_s: float, log: Path) -> dict:
    """Run one measurement in a process of its own; say what is missing if it gives none."""
    command = [sys.executable, __file__, "--task", json.dumps(task)]
    missing = f"not finished within {limit_s:.0f} s"
    try:
        with log.open("w") as errors:
            done = subprocess.run(
                command, stdout=subprocess.PIPE, stderr=errors, text=True, timeout=limit_s
            )
        if done.returncode == 0:
            return json.loads(done.stdout.splitlines()[-1])
        lines = [line for line in log.read_text().splitlines() if line.strip()]
        missing = f"failed: {lines[-1].strip() if lines else f'exit status {done.returncode}'}"
    except subprocess.TimeoutExpired:
        pass
    return {k: v for k, v in task.items() if k in ("solver", "labels", "n")} | {"missing": missing}


def run_all(tasks: list[tuple[str, str, int]], shared: dict, end: float, out: Path) -> list[dict]:
    """Run measurements until the time is up."""
    results, gave_up = [], set()
    for solver, labels, n in tasks:
        task = {"solver": solver, "labels": labels, "n": n, **shared}
        if (solver, labels, n) != tasks[0]:
            task["memory_limit"] = None  # one limited fit is enough
        left = end - perf_counter()
        if solver in gave_up or left < _LEAST_S:
            reason = "a smaller size took too long" if solver in gave_up else "no time left"
            result = {"solver": solver, "labels": labels, "n": n, "missing": f"not run: {reason}"}
        else:
            log = out / f"{solver}-{labels}-{n}.log"
            result = run_apart(task, left * _SHARE[solver], log)
        if "fit_s" not in result and solver.startswith("cuml"):
            gave_up.add(solver)
        results.append(result)
        click.echo(f"{solver:9}{labels:7}{n:7}: {describe_result(result)}")
    return results


def describe_result(result: dict) -> str:
    """Describe in one line how a measurement went."""
    if "fit_s" not in result:
        return result["missing"]
    speed = result["n_test"] / result["predict_s"]
    return f"fit {result['fit_s']:.3g} s, {speed:.0f} images/s, {result['accuracy']:.2%}"


def failures(results: list[dict]) -> list[str]:
    """Describe what must not be: our backend without a result, or a model unlike the others'."""
    found = []
    for r in results:
        head = f"{r['solver']}, {r['labels']}, {r['n']:,} samples"
        if r["solver"] == "cupy" and "fit_s" not in r:
            found.append(f"{head}: {r['missing']}")
        if r.get("missing", "").startswith("failed"):
            found.append(f"{head}: {r['missing']}")
        if not r.get("large_C", {"largest_gap": 0.0})["largest_gap"] <= TOL:
            found.append(f"{head}: at C = {r['large_C']['C']:g} not solved to the tolerance")
        for parity in (r.get("parity"), r.get("limited", {}).get("parity")):
            if not parity or "objective_off_by" not in parity:
                continue
            if parity["of_these_differ"] or not parity["objective_off_by"] <= _OBJECTIVE_RTOL:
                found.append(f"{head}: not the model of the backend 'cupy', or of it unlimited")
    return list(dict.fromkeys(found))


@click.command()
@click.option("--data", help="The data set, as for svmcifar itself.")
@click.option("--size", "sizes", type=int, multiple=True, default=(5_000, 20_000, 50_000))
@click.option("--n-test", default=10_000, show_default=True, help="Images that are predicted.")
@click.option("--memory-limit", default="4GiB", show_default=True, help="For a second fit.")
@click.option("--budget", default=300.0, show_default=True, help="Time for all of it, in s.")
@click.option("--out", default="gpu-check", type=click.Path(path_type=Path), show_default=True)
@click.option("--task", hidden=True)
def main(
    data: str | None,
    sizes: tuple[int, ...],
    n_test: int,
    memory_limit: str,
    budget: float,
    out: Path,
    task: str | None,
) -> None:
    """Benchmark the GPU backends; write bench.json, bench.txt and bench.md to a folder."""
    end = perf_counter() + budget
    if task:
        content = json.loads(task)
        click.echo(json.dumps(measure(content) if content else describe()))
        return
    from svmcifar.compute.environment import describe_environment, utc_now

    out.mkdir(parents=True, exist_ok=True)
    # Asked in another process: one that uses the GPU may keep others from it.
    found = run_apart({}, min(_QUESTION_S, budget), out / "gpu.log")
    if reason := found.get("missing") or found["why_no_cupy"]:
        raise click.ClickException(f"The benchmark needs a GPU: {reason}.")
    notes = [f"cuML is left out: {found['why_no_cuml']}."] if found["why_no_cuml"] else []
    for note in notes:
        click.echo(note)
    with tempfile.TemporaryDirectory() as work:
        os.environ["CUPY_CACHE_DIR"] = str(Path(work) / "kernels")
        shared = {"n_test": n_test, "data": data, "work": work, "memory_limit": memory_limit}
        results = run_all(plan(list(sizes), found["why_no_cuml"] is None), shared, end, out)
    bad = failures(results)
    environment = describe_environment()
    gpu = found["gpu"]
    environment["versions"] |= gpu.pop("versions")
    report = {
        "made": utc_now(),
        "data": next((r["data"] for r in results if "data" in r), "no data"),
        "parameters": {"C": C, "gamma": "scale", "tol": TOL},
        "processors": os.cpu_count(),
        "python": platform.python_version(),
        "gpu": gpu,
        **environment,
        "notes": notes,
        "failures": bad,
        "results": results,
    }
    (out / "bench.json").write_text(json.dumps(report, indent=2) + "\n")
    (out / "bench.txt").write_text(report_text(report))
    (out / "bench.md").write_text(report_markdown(report))
    click.echo(f"\n{report_text(report)}")
    if bad:
        raise click.ClickException("; ".join(bad))


if __name__ == "__main__":
    main()
