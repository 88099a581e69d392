#!/usr/bin/env python3
"""Fit under memory limits, and tell the most that a fit held beside what there was before it.

For each size of a problem: a limit of 1 byte is refused and names the least; that least does, and
so do limits up to what is taken without one.  Each fit runs in a process of its own, which has
first fitted a small problem, so that code is loaded and compiled.  Memory is the peak of what the
process holds (VmHWM) less what it held when the fit began.

    python scripts/memory_limits.py --out docs/benchmarks/memory-limits.json
"""

import json
import re
import subprocess
import sys
import warnings
from datetime import UTC, datetime
from pathlib import Path

import click

# Samples, features, classes.
_SIZES = (
    (1000, 20, 2), (4000, 50, 2), (4000, 3000, 10), (6000, 400, 20), (3000, 100, 300),
    (12_000, 30, 3),
)  # fmt: skip
# Of limits between the least and what is taken without one, on a logarithmic scale.
_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


def status(name: str) -> int:
    """Return a size of this process in bytes (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def problem(n: int, d: int, k: int, dtype: str, C: float):  # type: ignore[no-untyped-def]
    """Draw samples, labels and an estimator; with C of 1e6 most pairs need float64 values."""
    import numpy as np

    from svmcifar import RBFSVC

    rng = np.random.default_rng(0)
    y = rng.permutation(np.arange(n) % k)
    X = rng.standard_normal((n, d), dtype=np.float32) + 4 * (rng.random((k, d)) < 0.1)[y]
    return X.astype(dtype), y, RBFSVC(C=C, max_iter=20_000)


def fit(n: int, d: int, k: int, dtype: str, C: float, limit: int | None, jobs: int) -> dict:
    """Fit in this process; return the plan and the bytes, or what refuses it."""
    from svmcifar.errors import MemoryLimitError

    warnings.simplefilter("ignore")
    for small in (1, None):
        X, y, model = problem(200, 4, 2, dtype, C)
        try:
            model.set_params(memory_limit=small, n_jobs=jobs).fit(X, y)
        except MemoryLimitError as error:
            least = re.search("at least (.*?) for", str(error))[1]  # type: ignore[index]
            model.set_params(memory_limit=least).fit(X, y)
    X, y, model = problem(n, d, k, dtype, C)
    model.set_params(memory_limit=limit, n_jobs=jobs)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = status("VmRSS")
    try:
        model.fit(X, y)
    except MemoryLimitError as error:
        return {"refused": str(error), "held": status("VmHWM") - before}
    return {
        "plan": model.memory_plan_,
        "held": status("VmHWM") - before,
        "refined": bool(model._support_sq_norms.dtype == "float32" and C > 1e3),
        "unsolved": int((model.gap_ > 1.1 * model.tol).sum()),
    }


def in_child(*arguments: object) -> dict:
    """Fit in a process of its own."""
    command = [sys.executable, __file__, "--child", json.dumps(arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def sweep(size: tuple[int, int, int], dtype: str, C: float, jobs: int) -> list[dict]:
    """Fit a problem under limits from the least on."""
    from svmcifar.compute.memory import format_bytes, parse_bytes

    refused = in_child(*size, dtype, C, 1, jobs)
    least = parse_bytes(re.search("at least (.*?) for", refused["refused"])[1])  # type: ignore[index]
    free = in_child(*size, dtype, C, None, jobs)
    most = max(parse_bytes(free["plan"].rpartition(", ")[2].removesuffix(" at most")), least)
    rows = []
    for limit in sorted({int(least * (most / least) ** share) for share in _SHARES}):
        row = {"size": size, "dtype": dtype, "C": C, "jobs": jobs, "limit": limit}
        row |= in_child(*size, dtype, C, limit, jobs)
        row["over"] = row["held"] - limit
        rows.append(row)
        click.echo(
            f"{size} {dtype} C={C:g} jobs={jobs}: limit {format_bytes(limit)}, held "
            f"{format_bytes(row['held'])}, over by {row['over'] / 2**20:.1f} MiB; "
            f"{row.get('plan', row.get('refused'))}"
        )
    return rows


@click.command()
@click.option("--out", type=click.Path(path_type=Path), help="JSON file to write.")
@click.option("--first", type=int, default=len(_SIZES), help="How many of the sizes.")
@click.option("--child", hidden=True)
def main(out: Path | None, first: int, child: str | None) -> None:
    """Sweep sizes, dtypes and limits."""
    if child:
        print(json.dumps(fit(*json.loads(child))))
        return
    rows = [
        row
        for size in _SIZES[:first]
        for dtype in ("float32", "float64")
        for C in (1.0, 1e6)
        for row in sweep(size, dtype, C, 2)
    ]
    worst = max(rows, key=lambda row: row["over"])
    click.echo(f"{len(rows)} fits, at most {worst['over'] / 2**20:.1f} MiB over the limit")
    if out:
        record = {"measured": datetime.now(UTC).strftime("%Y-%m-%d"), "fits": rows}
        out.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
