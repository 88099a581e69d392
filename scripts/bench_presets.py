#!/usr/bin/env python3
"""Train and score the presets: accuracy, time and memory of each, by the command line alone.

Each command is a process of its own, whose peak memory the system tells.  The test images are
read once, by the evaluation of the model that was trained.  Models of other labels find the
features of the first in a cache.

    python scripts/bench_presets.py --preset patches-best --seed 0 --seed 1 --seed 2 --json out.json
"""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import click

from svmcifar.io.files import atomic_path, check_output


def run(folder: Path, *arguments: str | Path) -> dict[str, float]:
    """Run a command of svmcifar; give its seconds and its peak memory in bytes."""
    clock = perf_counter()
    command = [sys.executable, "-m", "svmcifar", *map(str, arguments)]
    environment = os.environ | {"SVMCIFAR_CACHE": str(folder / "cache")}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise click.ClickException(f"{' '.join(command)} ended with {process.returncode}")
    unit = 1 if sys.platform == "darwin" else 1024
    return {"wall_s": perf_counter() - clock, "peak_bytes": usage.ru_maxrss * unit}


def measure(preset: str, labels: str, seed: int, limit: int | None, folder: Path) -> dict:
    """Train and score one model; features stay in the folder."""
    model, scores, manifest = folder / "model.skops", folder / "scores.json", folder / "info.json"
    settings = ["--preset", preset, "--labels", labels, "--seed", str(seed)]
    if limit is not None:
        settings += ["--limit", str(limit)]
    train = run(folder, "train", *settings, "--out", model, "--overwrite")
    evaluate = run(folder, "evaluate", model, "--json", scores, "--overwrite")
    with manifest.open("wb") as file:
        subprocess.run(
            [sys.executable, "-m", "svmcifar", "info", model, "--json"], stdout=file, check=True
        )
    made, scored = json.loads(manifest.read_text()), json.loads(scores.read_text())
    return {
        "preset": preset,
        "labels": labels,
        "seed": seed,
        "limit": limit,
        "train": train,
        "evaluate": evaluate,
        "times": made["times"],
        "fit": {key: made["fit"][key] for key in ("n_samples", "n_features", "n_support", "gamma")},
        "host": made["host"],
        "versions": made["versions"],
        "created": made["created"],
        "scores": _scalars(scored["scores"]),
        "superclass_scores": scored["superclass_scores"] and _scalars(scored["superclass_scores"]),
        "predict_s": scored["predict_s"],
        "model_bytes": model.stat().st_size,
    }


def _scalars(scores: dict) -> dict:
    """Leave the tables out."""
    return {key: value for key, value in scores.items() if not isinstance(value, list | dict)} | {
        "accuracy_interval": scores.get("accuracy_interval")
    }


@click.command()
@click.option("--preset", "presets", multiple=True, required=True)
@click.option("--labels", multiple=True, default=["coarse", "fine"], show_default=True)
@click.option("--seed", "seeds", multiple=True, type=int, default=[0], show_default=True)
@click.option("--limit", "limits", multiple=True, type=int, help="Training images.  [default: all]")
@click.option("--json", "out", type=click.Path(path_type=Path), required=True)
def main(
    presets: tuple[str, ...],
    labels: tuple[str, ...],
    seeds: tuple[int, ...],
    limits: tuple[int, ...],
    out: Path,
) -> None:
    """Train every preset with every seed for every kind of labels, and add it to a JSON file."""
    check_output(out, overwrite=True)
    runs = json.loads(out.read_text())["runs"] if out.exists() else []
    for preset, seed, limit in product(presets, seeds, limits or (None,)):
        with TemporaryDirectory() as folder:
            for kind in labels:
                runs.append(measure(preset, kind, seed, limit, Path(folder)))
                written = {"date": datetime.now(UTC).isoformat(), "runs": runs}
                with atomic_path(out) as temporary:
                    temporary.write_text(json.dumps(written, indent=1) + "\n")
                print(line(runs[-1]), flush=True)


def line(result: dict) -> str:
    """Sum one model up."""
    scores = result["scores"]
    return (
        f"{result['preset']:14} {result['labels']:7} seed {result['seed']} "
        f"{result['fit']['n_samples']} x {result['fit']['n_features']} "
        f"accuracy {scores['accuracy']:.2%}  features {result['times']['features_s']:.0f} s  "
        f"fit {result['times']['fit_s']:.0f} s  train {result['train']['wall_s']:.0f} s  "
        f"evaluate {result['evaluate']['wall_s']:.0f} s  "
        f"peak {max(result[k]['peak_bytes'] for k in ('train', 'evaluate')) / 1e9:.1f} GB"
    )


if __name__ == "__main__":
    main()
