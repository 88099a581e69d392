#!/usr/bin/env python3
"""Hold the probabilities of RBFSVC against those of scikit-learn's SVC, on the same folds.

Each data set comes with scikit-learn and is standardised on the training folds.  Both estimators
have their default parameters but for `probability`.  Log loss and expected calibration error are
means over repeated stratified cross-validation; the difference comes with its standard error over
the repetitions.

    python scripts/bench_probability.py --json probability.json
"""

import json
import warnings
from pathlib import Path
from time import perf_counter
from typing import Any

import click

DATASETS = ("digits", "breast_cancer", "wine", "iris")
N_FOLDS = 5


def make_estimators() -> dict[str, Any]:
    """Make both estimators, each after a scaler."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    from svmcifar import RBFSVC

    estimators = {
        "svmcifar": RBFSVC(probability=True),
        "sklearn": SVC(probability=True, random_state=0),
    }
    return {name: make_pipeline(StandardScaler(), e) for name, e in estimators.items()}


def score(X: Any, y: Any, seed: int) -> dict[str, dict[str, float]]:
    """Cross-validate both estimators on the same folds."""
    import numpy as np
    from sklearn.model_selection import StratifiedKFold

    from svmcifar.metrics.calibration import calibration_scores, probability_log_loss

    folds = list(StratifiedKFold(N_FOLDS, shuffle=True, random_state=seed).split(X, y))
    result = {}
    for name, estimator in make_estimators().items():
        clock = perf_counter()
        p = np.empty((len(y), len(set(y))))
        for train, test in folds:
            p[test] = estimator.fit(X[train], y[train]).predict_proba(X[test])
        seconds = perf_counter() - clock
        error, _ = calibration_scores(y, p.argmax(axis=1), p)
        loss = probability_log_loss(y, p)
        result[name] = {"log_loss": loss, "calibration_error": error, "seconds": seconds}
    return result


def compare(dataset: str, repetitions: int) -> dict[str, Any]:
    """Average the scores of both estimators over repetitions."""
    import numpy as np
    from sklearn import datasets

    X, y = getattr(datasets, f"load_{dataset}")(return_X_y=True)
    runs = [score(X, y, seed) for seed in range(repetitions)]
    row: dict[str, Any] = {"dataset": dataset, "n_samples": len(y), "repetitions": repetitions}
    for name in runs[0]:
        row[name] = {key: float(np.mean([run[name][key] for run in runs])) for key in runs[0][name]}
    gaps = [run["svmcifar"]["log_loss"] - run["sklearn"]["log_loss"] for run in runs]
    row["difference"] = float(np.mean(gaps))
    row["standard_error"] = float(np.std(gaps) / max(1, len(gaps) - 1) ** 0.5)
    return row


@click.command()
@click.option("--repetitions", type=click.IntRange(min=1), default=10, show_default=True)
@click.option("--dataset", "names", type=click.Choice(DATASETS), multiple=True, default=DATASETS)
@click.option(
    "--json", "json_path", type=click.Path(path_type=Path), help="Write the figures here."
)
def main(repetitions: int, names: tuple[str, ...], json_path: Path | None) -> None:
    """Print log loss and calibration error of both estimators."""
    warnings.filterwarnings("ignore", message="The `probability` parameter was deprecated")
    click.echo(
        f"{'data set':14} {'':>6} {'log loss':>9} {'sklearn':>8} {'difference':>19} "
        f"{'ECE':>6} {'sklearn':>8} {'seconds':>8} {'sklearn':>8}"
    )
    rows = []
    for name in names:
        row = compare(name, repetitions)
        rows.append(row)
        ours, theirs = row["svmcifar"], row["sklearn"]
        click.echo(
            f"{name:14} {row['n_samples']:>6} {ours['log_loss']:>9.4f} {theirs['log_loss']:>8.4f} "
            f"{row['difference']:>+9.4f} ± {row['standard_error']:.4f} "
            f"{ours['calibration_error']:>6.3f} {theirs['calibration_error']:>8.3f} "
            f"{ours['seconds']:>8.2f} {theirs['seconds']:>8.2f}"
        )
    if json_path:
        json_path.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
