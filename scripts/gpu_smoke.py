#!/usr/bin/env python3
"""Try every CUDA kernel on a small problem: whether it works at all, in some seconds.

Each SMO kernel solves all pairs of three classes, cold (compiled and loaded) and warm.  Objectives
are held against LIBSVM's on the same kernel values, gaps are computed anew in float64.  Then a fit
with the backend 'cupy' and its predictions are held against scikit-learn's SVC.  Registers and
local memory of a thread are told; local memory is slow, and means that registers were spilled.

    python scripts/gpu_smoke.py
    compute-sanitizer --tool racecheck --error-exitcode 9 python scripts/gpu_smoke.py --steps 30
"""

from itertools import combinations
from typing import Any, NamedTuple
from unittest.mock import patch

import click
import numpy as np
from gpu_stages import timed

C, TOL = 1.0, 1e-5
# Of objectives, relative, and of decision values; both sides stop within TOL of the optimum.
_OBJECTIVE_OFF, _DECISIONS_OFF = 1e-5, 1e-3
_N_FEATURES, _GAMMA = 5, 0.2


class Problem(NamedTuple):
    """Kernel values of samples sorted by class, and what LIBSVM makes of them."""

    kernel: np.ndarray
    diagonal: np.ndarray | None  # None for ones
    starts: np.ndarray
    objectives: list[float]  # of each pair

    def pairs(self) -> list[tuple[int, int]]:
        """Return the pairs of classes."""
        return list(combinations(range(len(self.starts) - 1), 2))

    def rows(self, pair: tuple[int, int]) -> np.ndarray:
        """Return the samples of a pair."""
        return np.concatenate([np.arange(self.starts[c], self.starts[c + 1]) for c in pair])

    def labels(self, pair: tuple[int, int]) -> np.ndarray:
        """Return 1 for samples of the first class and -1 for those of the second."""
        return np.where(self.rows(pair) < self.starts[pair[0] + 1], 1.0, -1.0)

    def objective(self, pair: tuple[int, int], beta: np.ndarray) -> float:
        """Compute the dual objective that is minimised."""
        K = self._values(pair)
        return float(0.5 * beta @ K @ beta - np.abs(beta).sum())

    def gap(self, pair: tuple[int, int], beta: np.ndarray) -> float:
        """Compute how far a solution is from the optimum, in float64."""
        y = self.labels(pair)
        v = y - self._values(pair) @ beta
        may_rise, may_fall = beta < np.where(y > 0, C, 0.0), beta > np.where(y > 0, 0.0, -C)
        return float(v[may_rise].max() - v[may_fall].min())

    def _values(self, pair: tuple[int, int]) -> np.ndarray:
        rows = self.rows(pair)
        return np.float64(self.kernel[np.ix_(rows, rows)])


def draw(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw three classes that overlap, of n samples and fewer: samples, labels, starts."""
    sizes = [n, n - n // 6, n - n // 3]
    y = np.repeat(np.arange(3), sizes)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3, _N_FEATURES))[y] + rng.normal(size=(len(y), _N_FEATURES))
    return X.astype(np.float32), y, np.concatenate([[0], np.cumsum(sizes)])


def make_problem(X: np.ndarray, starts: np.ndarray, dtype: np.dtype) -> Problem:
    """Compute RBF values in float32, or linear ones in float64, which have a diagonal."""
    from sklearn.svm import SVC

    wide = X.astype(np.float64)
    products = wide @ wide.T
    norms = np.diag(products).copy()
    if dtype == np.float64:
        problem = Problem(products, norms, starts, [])
    else:
        distances = np.maximum(norms[:, None] + norms - 2.0 * products, 0.0)
        problem = Problem(np.exp(-_GAMMA * distances).astype(dtype), None, starts, [])
    for pair in problem.pairs():
        rows = problem.rows(pair)
        K = np.float64(problem.kernel[np.ix_(rows, rows)])
        svc = SVC(C=C, kernel="precomputed", tol=TOL).fit(K, problem.labels(pair))
        beta = np.zeros(len(rows))
        beta[svc.support_] = svc.dual_coef_[0]
        problem.objectives.append(problem.objective(pair, beta))
    return problem


def try_kernel(problem: Problem, kernel: Any, max_iter: int) -> list[str]:
    """Solve a problem by one kernel, and say how it went; return what is wrong."""
    import cupy

    from svmcifar.compute.cuda_source import load_kernel
    from svmcifar.svm.backends import smo_cuda

    sizes = np.diff(problem.starts)
    pairs = np.array(problem.pairs())
    tables = smo_cuda.PairTables(sizes[pairs], problem.starts[pairs])
    K, upper = cupy.asarray(problem.kernel), np.full(len(problem.kernel), C)
    settings = {"tol": TOL, "max_iter": max_iter, "diagonal": problem.diagonal}

    def launch() -> list[Any]:
        return smo_cuda.launch_smo(K, upper, tables, **settings)

    with patch.dict(smo_cuda.KERNELS, {problem.kernel.dtype: (kernel,)}):
        cold_s, solved = timed(launch)
        warm_s, again = timed(launch)
    wrong = []
    if any((one.beta != other.beta).any() for one, other in zip(solved, again, strict=True)):
        wrong.append(f"{kernel.name}: must give the same twice, got another solution")
    off = gap = 0.0
    if max_iter < 0:
        for pair, ours, theirs in zip(problem.pairs(), solved, problem.objectives, strict=True):
            off = max(off, abs(problem.objective(pair, ours.beta) / theirs - 1.0))
            gap = max(gap, problem.gap(pair, ours.beta))
        if not off <= _OBJECTIVE_OFF:
            wrong.append(f"{kernel.name}: objectives must be LIBSVM's, got them off by {off:.1e}")
        if not gap <= 1.01 * TOL:
            wrong.append(f"{kernel.name}: gaps must be {TOL:g} at most, got {gap:.1e}")
    function = load_kernel(smo_cuda.SOURCE, kernel.name, *smo_cuda.OPTIONS)
    click.echo(
        f"{kernel.name:15} {kernel.n_threads:4} threads {function.num_regs:4} registers "
        f"{function.local_size_bytes:4} local bytes  cold {cold_s:.3f} s  warm {warm_s:.5f} s  "
        f"steps {sum(pair.n_iter for pair in solved)}  objective off {off:.1e}  gap {gap:.1e}"
    )
    return wrong


def try_fit(X: np.ndarray, y: np.ndarray) -> list[str]:
    """Fit and predict with arrays on the GPU, and say how it went; return what is wrong."""
    from sklearn.svm import SVC

    from svmcifar.compute.arrays import to_device
    from svmcifar.svm.estimator import RBFSVC

    settings = {"C": C, "gamma": _GAMMA, "tol": TOL, "decision_function_shape": "ovo"}
    there = to_device(X)
    cold_s, svc = timed(lambda: RBFSVC(backend="cupy", **settings).fit(there, y))
    warm_s, _ = timed(lambda: RBFSVC(backend="cupy", **settings).fit(there, y))
    predict_s, values = timed(lambda: svc.decision_function(there))
    theirs = SVC(kernel="rbf", **settings).fit(X, y)
    off = float(np.abs(values - theirs.decision_function(X)).max())
    click.echo(
        f"fit             cold {cold_s:.3f} s  warm {warm_s:.5f} s  first decision values "
        f"{predict_s:.3f} s, off {off:.1e}"
    )
    if off <= _DECISIONS_OFF:
        return []
    return [f"fit: decision values must be scikit-learn's, got them off by {off:.1e}"]


@click.command()
@click.option("--samples", default=300, show_default=True, help="Of the largest class.")
@click.option("--steps", default=-1, help="Stop each pair after so many, and compare nothing.")
def main(samples: int, steps: int) -> None:
    """Try every CUDA kernel on a small problem."""
    from svmcifar.compute.gpu import device_summary, why_no_cupy
    from svmcifar.svm.backends.smo_cuda import KERNELS

    if reason := why_no_cupy():
        raise click.ClickException(f"The GPU cannot be used here: {reason}.")
    click.echo(device_summary())
    X, y, starts = draw(samples)
    wrong = []
    for dtype, kernels in KERNELS.items():
        problem = make_problem(X, starts, dtype)
        for kernel in kernels:
            wrong += try_kernel(problem, kernel, steps)
    if steps < 0:
        wrong += try_fit(X, y)
    if wrong:
        raise click.ClickException("; ".join(wrong))


if __name__ == "__main__":
    main()
