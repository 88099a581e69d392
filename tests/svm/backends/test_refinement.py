"""Solving on with float64 values keeps to the memory limit, which is checked before the work."""

import re

import numpy as np
import pytest

from svmcifar import RBFSVC
from svmcifar.errors import MemoryLimitError
from svmcifar.svm.backends import numba_ovo, refinement
from svmcifar.svm.backends.numba_ovo import BlockedRun


def twins(n_classes=4, n_features=6):
    """Samples in float32 that come twice, with labels of their own: coefficients are at C."""
    rng = np.random.default_rng(0)
    X = np.repeat(rng.normal(size=(60, n_features)), 2, axis=0).astype(np.float32)
    return X, rng.integers(0, n_classes, 120)


def least_limit(model, X, y):
    with pytest.raises(MemoryLimitError) as caught:
        model.set_params(memory_limit=1).fit(X, y)
    return re.search("at least (.*?) for", str(caught.value))[1]


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("n_features", [1, 6, 300])
def test_the_least_limit_does_and_is_named_before_the_work(monkeypatch, n_features, centred):
    X, y = twins(n_features=n_features)
    model = RBFSVC(C=1e3, gamma=3.0 / n_features)
    limit = least_limit(model, X + np.float32(10 * centred), y)
    model.set_params(memory_limit=limit).fit(X + np.float32(10 * centred), y)
    assert model.gap_.max() <= 1e-3
    monkeypatch.setattr(BlockedRun, "solve", lambda *args: pytest.fail("the work has begun"))
    n_bytes = float(limit.split()[0]) * {"KiB": 2**10, "MiB": 2**20}[limit.split()[1]]
    with pytest.raises(MemoryLimitError):
        model.set_params(memory_limit=int(0.99 * n_bytes)).fit(X, y)


def test_workers_share_the_limit(monkeypatch):
    X, y = twins()
    model = RBFSVC(C=1e3, gamma=0.5, n_jobs=3)
    limit = least_limit(model, X, y)
    numbers, pool = [], refinement.worker_pool
    monkeypatch.setattr(
        refinement, "worker_pool", lambda n, work: numbers.append(n) or pool(n, work)
    )
    for most in (limit, "100MB", None):
        model.set_params(memory_limit=most).fit(X, y)
    assert numbers == [1, 3, 3]


def test_no_room_is_asked_for_where_rounding_cannot_matter(monkeypatch):
    X, y = twins()
    asked = []
    least = refinement.least_refinement_bytes
    monkeypatch.setattr(
        numba_ovo, "least_refinement_bytes", lambda problem: asked.append(least(problem)) or 0
    )
    for C in (1.0, 1e3):
        RBFSVC(C=C, gamma=0.5).fit(X, y)
    assert asked[0] == 0 < asked[1]
