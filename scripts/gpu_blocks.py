#!/usr/bin/env python3
"""Time the SMO kernels in blocks of other sizes, on the pairs of a real fit.

A candidate is T threads with N samples each, of which some blocks run on a multiprocessor at a
time.  Pairs are those of fine classes, of superclasses, and of two superclasses against two.  A
solution must be that of the package's own kernel to the bit.  With --once the package's kernels
alone are launched, once each: for a profiler.

    python scripts/gpu_blocks.py --data data/cifar-100-python --out gpu-check
    ncu --clock-control none --kernel-name regex:smo python scripts/gpu_blocks.py --once
"""

import json
import tempfile
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import click
import numpy as np
from gpu_stages import best_of, timed
from gpu_tasks import TOL, C, Data


class Candidate(NamedTuple):
    """A kernel for pairs of up to T N samples."""

    n_threads: int
    n_each: int
    n_blocks: int

    @property
    def name(self) -> str:
        """The name of the kernel."""
        return f"smo_{self.n_threads}x{self.n_each}x{self.n_blocks}"

    @property
    def source(self) -> str:
        """What defines it, behind smo.cu."""
        state = f"InRegisters{self.n_threads}x{self.n_each}x{self.n_blocks}"
        return (
            f"typedef InRegisters<{self.n_threads}, {self.n_each}> {state};\n"
            f"SMO({self.name}, {self.n_threads}, {self.n_blocks}, {state}, float)\n"
        )


# By the labels of pairs; the package's own are 64 x 16, 192 x 27 and 384 x 27.
CANDIDATES = {
    "fine": [(32, 32, 8), (64, 16, 6), (96, 11, 5), (128, 8, 4), (128, 8, 6), (256, 4, 2)],
    "coarse": [(160, 32, 2), (192, 27, 1), (256, 20, 2), (384, 14, 1), (512, 10, 1)],
    "double": [(320, 32, 1), (512, 20, 1)],
}


class _Timer:
    """Stands in for `launch_smo` in one fit, and times every candidate on its pairs."""

    def __init__(self, candidates: list[Candidate], once: bool) -> None:
        self._candidates, self._once = candidates, once
        self.rows: list[dict] = []

    def __call__(self, K: Any, upper: Any, pairs: Any, **settings: Any) -> Any:
        from svmcifar.compute.cuda_source import load_kernel
        from svmcifar.svm.backends import smo_cuda

        settings.pop("progress", None)

        def launch() -> Any:
            return smo_cuda.launch_smo(K, upper, pairs, **settings)

        seconds, own = timed(launch)
        if not self._once:
            seconds = best_of(2, launch)
        self._tell("package's own", seconds, own)
        for candidate in [] if self._once else self._candidates:
            kernel = smo_cuda._Kernel(candidate.name, candidate.n_threads, np.inf)
            with patch.dict(smo_cuda.KERNELS, {np.dtype(np.float32): (kernel,)}):
                _, solved = timed(launch)
                seconds = min(timed(launch)[0] for _ in range(2))
            function = load_kernel(smo_cuda.SOURCE, kernel.name, *smo_cuda.OPTIONS)
            same = [(one.beta == other.beta).all() for one, other in zip(own, solved, strict=True)]
            self._tell(
                candidate.name,
                seconds,
                solved,
                registers=function.num_regs,
                local_bytes=function.local_size_bytes,
                same=bool(all(same)),
            )
        return own

    def _tell(self, name: str, seconds: float, solved: Any, **more: Any) -> None:
        steps = sum(pair.n_iter for pair in solved)
        self.rows.append({"kernel": name, "seconds": seconds, "steps": steps, **more})
        told = "".join(f"  {key.replace('_', ' ')} {value}" for key, value in more.items())
        click.echo(f"  {name:18} {seconds:.4f} s  {steps:,} steps{told}")


def time_kind(kind: str, task: dict, once: bool) -> list[dict]:
    """Time all candidates for pairs of one kind of labels."""
    from svmcifar.svm.backends import cupy_ovo
    from svmcifar.svm.estimator import RBFSVC

    data = Data({**task, "labels": "coarse" if kind == "double" else kind})
    data.features()
    y = data.y // 2 if kind == "double" else data.y
    sizes = np.sort(np.unique(y, return_counts=True)[1])
    largest = int(sizes[-2:].sum())
    candidates = [Candidate(*numbers) for numbers in CANDIDATES[kind]]
    timer = _Timer([c for c in candidates if c.n_threads * c.n_each >= largest], once)
    click.echo(f"{kind}: {len(sizes)} classes, pairs of up to {largest:,} samples")
    with patch.object(cupy_ovo, "launch_smo", timer):
        RBFSVC(C=C, tol=TOL, backend="cupy").fit(data.X, y)
    return timer.rows


@click.command()
@click.option("--data", help="The data set, as for svmcifar itself.")
@click.option("--size", default=50_000, show_default=True, help="Samples.")
@click.option("--once", is_flag=True, help="The package's kernels alone, once each.")
@click.option("--out", type=click.Path(path_type=Path), help="A folder for blocks.json.")
def main(data: str | None, size: int, once: bool, out: Path | None) -> None:
    """Time the SMO kernels in blocks of other sizes."""
    from svmcifar.svm.backends import smo_cuda

    task = {"data": data, "n": size, "n_test": 1}
    with tempfile.TemporaryDirectory() as work:
        if not once:
            source = Path(work) / "smo.cu"
            more = [Candidate(*numbers).source for many in CANDIDATES.values() for numbers in many]
            source.write_text(smo_cuda.SOURCE.read_text() + "".join(more))
            smo_cuda.SOURCE = source
        found = {kind: time_kind(kind, task, once) for kind in CANDIDATES}
    if out:
        out.mkdir(parents=True, exist_ok=True)
        (out / "blocks.json").write_text(json.dumps(found, indent=2) + "\n")
    unlike = [row["kernel"] for rows in found.values() for row in rows if not row.get("same", True)]
    if unlike:
        raise click.ClickException(f"not the solution of the package's kernel: {unlike}")


if __name__ == "__main__":
    main()
