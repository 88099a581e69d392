#!/usr/bin/env python3
"""Fit under memory limits, and tell the most that a fit held beside what there was before it.

For each problem: a limit of 1 byte is refused and names the least; that least does, and so do
limits up to what is taken without one.  Problems run in processes of their own, which have first
fitted a small one, so that code is loaded and compiled.  Memory is the peak of what the process
holds (VmHWM) less what it held when the fit began (Linux).

Beside the limit there is the model itself: its coefficients twice, and 200 bytes a pair.  The
script exits with 1 if a fit held more than these and 2 MiB.

    python scripts/memory_limits.py --out docs/benchmarks/memory-limits.json
"""

import ctypes
import json
import os
import re
import subprocess
import sys
import warnings
from datetime import UTC, datetime
from pathlib import Path

import click

# Samples, features, classes.
_SIZES = (
    (1500, 100, 60), (3000, 1000, 5), (2000, 20, 2), (5000, 30, 3), (2000, 50, 200),
    (2500, 400, 250),
)  # fmt: skip
# With the first float32 does; the second needs float64 values in the end, the third at once.
_KINDS = {"easy": (1.0, 1.0), "large C": (1e4, 1.0), "narrow": (1.0, 1e4)}
# Of limits between the least and what is taken without one, on a logarithmic scale.
_SHARES = (0.0, 0.3, 0.7, 1.0)
_JOBS = 2
_BESIDE = 2 * 2**20


def status(name: str) -> int:
    """Return a size of this process in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def measure(n: int, d: int, k: int, dtype: str, kind: str) -> list[dict]:
    """Fit a problem under limits from the least on; return a row of figures for each."""
    import numpy as np

    from svmcifar import RBFSVC
    from svmcifar.compute.memory import parse_bytes
    from svmcifar.errors import MemoryLimitError

    C, narrower = _KINDS[kind]

    def fit(n: int, d: int, k: int, limit: int | str | None) -> tuple[RBFSVC, int]:
        rng = np.random.default_rng(0)
        X, y = rng.standard_normal((n, d), dtype=np.float32).astype(dtype), np.arange(n) % k
        model = RBFSVC(C=C, gamma=narrower / d, max_iter=2000, n_jobs=_JOBS, memory_limit=limit)
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
        before = status("VmRSS")
        model.fit(X, y)
        return model, status("VmHWM") - before

    def least(n: int, d: int, k: int) -> str:
        try:
            fit(n, d, k, 1)
        except MemoryLimitError as error:
            return re.search("at least (.*?) for", str(error))[1]  # type: ignore[index]
        raise AssertionError("a limit of 1 byte was taken")

    warnings.simplefilter("ignore")
    for limit in (least(200, 4, 2), None):
        fit(200, 4, 2, limit)
    named = least(n, d, k)
    low = parse_bytes(named)
    model, _ = fit(n, d, k, None)
    high = parse_bytes(model.memory_plan_.rpartition(", ")[2].removesuffix(" at most"))
    rows = []
    for share in _SHARES:
        limit = int(low * max(high / low, 1.0) ** share)
        model, held = fit(n, d, k, limit)
        rows.append(
            {
                "samples": n, "features": d, "classes": k, "dtype": dtype, "kind": kind,
                "limit": limit, "held": held, "over": held - limit, "plan": model.memory_plan_,
                "model": 2 * 8 * n * (k - 1) + 200 * (k * (k - 1) // 2),
            }
        )  # fmt: skip
    return rows


@click.command()
@click.option("--out", type=click.Path(path_type=Path), help="JSON file to write.")
@click.option("--child", hidden=True)
def main(out: Path | None, child: str | None) -> None:
    """Sweep sizes, dtypes, kinds of problems and limits."""
    if child:
        print(json.dumps(measure(*json.loads(child))))
        return
    rows = []
    for problem in (
        (*s, t, kind) for s in _SIZES for t in ("float32", "float64") for kind in _KINDS
    ):
        command = [sys.executable, __file__, "--child", json.dumps(problem)]
        # So that what is freed goes back to the system at once.
        surroundings = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"}
        done = subprocess.run(
            command, stdout=subprocess.PIPE, text=True, check=True, env=surroundings
        )
        for row in json.loads(done.stdout):
            rows.append(row)
            click.echo(
                f"{problem}: limit {row['limit'] / 2**20:.2f} MiB, held {row['held'] / 2**20:.2f}, "
                f"over by {row['over'] / 2**20:.2f}, model {row['model'] / 2**20:.2f}; "
                f"{row['plan']}"
            )
    worst = max(row["over"] - row["model"] for row in rows)
    click.echo(f"{len(rows)} fits, at most {worst / 2**20:.2f} MiB above the limit and the model")
    if out:
        record = {"measured": datetime.now(UTC).strftime("%Y-%m-%d"), "fits": rows}
        out.write_text(json.dumps(record, indent=1) + "\n")
    sys.exit(worst > _BESIDE)


if __name__ == "__main__":
    main()
