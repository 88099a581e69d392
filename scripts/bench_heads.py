#!/usr/bin/env python3
"""Time a training step of each softmax head from 10^2 to 10^5 classes, against its complexity.

A step is the loss of a batch of features at the head's own cost, and its gradient, which is dense.
Seconds are those of the processor, on one thread: other work on the machine matters less to them.
The classes of the hierarchical softmax have superclasses of the square root of their number.
Complexities are multiplications an example; each head's dashed line ends at its last measurement.

    python scripts/bench_heads.py --json heads.json --figure docs/softmax-heads.png
"""

import json
from datetime import UTC, datetime
from math import isqrt
from pathlib import Path
from statistics import median
from time import process_time

import click
import torch

from svmcifar.cnn.heads import HEADS, make_head
from svmcifar.compute.environment import describe_environment
from svmcifar.plots.figures import new_figure, save_figure

_N_CLASSES = (100, 316, 1_000, 3_162, 10_000, 31_623, 100_000)
_N_FEATURES, _BATCH = 256, 128
_COLOURS = dict(zip(HEADS, ("#0072B2", "#E69F00", "#009E73", "#D55E00"), strict=True))
_BIG_O = {
    "standard": "O(d C)", "gumbel": "O(d C)", "hierarchical": "O(d √C)",
    "adaptive": "O(d C), first classes apart in d/2 and d/4",
}  # fmt: skip


def multiplications(name: str, n_classes: int, d: int) -> float:
    """Return the multiplications of the loss of an example, if classes are equally frequent."""
    if name == "hierarchical":
        return 2 * d * n_classes**0.5
    if name == "adaptive":  # shortlist, then a projection and a cluster by its share of examples
        first, second = 0.2 * n_classes, 0.6 * n_classes
        clusters = ((second - first, d // 2, 0.4), (n_classes - second, d // 4, 0.4))
        return d * (first + 2) + sum(share * (d * k + k * size) for size, k, share in clusters)
    return d * n_classes


def step_seconds(name: str, n_classes: int, repeats: int) -> float:
    """Return the median processor seconds of a training step, the first apart."""
    torch.manual_seed(0)
    size = isqrt(n_classes - 1) + 1
    head = make_head(name, _N_FEATURES, n_classes, [k // size for k in range(n_classes)])
    features = torch.randn(_BATCH, _N_FEATURES, requires_grad=True)
    targets = torch.randint(n_classes, (_BATCH,))
    times = []
    for _ in range(repeats + 1):
        clock = process_time()
        head.zero_grad()
        head.loss(features, targets).backward()
        times.append(process_time() - clock)
    return median(times[1:])


def draw(rows: list[dict], path: Path) -> None:
    """Draw seconds against classes, with the complexity of each head as a dashed line."""
    figure = new_figure("a training step of each softmax head", 7.5, 5.0)
    axes = figure.subplots()
    for name in HEADS:
        own = [row for row in rows if row["head"] == name]
        classes = [row["n_classes"] for row in own]
        axes.plot(
            classes, [1e3 * row["seconds"] for row in own], "o-", color=_COLOURS[name],
            label=f"{name}: {_BIG_O[name]}",
        )  # fmt: skip
        scale = 1e3 * own[-1]["seconds"] / own[-1]["multiplications"]
        line = [scale * row["multiplications"] for row in own]
        axes.plot(classes, line, "--", color=_COLOURS[name], linewidth=1)
    axes.set(
        xscale="log", yscale="log", xlabel="classes", ylabel=f"processor ms, batch of {_BATCH}"
    )
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: f"{value:,g}")
    axes.legend(fontsize=9, frameon=False)
    axes.grid(color="0.9")
    save_figure(figure, path)


@click.command()
@click.option("--repeats", default=7, show_default=True)
@click.option("--json", "out", type=click.Path(path_type=Path), required=True)
@click.option("--figure", type=click.Path(path_type=Path))
def main(repeats: int, out: Path, figure: Path | None) -> None:
    """Time the heads."""
    torch.set_num_threads(1)
    rows = []
    for n_classes in _N_CLASSES:
        for name in HEADS:
            seconds = step_seconds(name, n_classes, repeats)
            cost = multiplications(name, n_classes, _N_FEATURES)
            rows.append(
                {"head": name, "n_classes": n_classes, "seconds": seconds, "multiplications": cost}
            )
            click.echo(f"{name:<13}{n_classes:>7} classes {1e3 * seconds:9.2f} ms")
    about = {
        "date": datetime.now(UTC).date().isoformat(), "repeats": repeats,
        "batch": _BATCH, "features": _N_FEATURES, "torch": str(torch.__version__),
        "host": describe_environment()["host"],
    }  # fmt: skip
    out.write_text(json.dumps(about | {"rows": rows}, indent=1) + "\n")
    if figure:
        draw(rows, figure)


if __name__ == "__main__":
    main()
