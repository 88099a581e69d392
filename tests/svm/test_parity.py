"""The same model as scikit-learn's SVC; parity.py says how it is measured, and why so."""

import os

import numpy as np
import pytest
from parity import assert_same_model
from problems import N_PROBLEMS, Problem, random_problem
from sklearn.svm import SVC

from svmcifar import RBFSVC
from svmcifar.data.registry import open_dataset
from svmcifar.data.synthetic import write_synthetic
from svmcifar.errors import DataError
from svmcifar.features.fitting import compute_features, fit_features
from svmcifar.features.pipeline import make_feature_pipeline
from svmcifar.features.settings import FeatureSettings
from svmcifar.svm.backends import numba_ovo


@pytest.mark.parametrize("number", range(N_PROBLEMS))
@pytest.mark.parametrize(
    ("dtype", "objective_rtol", "decision_atol"),
    [(np.float64, 1e-8, 1e-4), (np.float32, 1e-6, 0.1)],
)
def test_random_problem(monkeypatch, number, dtype, objective_rtol, decision_atol):
    """On kernel values that are rounded to float32, as LIBSVM's are."""
    monkeypatch.setattr(numba_ovo, "refine", lambda *args: None)
    problem = random_problem(number).astype(dtype)
    ours, theirs = problem.fit(RBFSVC, tol=1e-6), problem.fit(SVC, tol=1e-6)
    assert_same_model(problem, ours, theirs, 1e-6, objective_rtol, decision_atol)


@pytest.mark.parametrize("number", range(N_PROBLEMS))
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_random_problem_by_float64_values(number, dtype):
    """LIBSVM's rounding of kernel values makes the difference."""
    problem = random_problem(number).astype(dtype)
    ours, theirs = problem.fit(RBFSVC, tol=1e-6), problem.fit(SVC, tol=1e-6)
    assert_same_model(problem, ours, theirs, 1e-6, 1e-6, 0.1)


def test_random_problems_are_what_the_contract_names():
    problems = [random_problem(number) for number in range(N_PROBLEMS)]
    C = [problem.params["C"] for problem in problems]
    assert {max(problem.y) + 1 for problem in problems} == set(range(2, 21))
    np.testing.assert_allclose([min(C), max(C)], [1e-3, 1e4])
    assert {str(problem.params["class_weight"])[:1] for problem in problems} == set("Nb{")
    assert {type(problem.params["gamma"]) for problem in problems} == {str, float}
    n_weighted = sum(problem.sample_weight is not None for problem in problems)
    n_dropped = sum(len(problem.kept) < len(problem.y) for problem in problems)
    n_repeated = sum(len(np.unique(p.X, axis=0)) < len(p.X) for p in problems)
    n_single = sum(np.bincount(problem.y).min() == 1 for problem in problems)
    assert min(n_weighted, n_dropped, n_repeated, n_single) >= 5


@pytest.fixture(scope="session")
def images(tmp_path_factory):
    """5,000 training and 300 test images: official ones, else the synthetic stand-in."""
    try:
        dataset = open_dataset()
    except DataError:
        if os.environ.get("SVMCIFAR_DATA"):
            raise
        dataset = None
    if dataset is None or not dataset.is_official:
        folder = tmp_path_factory.mktemp("stand-in") / "synthetic"
        write_synthetic(folder, train_per_class=50, test_per_class=3, progress=False)
        dataset = open_dataset(folder)
    train, test = dataset.read_split("train"), dataset.read_split("test")
    # LIBSVM takes minutes for the pixels themselves.
    pipeline = make_feature_pipeline(FeatureSettings(n_components=256))
    fit_features(pipeline, train.images[:5000])
    X, Z = (compute_features(pipeline, part) for part in (train.images[:5000], test.images[:300]))
    return Problem(X, train.labels["coarse"][:5000], Z)


def test_5000_images(images):
    theirs = images.fit(SVC, cache_size=500)
    ours = images.fit(RBFSVC)
    assert_same_model(images, ours, theirs, 1e-3, 1e-5, 5e-3)
