#!/usr/bin/env python3
"""Time RBFSVC on data other than images, against its peers on the same data in one run.

Peers are scikit-learn's SVC and, if it can be imported, scikit-learn-intelex's; all three have
their default parameters.  The floor of a fit is what matrix products alone must cost at the sgemm
rate that NumPy reaches here: n^2 d flops, every kernel value once.

Each measurement is a process of its own, so that its peak memory is its own.  Memory is what a
process takes beyond imports and data; seconds are the median after a first, untimed call, but for
the largest case, which runs once.  Compiling takes time and memory:
after a change of the code, run it twice.

    python scripts/bench_estimator.py --json estimator.json
"""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from subprocess import CalledProcessError
from time import perf_counter
from typing import Any

import click
from bench_features import peak_bytes
from bench_solvers import fastest_kernels, run_apart

# The first is the one that the others are compared with.
LIBRARIES = ("svmcifar", "sklearn", "sklearnex")
# Calls are repeated for this long.
SECONDS, QUICK_SECONDS = 1.0, 0.01
# Smaller fits take less memory than importing does, and have no floor worth the name.
_LEAST_SAMPLES = 1000


def two_classes(n: int, d: int) -> tuple:
    """Make two classes that overlap."""
    from sklearn.datasets import make_classification

    return make_classification(n, d, n_informative=d // 2, flip_y=0.05, random_state=0)


def clusters(n_classes: int, per_class: int, d: int, spread: float, dtype: str) -> tuple:
    """Make a normal distribution a class, about means drawn from the standard one."""
    import numpy as np

    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(n_classes), per_class)
    X = rng.normal(size=(n_classes, d))[y] + spread * rng.normal(size=(len(y), d))
    return X.astype(dtype), y


def of_scikit_learn(name: str) -> tuple:
    """Load a data set that comes with scikit-learn."""
    from sklearn import datasets

    return getattr(datasets, f"load_{name}")(return_X_y=True)


@dataclass(frozen=True)
class Case:
    """Samples to fit, and how many of them to predict."""

    make: Callable[..., tuple]
    arguments: tuple
    quick: tuple  # arguments of a smoke test
    predict: tuple[int, ...] = ()
    once: bool = False  # whether the fit is too long to be repeated


CASES = {
    "100 x 5": Case(two_classes, (100, 5), (100, 5)),
    "iris": Case(of_scikit_learn, ("iris",), ("iris",), (1,)),
    "digits": Case(of_scikit_learn, ("digits",), ("iris",), (1797, 1)),
    "500 classes of 4": Case(clusters, (500, 4, 64, 0.3, "f4"), (9, 4, 8, 0.3, "f4"), (100,)),
    "1000 classes of 4": Case(clusters, (1000, 4, 64, 0.3, "f4"), (12, 4, 8, 0.3, "f4"), (100,)),
    "5 x 200 x 16": Case(clusters, (5, 200, 16, 1.5, "f8"), (3, 20, 4, 1.5, "f8"), (1000,)),
    "10 x 500 x 64": Case(clusters, (10, 500, 64, 2.5, "f8"), (4, 20, 4, 1.5, "f8"), (1000,)),
    "100 x 100 x 64": Case(clusters, (100, 100, 64, 2.5, "f8"), (9, 9, 4, 1.5, "f8"), (1000,)),
    "20 x 500 x 128": Case(clusters, (20, 500, 128, 3.0, "f8"), (5, 20, 4, 1.5, "f8"), (1000,)),
    "50 x 400 x 64": Case(clusters, (50, 400, 64, 2.5, "f8"), (6, 20, 4, 1.5, "f8"), (1000,)),
    "20000 x 20": Case(two_classes, (20_000, 20), (200, 20), (1000,)),
    "100000 x 20": Case(two_classes, (100_000, 20), (300, 20), (1000,), once=True),
}


def seconds(call: Callable[[], Any], budget_s: float) -> float:
    """Return the median time of a call, after a first one."""
    call()
    times: list[float] = []
    while sum(times) < budget_s:
        clock = perf_counter()
        call()
        times.append(perf_counter() - clock)
    return median(times)


def make_estimator(library: str) -> Any:
    """Make an estimator with default parameters."""
    if library == "svmcifar":
        from svmcifar import RBFSVC as estimator  # noqa: N811
    elif library == "sklearnex":
        from sklearnex.svm import SVC as estimator  # noqa: N811
    else:
        from sklearn.svm import SVC as estimator  # noqa: N811
    return estimator()


def measure(task: dict) -> dict:
    """Run one measurement in this process."""
    case, quick = CASES[task["case"]], task["quick"]
    X, y = case.make(*(case.quick if quick else case.arguments))
    budget_s = QUICK_SECONDS if quick else SECONDS
    estimator = make_estimator(task["library"])
    before = peak_bytes()
    if case.once:
        make_estimator(task["library"]).fit(X[:300], y[:300]).predict(X[:1])
        clock = perf_counter()
        estimator.fit(X, y)
        fit_s = perf_counter() - clock
    else:
        fit_s = seconds(lambda: estimator.fit(X, y), budget_s)
    fit_bytes = peak_bytes() - before
    predict_s = {
        str(n): seconds(lambda n=n: estimator.predict(X[:n]), budget_s) for n in case.predict
    }
    return {
        **task,
        "n": len(X),
        "d": X.shape[1],
        "n_classes": len(estimator.classes_),
        "dtype": str(X.dtype),
        "n_support": len(estimator.support_),
        "fit_s": fit_s,
        "predict_s": predict_s,
        "fit_bytes": fit_bytes,
        "peak_bytes": peak_bytes(),
    }


def table(results: list[dict], sgemm_flops: float | None) -> list[str]:
    """Lay the measurements of a case out: a line for the fit and one for each prediction."""
    by_library = {r["library"]: r for r in results}
    ours = by_library["svmcifar"]
    name, n = ours["case"], ours["n"]
    fits = {library: r["fit_s"] for library, r in by_library.items()}
    line = f"{name:18} {'fit':12} {_times(fits)}"
    if n >= _LEAST_SAMPLES:
        used = {library: r["fit_bytes"] for library, r in by_library.items()}
        shown = "".join(f"{_of(used, library, 1e-6):>7}" for library in LIBRARIES)
        line += f" {shown} {_ratio(used):>6}"
        if sgemm_flops:
            line += f" {ours['fit_s'] * sgemm_flops / (n**2 * ours['d']):8.1f}"
    lines = [line]
    for rows in ours["predict_s"]:
        each = {library: r["predict_s"][rows] for library, r in by_library.items()}
        lines.append(f"{name:18} {f'predict {rows}':12} {_times(each)}")
    return lines


def heading() -> str:
    """Return the table's heading."""
    names = "".join(f"{library:>11}" for library in LIBRARIES)
    memory = "".join(f"{name:>7}" for name in ("MB", "MB", "MB"))
    return f"{'case':18} {'':12} {names} {'ratio':>6} {memory} {'ratio':>6} {'x floor':>8}"


def _times(times: dict[str, float]) -> str:
    shown = "".join(f"{_of(times, library, 1e3, 3):>11}" for library in LIBRARIES)
    return f"{shown} {_ratio(times):>6}"


def _of(values: dict[str, float], library: str, unit: float, digits: int = 0) -> str:
    return f"{values[library] * unit:.{digits}f}" if library in values else "-"


def _ratio(values: dict[str, float]) -> str:
    """Divide ours by the best of the peers."""
    peers = [value for library, value in values.items() if library != "svmcifar"]
    return f"{values['svmcifar'] / max(min(peers), 1e-9):.2f}" if peers else "-"


@click.command()
@click.option(
    "--case", "cases", type=click.Choice(list(CASES)), multiple=True, default=tuple(CASES),
    help="Measure this case alone; may be given again.",
)  # fmt: skip
@click.option(
    "--peers-most", default=50_000, show_default=True, help="Largest number of samples for peers."
)
@click.option("--quick", is_flag=True, help="A smoke test on tiny data, without the floor.")
@click.option(
    "--json", "json_path", type=click.Path(path_type=Path), help="Write the figures here."
)
@click.option("--task", hidden=True)
def main(
    cases: tuple[str, ...], peers_most: int, quick: bool, json_path: Path | None, task: str | None
) -> None:
    """Time RBFSVC against its peers on data other than images."""
    if task:
        click.echo(json.dumps(measure(json.loads(task))))
        return
    from svmcifar.compute.environment import describe_environment
    from svmcifar.compute.threads import count_workers

    environment = describe_environment()
    libraries = [name for name in LIBRARIES if name != "sklearnex" or find_spec("sklearnex")]
    if "sklearnex" in libraries:
        environment["versions"]["scikit-learn-intelex"] = version("scikit-learn-intelex")
    else:
        click.echo("scikit-learn-intelex is not installed: left out")
    kernels, rates = (None, {}) if quick else fastest_kernels()
    sgemm_flops = max(rates.values()) * 1e9 if rates else None
    versions = (f"{name} {number}" for name, number in environment["versions"].items())
    click.echo(
        f"{os.cpu_count()} processors, {count_workers(None)} threads; {', '.join(versions)}\n"
        f"times in ms; memory beyond imports and data; ratios to the better of the peers"
    )
    click.echo(heading())
    results: list[dict] = []
    for case in cases:
        of_case: list[dict] = []
        for library in libraries:
            if of_case and of_case[0]["n"] > peers_most:
                continue
            job = {"case": case, "library": library, "quick": quick}
            try:
                of_case.append(run_apart(job, kernels, __file__))
            except CalledProcessError:  # which has printed why
                click.echo(f"{case:18} {library} failed")
                if not of_case:  # ours, with which the others are compared
                    break
        if of_case:
            click.echo("\n".join(table(of_case, sgemm_flops)))
        results += of_case
    if json_path:
        report = {
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            "processors": os.cpu_count(),
            "threads": count_workers(None),
            "openblas_kernels": kernels,
            "sgemm_gflops_by_kernels": rates,
            **environment,
            "results": results,
        }
        json_path.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
