"""The GPU backend without a GPU: with a stand-in for CuPy, and with a CuPy that is not there."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from devices import on_device

from svmcifar.errors import BackendUnavailableError, MemoryLimitError
from svmcifar.svm.backends import cupy_ovo
from svmcifar.svm.backends.gpu_memory_plan import make_device_plan
from svmcifar.svm.kernels.kernel import Precision
from svmcifar.svm.kernels.rbf import RBF
from svmcifar.svm.problem import OvOProblem
from svmcifar.svm.samples import sample_blocks

TESTS = Path(__file__).parents[2]
N_SIMULATED = 16 + 19


def test_with_the_standin():
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n0",
         str(TESTS / "standin_ovo.py"), str(TESTS / "standin_estimator.py")],
        env={**os.environ, "PYTHONPATH": f"{TESTS / 'standins'}{os.pathsep}{TESTS.parent}"},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(rf"^{N_SIMULATED} passed in ", done.stdout, re.MULTILINE), done.stdout


class _FakeCupy:
    """As much of CuPy as comes before the first array."""

    def __init__(self, free_bytes):
        self.cuda = self.runtime = self
        self._free_bytes = free_bytes

    def get_default_memory_pool(self):
        return self

    get_default_pinned_memory_pool = get_current_stream = get_default_memory_pool

    def free_all_blocks(self):
        pass

    synchronize = free_all_blocks

    def alloc_pinned_memory(self, size):
        pass

    def memGetInfo(self):  # noqa: N802
        return self._free_bytes, 2 * self._free_bytes


@pytest.fixture
def problem():
    X = np.random.default_rng(0).normal(size=(300, 5)).astype(np.float32)
    return OvOProblem(
        sample_blocks(X, None),
        (0, 100, 200, 300),
        np.ones(300),
        RBF(0.1),
        Precision.FLOAT32,
        1e-3,
        -1,
    )


def plan_for(problem, monkeypatch, free_bytes, limit=None):
    """Give the plan that is made for a GPU with so much free memory."""
    plans = []
    monkeypatch.setitem(sys.modules, "cupy", _FakeCupy(free_bytes))
    monkeypatch.setattr(cupy_ovo, "refine", lambda *args: None)
    monkeypatch.setattr(cupy_ovo, "solve_on_device", lambda p, plan, *_: plans.append(plan))
    cupy_ovo.solve_cupy(problem, n_workers=1, memory_limit_bytes=limit)
    return plans[0]


def test_memory_decides_the_plan(problem, monkeypatch):
    assert len(plan_for(problem, monkeypatch, 2**30).groups) == 1
    assert len(plan_for(problem, monkeypatch, 2**30, 200_000).groups) == 3
    blocks = 2 * 4096**2 * 4  # what the matrix products take beside
    assert len(plan_for(problem, monkeypatch, (blocks + 250_000) * 10 // 9).groups) == 3
    with pytest.raises(MemoryLimitError, match="The GPU memory for kernel values must be at least"):
        plan_for(problem, monkeypatch, 2**30, 100_000)
    with pytest.raises(MemoryLimitError, match="Got 0 B instead"):
        plan_for(problem, monkeypatch, 2**20)


def test_samples_on_the_gpu_are_not_counted_twice(problem, monkeypatch):
    """What is free leaves them out already; copies of them that tiles need are counted."""
    blocks = 2 * 4096**2 * 4
    whole = make_device_plan(problem.sizes, 2**60).n_bytes
    X = problem.samples.X
    sample_bytes = 4 * (X.shape[1] + 1)
    there = replace(problem, samples=sample_blocks(on_device(X), None))

    def n_groups(problem, room):
        return len(plan_for(problem, monkeypatch, -(-(blocks + room) * 10 // 9)).groups)

    assert [n_groups(there, whole + n) for n in (0, -1)] == [1, 3]
    assert [n_groups(problem, whole + X.nbytes + n) for n in (0, -1)] == [1, 3]
    tiled = make_device_plan(problem.sizes, whole - 1).n_bytes
    assert n_groups(there, tiled + 200 * sample_bytes) == 3
    with pytest.raises(MemoryLimitError, match="The GPU memory for kernel values"):
        n_groups(there, tiled + 200 * sample_bytes - 2)


def test_tf32_is_refused(problem, monkeypatch):
    monkeypatch.setenv("CUPY_TF32", "1")
    with pytest.raises(BackendUnavailableError, match="CUPY_TF32 must be 0"):
        plan_for(problem, monkeypatch, 2**30)
