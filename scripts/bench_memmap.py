#!/usr/bin/env python3
"""Fit samples that lie in a file, and tell the time and the peak of the memory.

The file, of float32 rows, is made by batches unless it is there: a normal distribution a class in
32 dimensions, mixed into all features, and some noise; ordered by class or, with --shuffled, in a
random order.  Memory is what the process holds by itself
(anonymous pages) and what it maps of files, which the system may take back; both are read five
times a second.

    python scripts/bench_memmap.py --samples 500000 --features 512 --classes 100 --file X.npy
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread
from time import perf_counter
from typing import Any

import click

_BATCH = 10_000
# Dimensions in which classes differ; standard deviation there of their means, where that of a
# class's samples is 1, and of the noise in each feature.
_DIMENSIONS, _DISTANCE, _NOISE = 32, 0.5, 0.2


def make_file(path: Path, n: int, d: int, n_classes: int, shuffled: bool) -> None:
    """Write the samples, and their labels beside them."""
    import numpy as np

    rng = np.random.default_rng(0)
    means = _DISTANCE * rng.normal(size=(n_classes, _DIMENSIONS))
    mixed = rng.normal(size=(_DIMENSIONS, d)) / _DIMENSIONS**0.5
    y = np.arange(n) * n_classes // n
    if shuffled:
        rng.shuffle(y)
    X = np.lib.format.open_memmap(path, "w+", np.float32, (n, d))
    for start in range(0, n, _BATCH):
        part = y[start : start + _BATCH]
        latent = means[part] + rng.normal(size=(len(part), _DIMENSIONS))
        X[start : start + _BATCH] = latent @ mixed + _NOISE * rng.normal(size=(len(part), d))
    X.flush()
    np.save(path.with_suffix(".y.npy"), y)


def memory() -> tuple[int, int]:
    """Return the bytes that this process holds, by itself and of files (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    pages = dict(line.split(":", 1) for line in lines if line.startswith("Rss"))
    return tuple(int(pages[name].split()[0]) * 1024 for name in ("RssAnon", "RssFile"))  # type: ignore[return-value]


@contextmanager
def peaks() -> Iterator[dict[str, int]]:
    """Watch the memory while a block runs."""
    result, over = {"own": 0, "with_files": 0}, Event()

    def watch() -> None:
        while not over.wait(0.2):
            own, of_files = memory()
            result["own"] = max(result["own"], own)
            result["with_files"] = max(result["with_files"], own + of_files)

    thread = Thread(target=watch)
    thread.start()
    try:
        yield result
    finally:
        over.set()
        thread.join()


@click.command()
@click.option("--samples", "n", default=500_000, show_default=True)
@click.option("--features", "d", default=512, show_default=True)
@click.option("--classes", default=100, show_default=True)
@click.option("--shuffled", is_flag=True, help="Do not order the samples by class.")
@click.option("--file", "path", type=click.Path(path_type=Path), required=True)
@click.option("--memory-limit", help="As for svmcifar itself.")
@click.option("--jobs", type=int)
@click.option("--in-memory", is_flag=True, help="Read the file into memory first, to compare.")
@click.option("--json", "out", type=click.Path(path_type=Path))
def main(
    n: int,
    d: int,
    classes: int,
    shuffled: bool,
    path: Path,
    memory_limit: str | None,
    jobs: int | None,
    in_memory: bool,
    out: Path | None,
) -> None:
    """Fit a memory-mapped array."""
    import numpy as np

    from svmcifar import RBFSVC
    from svmcifar.compute.environment import describe_environment
    from svmcifar.compute.memory import format_bytes
    from svmcifar.io.content_hash import content_hash

    if not path.exists():
        make_file(path, n, d, classes, shuffled)
    y = np.load(path.with_suffix(".y.npy"))
    before, _ = memory()
    clock = perf_counter()
    with peaks() as peak:
        X = np.load(path, mmap_mode=None if in_memory else "r")
        model = RBFSVC(n_jobs=jobs, memory_limit=memory_limit).fit(X, y)
    seconds = perf_counter() - clock
    result: dict[str, Any] = {
        "date": datetime.now(UTC).isoformat(), **describe_environment(), "shape": X.shape,
        "classes": classes, "shuffled": shuffled, "in_memory": in_memory, "fit_s": seconds,
        "own_before_bytes": before, "peak_own_bytes": peak["own"],
        "peak_with_files_bytes": peak["with_files"], "file_bytes": path.stat().st_size,
        "memory_plan": model.memory_plan_, "n_support": int(model.n_support_.sum()),
        "n_iter": int(model.n_iter_.sum()), "fit_status": model.fit_status_,
        "hash": content_hash(model),
    }  # fmt: skip
    click.echo(
        f"{X.shape[0]} x {X.shape[1]} samples of {classes} classes "
        f"({format_bytes(path.stat().st_size)}): {seconds:.1f} s, peak {format_bytes(peak['own'])} "
        f"without pages of files, {format_bytes(peak['with_files'])} with them "
        f"({format_bytes(before)} before); {result['n_support']} support vectors, "
        f"status {model.fit_status_}"
    )
    click.echo(f"plan {model.memory_plan_}; hash {result['hash']}")
    if out:
        out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
