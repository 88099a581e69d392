#!/usr/bin/env python3
"""Time a search over C and gamma against as many single fits, on the same features in one run.

A single fit is `RBFSVC.fit` on the training part and its prediction of the held-out part, with
everything compiled before.  The search is `svmcifar.search_svc` over the same parts.
Both give an accuracy for each point; they are compared too.  Seconds of processors are told beside
those of the clock: other work on the machine hardly touches them.

    python scripts/bench_tune.py --data data/cifar-100-python --pca 512 --out tune.json

Give OPENBLAS_CORETYPE what `svmcifar info` advises before the measurement.
"""

import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter, process_time

import click


def read_parts(data: str | None, limit: int, holdout: int, pca: int | None, labels: str) -> tuple:
    """Read features of raw pixels, labels, and which rows are trained on and held out."""
    import numpy as np

    from svmcifar.data.registry import open_dataset
    from svmcifar.data.sampling import draw_rows, holdout_split
    from svmcifar.features.fitting import compute_features, fit_features
    from svmcifar.features.pipeline import make_feature_pipeline
    from svmcifar.features.settings import FeatureSettings

    dataset = open_dataset(data)
    split = dataset.read_split("train")
    split = split.take(draw_rows(split.classes, limit, seed=0))
    rows = holdout_split(split.classes, holdout, seed=0)
    features = fit_features(
        make_feature_pipeline(FeatureSettings(n_components=pca)), split.images[rows.train]
    )
    X = np.ascontiguousarray(compute_features(features, split.images))
    return dataset.label, X, split.labels[labels], rows


def time_fits(X, y, rows, table, tol: float, jobs: int | None) -> list[dict]:
    """Fit and predict at every point of a search's table."""
    from svmcifar.svm.estimator import RBFSVC

    results = []
    X_train, y_train, X_held, y_held = (
        X[rows.train],
        y[rows.train],
        X[rows.held_out],
        y[rows.held_out],
    )
    for point in table.itertuples():
        svc = RBFSVC(C=point.C, gamma=point.gamma, tol=tol, n_jobs=jobs)
        clock, cpu = perf_counter(), process_time()
        svc.fit(X_train, y_train)
        fit_s = perf_counter() - clock
        predicted = svc.predict(X_held)
        results.append(
            {
                "C": point.C,
                "gamma": point.gamma,
                "fit_s": fit_s,
                "predict_s": perf_counter() - clock - fit_s,
                "cpu_s": process_time() - cpu,
                "n_iter": int(svc.n_iter_.sum()),
                "n_iter_search": int(point.n_iter),
                "accuracy": float((predicted == y_held).mean()),
                "accuracy_search": float(point.score),
            }
        )
    return results


def report_lines(report: dict) -> list[str]:
    """Describe what was measured."""
    fits, search = report["fits"], report["search"]
    lines = [
        "        C      gamma  fit s  predict s      steps  steps in search  accuracy  in search"
    ]
    for fit in sorted(fits, key=lambda f: (f["C"], f["gamma"])):
        lines.append(
            f"{fit['C']:9g} {fit['gamma']:10.3g} {fit['fit_s']:6.2f} {fit['predict_s']:10.2f} "
            f"{fit['n_iter']:10d} {fit['n_iter_search']:16d} {fit['accuracy']:9.2%} "
            f"{fit['accuracy_search']:10.2%}"
        )
    return [
        *lines,
        f"search of {len(fits)} points: {search['total_s']:.1f} s "
        f"(pairs {search['solve_s']:.1f} s, held-out samples {search['score_s']:.1f} s)",
        f"single fit at the best point: {report['best_fit_s']:.2f} s; the search takes "
        f"{report['x_best']:.1f} of them ({report['x_best_cpu']:.1f} in processor time)",
        f"single fit on average: {report['mean_fit_s']:.2f} s; the search takes "
        f"{report['x_mean']:.1f} of them ({report['x_mean_cpu']:.1f} in processor time)",
        f"all {len(fits)} fits: {report['all_fits_s']:.1f} s; largest difference of an accuracy: "
        f"{report['accuracy_difference']:.2%}",
    ]


@click.command()
@click.option("--data", help="The data set, as for svmcifar itself.")
@click.option("--limit", default=10_000, show_default=True, help="Training images, held-out too.")
@click.option("--holdout", default=None, type=int, help="Held-out images.  [default: a fifth]")
@click.option("--pca", type=int, help="Components of the raw pixels.  [default: all pixels]")
@click.option("--labels", type=click.Choice(["coarse", "fine"]), default="coarse")
@click.option("--tol", default=1e-3, show_default=True)
@click.option("--jobs", type=int)
@click.option("--out", type=click.Path(path_type=Path), help="Write the figures here, as JSON.")
def main(
    data: str | None,
    limit: int,
    holdout: int | None,
    pca: int | None,
    labels: str,
    tol: float,
    jobs: int | None,
    out: Path | None,
) -> None:
    """Time a search over C and gamma against as many single fits."""
    import numpy as np

    from svmcifar.compute.environment import describe_environment
    from svmcifar.data.sampling import holdout_split
    from svmcifar.svm.estimator import RBFSVC
    from svmcifar.tuning.search import search_svc

    label, X, y, rows = read_parts(data, limit, holdout, pca, labels)
    # Compile before the clock starts.
    few = holdout_split(y[:1500], 300)
    settings = {"svc": RBFSVC(tol=tol, n_jobs=jobs), "refit": False}
    warm_up = search_svc(X[:1500], y[:1500], C=[1.0, 2.0], cv=[few], **settings)
    time_fits(X[:1500], y[:1500], few, warm_up.table[:1], tol, jobs)

    clock, cpu = perf_counter(), process_time()
    found = search_svc(X, y, cv=[rows], **settings)
    total_s, cpu_s = perf_counter() - clock, process_time() - cpu
    fits = time_fits(X, y, rows, found.table, tol, jobs)
    seconds = np.array([fit["fit_s"] + fit["predict_s"] for fit in fits])
    cpu_seconds = np.array([fit["cpu_s"] for fit in fits])
    differences = [abs(f["accuracy"] - f["accuracy_search"]) for f in fits]
    report = {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "data": label,
        "labels": labels,
        "n_train": len(rows.train),
        "n_held_out": len(rows.held_out),
        "n_features": X.shape[1],
        "tol": tol,
        "processors": os.cpu_count(),
        "python": platform.python_version(),
        **describe_environment(),
        "search": {"total_s": total_s, "cpu_s": cpu_s, **found.times},
        "memory_plan": found.memory_plan,
        "best_fit_s": seconds[0],
        "mean_fit_s": seconds.mean(),
        "all_fits_s": seconds.sum(),
        "x_best": total_s / seconds[0],
        "x_mean": total_s / seconds.mean(),
        "x_best_cpu": cpu_s / cpu_seconds[0],
        "x_mean_cpu": cpu_s / cpu_seconds.mean(),
        "accuracy_difference": max(differences),
        "fits": fits,
    }
    click.echo(
        f"{label}, {labels}, {report['n_train']} training and {report['n_held_out']} held-out "
        f"images x {X.shape[1]}, tol={tol}, {os.cpu_count()} processors"
    )
    click.echo("\n".join(report_lines(report)))
    if out:
        out.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
