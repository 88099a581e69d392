"""A device without a GPU: arrays of array-api-strict on a device that NumPy cannot read.

Whatever moves such an array to the host other than by `svmcifar.compute.arrays.to_host` raises
RuntimeError, and so does any function that the array API standard does not have.
"""

from dataclasses import replace

import array_api_strict as xp
import numpy as np

from svmcifar.compute import arrays
from svmcifar.model import evaluate, predict, train
from svmcifar.svm import decision_function
from svmcifar.svm.backends.numba_ovo import solve_blocked
from svmcifar.svm.backends.registry import BACKENDS, Backend
from svmcifar.svm.samples import SampleBlocks

DEVICE, OTHER_DEVICE = xp.Device("device1"), xp.Device("device2")


def on_device(array, device=DEVICE):
    return xp.asarray(np.asarray(array), device=device)


def assert_on_device(array, dtype):
    assert type(array).__module__.startswith("array_api_strict")
    assert array.device == DEVICE
    assert array.dtype == dtype


def stand_in_for_gpu(monkeypatch, free_bytes=2**30):
    """Make the package take DEVICE for the GPU; return what is sent there and what is solved.

    The backend 'cupy' asks that its samples be there, and has the CPU solve the problem.
    """
    sent, solved = [], []

    def to_device(array):
        sent.append(array)
        return on_device(array)

    def solve(problem, *, n_workers, memory_limit_bytes, progress):
        samples = problem.samples
        assert_on_device(samples.X, samples.sq_norms.dtype)
        assert samples.sq_norms.device == DEVICE
        solved.append(problem)
        on_host = SampleBlocks(arrays.to_host(samples.X), arrays.to_host(samples.sq_norms))
        problem = replace(problem, samples=on_host)
        return solve_blocked(problem, n_workers=1, progress=progress)

    for module in (train, evaluate, predict):
        monkeypatch.setattr(module, "to_device", to_device)
    monkeypatch.setattr(decision_function, "free_gpu_bytes", lambda: free_bytes)
    backend = Backend("cupy", "", lambda: None, lambda: solve, uses_gpu=True)
    monkeypatch.setitem(BACKENDS, "cupy", backend)
    return sent, solved
