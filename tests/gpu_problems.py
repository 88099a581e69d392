"""Problems for the tests on a GPU: large ones there, tiny ones with a stand-in for CuPy."""

from importlib.util import find_spec

import numpy as np
from problems import clusters

from svmcifar.svm.kernels.blocks import compute_kernel
from svmcifar.svm.kernels.kernel import Precision
from svmcifar.svm.kernels.rbf import RBF
from svmcifar.svm.one_vs_one import class_pairs
from svmcifar.svm.problem import OvOProblem
from svmcifar.svm.samples import sample_blocks

# Kernels that are compiled for the host take some thousand SMO steps a second.
SIMULATED = find_spec("cupy") is not None and "standins" in str(find_spec("cupy").origin)


def here(on_gpu, simulated):
    """Choose between what a GPU and what the host can do in a second."""
    return simulated if SIMULATED else on_gpu


def draw(sizes, d, dtype=np.float32, seed=0):
    """Draw classes of these sizes that overlap: samples and labels, shuffled, some samples twice.

    One in ten samples is a copy of another one, which may be of another class.
    """
    rng = np.random.default_rng([seed, d, *sizes])
    X, y = clusters(rng, sizes, d, 0.5)
    copies = rng.integers(len(y), size=(2, max(1, len(y) // 10)))
    X[copies[0]] = X[copies[1]]
    return X.astype(dtype), y


def ovo_problem(sizes, d=8, dtype=np.float32, C=1.0, tol=1e-6, seed=0):
    """Make a problem as backends take it, with a bound of its own for each sample."""
    X, y = draw(sizes, d, dtype, seed)
    order = np.argsort(y, kind="stable")
    weight = np.random.default_rng(seed).uniform(0.5, 2.0, len(y))
    return OvOProblem(
        samples=sample_blocks(X[order], None),
        precision=Precision(X.dtype == np.float64),
        starts=(0, *np.cumsum(sizes).tolist()),
        upper=C * weight,
        kernel=RBF(1.0 / d),
        tol=tol,
        max_iter=-1,
    )


def assert_same_solution(problem, ours, theirs, *, rtol, atol):
    """Compare solutions that may have stopped at other points: objective, gap, decision values.

    `rtol` is of the objectives, `atol` of the decision values at the training samples.
    """
    np.testing.assert_allclose(ours.objective, theirs.objective, rtol=rtol)
    assert (ours.gap <= problem.tol).all()
    assert (theirs.gap <= problem.tol).all()
    assert (ours.n_iter > 0).all()
    assert (np.abs(ours.coef) <= problem.upper).all()
    samples = problem.samples
    parts = [problem.rows(c) for c in range(problem.n_classes)]
    kernels = [compute_kernel(problem.kernel, samples, samples[rows]) for rows in parts]
    for number, (a, b) in enumerate(class_pairs(problem.n_classes)):
        values = []
        for solution in (ours, theirs):
            total = np.full(len(samples), solution.intercept[number])
            for c, row in ((a, b - 1), (b, a)):
                total += kernels[c] @ solution.coef[row, parts[c]]
            values.append(total)
        np.testing.assert_allclose(*values, rtol=0, atol=atol)
