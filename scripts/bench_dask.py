#!/usr/bin/env python3
"""Hold a fit on Dask's workers against a local fit on as many cores, in one run.

Samples are the features of the preset patches-small of training images, each with its mirror
image.  Fits take turns: one local, with as many threads as the cluster has workers of one thread,
and one on the cluster, whose folder is empty each time.  The overhead is the ratio of the medians,
of seconds and of processor time (client, scheduler and workers), which other work disturbs less.
Bytes are what passed the loopback interface meanwhile, so nothing else should use it.

Then workers are killed at random moments, one a fit, and in a last fit the scheduler, after which
another one goes on from what is there; all models must have the hash of the local one.

    python scripts/bench_dask.py --images 20000 --samples samples.npz --json dask.json
"""

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from threading import Event, Thread, Timer
from time import perf_counter, process_time
from typing import Any

import click

# Workers that are asked a hundred times a second what they are doing lose a tenth of their time.
QUIET = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.system-monitor.interval": "5s",
}
# Parts after which the scheduler is killed.
N_KEPT = 3
LOOPBACK = Path("/sys/class/net/lo/statistics/tx_bytes")
# The settings of the preset patches-small.
PRESET: dict[str, Any] = {
    "kinds": ["patches"],
    "parameters": {"patches": {"n_filters": 400}},
    "n_components": 512,
    "whiten": 0.5,
    "ridge_scores": 0.8,
    "ridge_components": 2048,
    "augment": "flip",
}


def make_samples(data: str | None, n_images: int, seed: int = 0) -> dict[str, Any]:
    """Compute features of training images; return them with both kinds of labels."""
    import numpy as np

    from svmcifar.data.registry import open_dataset
    from svmcifar.data.sampling import draw_rows
    from svmcifar.features.fitting import fit_transform_features
    from svmcifar.features.pipeline import count_odd, make_feature_pipeline
    from svmcifar.features.settings import FeatureSettings
    from svmcifar.svm.both_images import with_mirror_rows

    dataset = open_dataset(data)
    train = dataset.read_split("train")
    if n_images < len(train.images):
        train = train.take(draw_rows(train.classes, n_images, seed))
    pipeline = make_feature_pipeline(FeatureSettings(**PRESET), seed=seed)
    X = fit_transform_features(pipeline, train.images, train.classes, augment="flip", seed=seed)
    labels = {kind: np.repeat(y, 2) for kind, y in train.labels.items()}
    return {"X": with_mirror_rows(X, count_odd(pipeline)), **labels}


def fit(backend: str, X: Any, y: Any, n_workers: int, C: float) -> tuple[float, str]:
    """Fit, and return the seconds and the content hash."""
    from svmcifar import RBFSVC
    from svmcifar.io.content_hash import content_hash

    clock = perf_counter()
    model = RBFSVC(backend=backend, C=C, n_jobs=n_workers).fit(X, y)
    seconds = perf_counter() - clock
    return seconds, content_hash(model)


def loopback_bytes() -> int:
    """Return the bytes that have passed the loopback interface; 0 where it does not tell."""
    return int(LOOPBACK.read_text()) if LOOPBACK.exists() else 0


def folder_bytes(folder: Path) -> dict[str, int]:
    """Return the bytes of samples and of solutions in a folder of parts."""
    sizes = {path: path.stat().st_size for path in folder.glob("*/*")}
    solutions = sum(size for path, size in sizes.items() if path.suffix == ".npz")
    return {"samples": sum(sizes.values()) - solutions, "solutions": solutions}


@contextmanager
def fresh_folder() -> Iterator[Path]:
    """Let fits keep their parts in an empty folder."""
    import dask

    with TemporaryDirectory() as folder, dask.config.set({"svmcifar.folder": folder}):
        yield Path(folder)


@contextmanager
def local_cluster(n_workers: int) -> Iterator[Any]:
    """Start workers of one thread each, which a nanny starts again, and let them import all."""
    import dask
    from distributed import Client, LocalCluster

    with (
        dask.config.set(QUIET),
        LocalCluster(n_workers=n_workers, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        client.run(warm_up)
        yield client


def warm_up() -> None:
    """Fit a little, so that code is loaded and compiled."""
    import numpy as np

    rng = np.random.default_rng(0)
    y = np.arange(900) % 3
    fit("numba", rng.normal(size=(900, 8)).astype(np.float32), y, 1, 1.0)


@contextmanager
def scheduler_apart(folder: Path, n_workers: int) -> Iterator[subprocess.Popen]:
    """Start a scheduler and workers as processes; yield the scheduler's, with a current client."""
    import dask
    from distributed import Client

    file = folder / "scheduler.json"
    module = "from distributed.cli.dask_{0} import main; main()"
    options = {
        "scheduler": ["--port", "0"],
        "worker": ["--nworkers", str(n_workers), "--nthreads", "1"],
    }
    started = [
        subprocess.Popen(
            [sys.executable, "-c", module.format(name), "--scheduler-file", str(file),
             "--dashboard-address", ":0", *more],
            stderr=subprocess.DEVNULL,
        )
        for name, more in options.items()
    ]  # fmt: skip
    try:
        with (
            dask.config.set({"distributed.comm.timeouts.connect": "2s"}),
            Client(scheduler_file=str(file), timeout="60s") as client,
        ):
            client.wait_for_workers(n_workers, timeout=60)
            client.run(warm_up)
            yield started[0]
    finally:
        for process in started:
            process.terminate()
            process.wait()


def compare(X: Any, y: Any, n_workers: int, C: float, rounds: int) -> dict[str, Any]:
    """Time local fits and fits on a cluster in turn."""
    local, on_dask, moved, kept, hashes = [], [], [], {}, set()
    local_cpu, dask_cpu = [], []
    with local_cluster(n_workers) as client:
        warm_up()
        for number in range(rounds):
            own = process_time()
            seconds, expected = fit("numba", X, y, n_workers, C)
            local.append(seconds)
            local_cpu.append(process_time() - own)
            with fresh_folder() as folder:
                moved.append(-loopback_bytes())
                dask_cpu.append(-process_time() - sum(client.run(process_time).values()))
                seconds, found = fit("dask", X, y, n_workers, C)
                dask_cpu[-1] += process_time() + sum(client.run(process_time).values())
                moved[-1] += loopback_bytes()
                kept = folder_bytes(folder)
            on_dask.append(seconds)
            hashes |= {expected, found}
            click.echo(
                f"round {number + 1}: local {local[-1]:.2f} s (processors {local_cpu[-1]:.2f} s), "
                f"dask {seconds:.2f} s ({dask_cpu[-1]:.2f} s)"
            )
    return {
        "local_s": local, "dask_s": on_dask, "overhead": median(on_dask) / median(local) - 1,
        "local_cpu_s": local_cpu, "dask_cpu_s": dask_cpu,
        "cpu_overhead": median(dask_cpu) / median(local_cpu) - 1,
        "loopback_bytes": moved, "file_bytes": kept, "hash": expected, "same": len(hashes) == 1,
    }  # fmt: skip


def kill_workers(
    X: Any, y: Any, n_workers: int, C: float, n: int, within: float, expected: str
) -> list[dict]:
    """Fit while one worker is killed at a random moment, n times."""
    rng, runs = random.Random(0), []
    for number in range(n):
        with local_cluster(n_workers) as client, fresh_folder():
            moment = rng.uniform(0.0, within)
            victim = rng.choice(sorted(client.run(os.getpid).values()))
            timer = Timer(moment, os.kill, (victim, signal.SIGKILL))
            timer.start()
            seconds, found = fit("dask", X, y, n_workers, C)
            timer.cancel()
        runs.append({"killed_at_s": moment, "fit_s": seconds, "same": found == expected})
        click.echo(
            f"worker killed after {moment:.2f} s, {number + 1} of {n}: {seconds:.2f} s, "
            f"{'same hash' if found == expected else 'ANOTHER HASH'}"
        )
    return runs


def kill_scheduler(X: Any, y: Any, n_workers: int, C: float, expected: str) -> dict[str, Any]:
    """Kill the scheduler once some parts are kept, and go on with another."""
    from svmcifar.errors import BackendUnavailableError

    with fresh_folder() as folder:
        with (
            TemporaryDirectory() as place,
            scheduler_apart(Path(place), n_workers) as scheduler,
        ):
            clock, over = perf_counter(), Event()

            def kill() -> None:
                while len(list(folder.glob("*/*.npz"))) < N_KEPT:
                    if over.wait(0.02):
                        return
                scheduler.kill()

            watching = Thread(target=kill)
            watching.start()
            try:
                fit("dask", X, y, n_workers, C)
            except BackendUnavailableError as error:
                click.echo(f"scheduler killed after {perf_counter() - clock:.2f} s: {error}")
            finally:
                over.set()
                watching.join()
        n_kept = len(list(folder.glob("*/*.npz")))
        with local_cluster(n_workers):
            seconds, found = fit("dask", X, y, n_workers, C)
        n_parts = len(list(folder.glob("*/*.npz")))
    same = found == expected
    click.echo(
        f"gone on from {n_kept} of {n_parts} parts: {seconds:.2f} s, "
        f"{'same hash' if same else 'ANOTHER HASH'}"
    )
    return {"parts_kept": n_kept, "parts": n_parts, "fit_s": seconds, "same": same}


@click.command()
@click.option("--data", help="The data set, as for svmcifar itself.")
@click.option("--images", default=20_000, show_default=True, help="Training images.")
@click.option("--labels", default="fine", show_default=True)
@click.option("--samples", type=click.Path(path_type=Path), help="Keep the features here (.npz).")
@click.option("--workers", default=2, show_default=True)
@click.option("--rounds", default=3, show_default=True)
@click.option("--kills", default=10, show_default=True, help="Of workers; 0 for none at all.")
@click.option("--C", "C", default=10.0, show_default=True)
@click.option("--json", "out", type=click.Path(path_type=Path))
def main(
    data: str | None,
    images: int,
    labels: str,
    samples: Path | None,
    workers: int,
    rounds: int,
    kills: int,
    C: float,
    out: Path | None,
) -> None:
    """Time fits on Dask's workers, and kill them."""
    import dask
    import numpy as np

    from svmcifar.compute.environment import describe_environment

    # Before distributed is imported; of what is killed on purpose it would tell at length.
    quiet = ("distributed", "distributed.client", "distributed.nanny", "distributed.scheduler")
    dask.config.set(logging=dict.fromkeys(quiet, "critical"))
    if samples and samples.exists():
        with np.load(samples) as content:
            X, y = content["X"], content[labels]
    else:
        made = make_samples(data, images)
        X, y = made["X"], made[labels]
        if samples:
            np.savez(samples, **made)
    click.echo(f"{X.shape[0]} x {X.shape[1]} samples, {len(np.unique(y))} classes")
    result: dict[str, Any] = {
        "date": datetime.now(UTC).isoformat(), **describe_environment(), "shape": X.shape,
        "labels": labels, "workers": workers, "load": os.getloadavg(),
    }  # fmt: skip
    result |= compare(X, y, workers, C, rounds)
    expected, within = result["hash"], median(result["dask_s"])
    click.echo(
        f"local {median(result['local_s']):.2f} s, dask {within:.2f} s, overhead "
        f"{result['overhead']:+.1%} ({result['cpu_overhead']:+.1%} of processor time)"
    )
    megabytes = {name: size / 1e6 for name, size in result["file_bytes"].items()}
    click.echo(
        f"{median(result['loopback_bytes']) / 1e6:.1f} MB passed loopback, samples "
        f"{megabytes['samples']:.1f} MB, solutions {megabytes['solutions']:.1f} MB; "
        f"{'same hash' if result['same'] else 'ANOTHER HASH'}"
    )
    result["kills"] = kill_workers(X, y, workers, C, kills, within, expected)
    if kills:
        result["scheduler"] = kill_scheduler(X, y, workers, C, expected)
    if out:
        out.write_text(json.dumps(result, indent=1) + "\n")
    runs = [result, *result["kills"], result.get("scheduler", result)]
    if not all(run["same"] for run in runs):
        raise click.ClickException("a model has another hash")


if __name__ == "__main__":
    main()
