#!/usr/bin/env python3
"""Time RBFSVC against its peers and the hardware floor, on the same data in one run.

Peers are scikit-learn's SVC and, if it can be imported, scikit-learn-intelex's.  The floor
is what matrix products alone must cost at the sgemm rate that NumPy reaches here: n^2 d
flops to fit (every kernel value once, by symmetry) and 2 n_test n_SV d to predict.

Each measurement is a process of its own, so that its peak memory is its own, with the
OpenBLAS kernels that are fastest on this machine.  Most code is compiled before the clock starts,
and how long that takes is given apart; after a change of the code, run it twice.

    python scripts/bench_solvers.py --data data/cifar-100-python --json bench.json
"""

import json
import os
import platform
import resource
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

import click

# Measured in this order; the first is the one that the others are compared with.
SOLVERS = ("svmcifar", "sklearnex", "sklearn")
C, TOL = 1.0, 1e-3


def sgemm_rate(repeats: int = 5) -> float:
    """Measure the float32 matrix product, in flop/s: the best over shapes like the solver's."""
    import numpy as np

    best = 0.0
    for n, d in ((2560, 3072), (4096, 4096), (5120, 3072)):
        A = np.random.default_rng(0).random((n, d), dtype=np.float32)
        out = np.empty((n, n), dtype=np.float32)
        B = A[::-1].copy()  # not A itself, whose product with its transpose takes half the work
        for _ in range(repeats):
            clock = perf_counter()
            np.matmul(A, B.T, out=out)
            best = max(best, 2.0 * n * n * d / (perf_counter() - clock))
    return best


def read_samples(data: str | None, n: int, n_test: int, labels: str) -> tuple:
    """Read standardised raw pixels of the first `n` training and `n_test` test images."""
    from svmcifar.data.registry import open_dataset
    from svmcifar.features.fitting import compute_features, fit_features
    from svmcifar.features.pipeline import make_feature_pipeline

    dataset = open_dataset(data)
    train, test = dataset.read_split("train"), dataset.read_split("test")
    features = fit_features(make_feature_pipeline(), train.images[:n])
    return (
        compute_features(features, train.images[:n]),
        train.labels[labels][:n],
        compute_features(features, test.images[:n_test]),
        test.labels[labels][:n_test],
    )


def make_solver(name: str):
    """Make an estimator with the parameters that all share."""
    if name == "svmcifar":
        from svmcifar.svm.estimator import RBFSVC

        return RBFSVC(C=C, tol=TOL, backend="numba")
    if name == "sklearnex":
        from sklearnex.svm import SVC
    else:
        from sklearn.svm import SVC
    return SVC(C=C, tol=TOL, cache_size=2000)


def measure(task: dict) -> dict:
    """Run one measurement in this process."""
    if task["solver"] == "sgemm":
        return {"sgemm_gflops": sgemm_rate() / 1e9}
    X, y, X_test, y_test = read_samples(task["data"], task["n"], task["n_test"], task["labels"])
    clock = perf_counter()
    make_solver(task["solver"]).fit(X[:600], y[:600]).predict(X[:50])
    warm_up_s = perf_counter() - clock
    rates = [sgemm_rate()]
    estimator = make_solver(task["solver"])
    clock = perf_counter()
    estimator.fit(X, y)
    fit_s = perf_counter() - clock
    fit_peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    clock = perf_counter()
    predicted = estimator.predict(X_test)
    predict_s = perf_counter() - clock
    rates.append(sgemm_rate())
    n_support = len(estimator.support_)
    d, rate = X.shape[1], max(rates)
    return {
        **task,
        "n": len(X),
        "n_test": len(X_test),
        "d": d,
        "n_classes": len(estimator.classes_),
        "n_support": n_support,
        "accuracy": float((predicted == y_test).mean()),
        "fit_s": fit_s,
        "predict_s": predict_s,
        "fit_peak_bytes": fit_peak_bytes,
        "warm_up_s": warm_up_s,
        "sgemm_gflops": rate / 1e9,
        "fit_floor_s": len(X) ** 2 * d / rate,
        "predict_floor_s": 2.0 * len(X_test) * n_support * d / rate,
    }


def run_apart(task: dict, kernels: str | None, script: str = __file__) -> dict:
    """Run one measurement of a script in a process of its own, with the given OpenBLAS kernels."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("OPENBLAS_")}
    if kernels:
        environment["OPENBLAS_CORETYPE"] = kernels
    done = subprocess.run(
        [sys.executable, script, "--task", json.dumps(task)],
        env=environment, stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1])


def fastest_kernels() -> tuple[str | None, dict[str, float]]:
    """Find the OpenBLAS kernels with the highest sgemm rate here; None is its own choice."""
    candidates: list[str | None] = [None]
    if "avx512vl" in _cpuinfo():
        candidates.append("SkylakeX")
    rates = {k: run_apart({"solver": "sgemm"}, k)["sgemm_gflops"] for k in candidates}
    # Its own choice wins where the difference is noise.
    best = max(rates, key=lambda k: rates[k] * (1.05 if k is None else 1.0))
    return best, {k or "own choice": rate for k, rate in rates.items()}


def _cpuinfo() -> str:
    path = Path("/proc/cpuinfo")
    return path.read_text() if path.exists() else ""


def table(results: list[dict]) -> str:
    """Lay the measurements out, each with its ratios to the floor and to RBFSVC."""
    ours = {(r["n"], r["labels"]): r for r in results if r["solver"] == SOLVERS[0]}
    lines = [
        "  samples labels solver       fit s  x floor  x ours  peak GB   test  images/s"
        "  x floor  x ours  accuracy"
    ]
    for r in results:
        base = ours[r["n"], r["labels"]]
        speed, base_speed = (x["n_test"] / x["predict_s"] for x in (r, base))
        lines.append(
            f"{r['n']:9d} {r['labels']:6} {r['solver']:10} {r['fit_s']:7.2f} "
            f"{r['fit_s'] / base['fit_floor_s']:8.2f} {r['fit_s'] / base['fit_s']:7.1f} "
            f"{r['fit_peak_bytes'] / 1e9:8.2f} {r['n_test']:6d} {speed:9.0f} "
            f"{r['predict_s'] / r['predict_floor_s']:8.2f} {base_speed / speed:7.1f} "
            f"{r['accuracy']:9.2%}"
        )
    return "\n".join(lines)


def plan(sizes: list[int], sklearn_most: int, n_test: int, peer_n_test: int) -> list[dict]:
    """List the measurements."""
    tasks = []
    for n in sizes:
        for solver in SOLVERS:
            if solver == "sklearn" and n > sklearn_most:
                continue
            test = n_test if solver == SOLVERS[0] else peer_n_test
            tasks.append({"solver": solver, "n": n, "n_test": test, "labels": "coarse"})
    tasks.append({"solver": SOLVERS[0], "n": max(sizes), "n_test": n_test, "labels": "fine"})
    return tasks


@click.command()
@click.option("--data", help="The data set, as for svmcifar itself.")
@click.option("--size", "sizes", type=int, multiple=True, default=(10_000, 50_000))
@click.option(
    "--sklearn-most", default=10_000, show_default=True, help="Largest size for scikit-learn."
)
@click.option("--n-test", default=10_000, show_default=True, help="Images that svmcifar predicts.")
@click.option(
    "--peer-n-test", default=2_000, show_default=True, help="Images that the peers predict."
)
@click.option(
    "--json", "json_path", type=click.Path(path_type=Path), help="Write the figures here."
)
@click.option("--task", hidden=True)
def main(
    data: str | None,
    sizes: tuple[int, ...],
    sklearn_most: int,
    n_test: int,
    peer_n_test: int,
    json_path: Path | None,
    task: str | None,
) -> None:
    """Time RBFSVC against its peers and the hardware floor."""
    if task:
        click.echo(json.dumps(measure(json.loads(task))))
        return
    from importlib.util import find_spec

    from svmcifar.compute.blas import blas_kernels
    from svmcifar.compute.environment import describe_environment
    from svmcifar.data.registry import open_dataset

    kernels, rates = fastest_kernels()
    for name, rate in rates.items():
        click.echo(f"sgemm, OpenBLAS kernels {name}: {rate:.0f} GFLOP/s")
    results = []
    for job in plan(list(sizes), sklearn_most, n_test, peer_n_test):
        if job["solver"] == "sklearnex" and find_spec("sklearnex") is None:
            click.echo("scikit-learn-intelex is not installed: left out")
            continue
        results.append(run_apart({**job, "data": data}, kernels))
        click.echo(table(results).splitlines()[-1] if len(results) > 1 else table(results))
    report = {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "data": open_dataset(data).label,
        "parameters": {"C": C, "gamma": "scale", "tol": TOL},
        "processors": os.cpu_count(),
        "python": platform.python_version(),
        "openblas_kernels": kernels,
        "sgemm_gflops_by_kernels": rates,
        **describe_environment(),
        "results": [{k: v for k, v in r.items() if k != "data"} for r in results],
    }
    report["host"]["blas"] = blas_kernels() if kernels is None else kernels
    click.echo(f"\n{report['data']}, C={C}, gamma=scale, tol={TOL}, {os.cpu_count()} processors")
    click.echo(table(results))
    if json_path:
        json_path.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
