"""Rounding is bounded: decision values and gaps are those of exact arithmetic, or it is said."""

import os
import warnings

import numpy as np
import pytest
from hard_problems import exact_decisions, exact_gaps, hard_problem
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import SVC

from svmcifar import RBFSVC
from svmcifar.svm.kernels.kernel import Precision
from svmcifar.svm.kernels.rbf import RBF
from svmcifar.svm.prediction import choose_precision
from svmcifar.svm.rounding import doubtful_pairs, pair_errors
from svmcifar.tuning.search import search_svc

# More of them for a longer look: HARD_PROBLEMS=3000 pytest -v tests/svm/test_rounding.py
SEEDS = range(int(os.environ.get("HARD_PROBLEMS", "150")))
CENTRED_IN_FLOAT32 = [1235, 1919, 2676]  # with coefficients of 1e6


@pytest.mark.parametrize("seed", [*SEEDS, *CENTRED_IN_FLOAT32])
def test_hard_problems(seed):
    """C from 1e-8 to 1e8, scales from 1e-30 to 1e30, any gamma, duplicates, outliers, offsets."""
    X, y, settings = hard_problem(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = RBFSVC(**settings, decision_function_shape="ovo").fit(X, y)
    mass = np.abs(model.dual_coef_).sum()
    values = model.decision_function(X).reshape(len(X), -1)
    bound = 0.8 * model.tol + 1e-15 * mass  # eight standard deviations of a tenth
    assert np.abs(values - exact_decisions(model, X)).max() <= bound
    gaps = exact_gaps(model, X, y)
    assert np.abs(gaps - model.gap_).max() <= 0.1 * model.tol + 1e-15 * mass
    assert model.fit_status_ == (gaps > 1.1 * model.tol).any()


def duplicates(seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(150, 10))
    X[75:] = X[:75]
    return X.astype(np.float32), rng.integers(0, 4, 150), 10.0 ** rng.uniform(4, 8)


@pytest.mark.parametrize("seed", range(12))
def test_float32_samples_with_large_bounds(seed):
    X, y, C = duplicates(seed)
    single = RBFSVC(C=C, gamma=0.1).fit(X, y)
    double = RBFSVC(C=C, gamma=0.1).fit(X.astype(np.float64), y)
    assert single.gap_.max() <= 1e-3
    assert choose_precision(single) == Precision.FLOAT64
    assert abs(single.score(X, y) - double.score(X, y)) <= 0.01


def test_a_search_takes_the_precision_that_a_point_needs():
    X, y, _ = duplicates(0)
    train = np.r_[0:50, 75:125]  # with duplicates of other labels
    split = train, np.setdiff1d(np.arange(150), train)
    result = search_svc(X, y, C=[1.0, 1e7], gamma=[0.1], cv=[split], refit=False)
    for _, row in result.table.iterrows():
        model = RBFSVC(C=row["C"], gamma=0.1).fit(X[split[0]], y[split[0]])
        assert row["score"] == model.score(X[split[1]], y[split[1]])
        assert row["n_support"] == model.n_support_.sum()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1, 1e3, 1e6, 1e9, 1e12, 1e-20, 1e-30])
def test_kernels_far_narrower_than_samples_are_large(dtype, scale):
    rng = np.random.default_rng(0)
    X, y = (rng.normal(size=(120, 20)) * scale).astype(dtype), rng.integers(0, 4, 120)
    for gamma in (0.5, 0.5 / scale, "scale"):
        if gamma != "scale" and gamma * scale**2 < 1e-12:
            continue
        theirs = SVC(gamma=gamma).fit(X.astype(np.float64), y)
        ours = RBFSVC(gamma=gamma).fit(X, y)
        np.testing.assert_array_equal(ours.predict(X), theirs.predict(X.astype(np.float64)))


def test_a_column_of_timestamps():
    rng = np.random.default_rng(1)
    seconds = rng.integers(1_600_000_000, 1_700_000_000, 200)
    X = np.column_stack([rng.normal(size=(200, 5)), seconds])
    y = rng.integers(0, 3, 200)
    for dtype in (np.float32, np.float64):
        assert RBFSVC(gamma=1.0).fit(X.astype(dtype), y).score(X.astype(dtype), y) == 1.0


def test_what_float64_cannot_hold_is_said():
    rng = np.random.default_rng(0)
    X = np.repeat(rng.normal(size=(20, 3)), 2, axis=0) + 1e-9 * rng.normal(size=(40, 3))
    y = np.tile([0, 1], 20)
    with pytest.warns(ConvergenceWarning, match="KKT gap above tol"):
        model = RBFSVC(C=1e19, max_iter=10_000).fit(X, y)
    assert model.fit_status_ == 1


def test_images_need_no_more_than_float32():
    """As large as coefficients of 50,000 images are: C = 10, gamma = "scale"."""
    coef = np.full((19, 50_000), 3.0)
    starts = np.arange(0, 50_001, 2500)
    relative = RBF(1.0).rounding(np.full(50_000, 1.5), Precision.FLOAT32)
    roundoff = Precision.FLOAT32.unit_roundoff
    assert not len(doubtful_pairs(coef, starts, relative, roundoff, 1e-3, lambda: 0.2))
    assert len(doubtful_pairs(100 * coef, starts, relative, roundoff, 1e-3, lambda: 0.2)) == 190


def test_errors_of_pairs_are_of_their_own_coefficients():
    coef = np.zeros((2, 4))
    coef[0, 0], coef[0, 1] = 3.0, 4.0  # of class 0 against 1, and of class 1 against 0
    errors = pair_errors(coef, [0, 1, 3, 4], np.full(4, 0.1), 0.0, 1.0)
    np.testing.assert_allclose(errors, [np.sqrt(0.09 + 0.16 + 0.16), 0.0, 0.0])


@pytest.mark.parametrize("n_features", [3, 700])
def test_distances_of_differences(n_features):
    rng = np.random.default_rng(0)
    A = 1e8 + rng.normal(size=(30, n_features))
    B = np.concatenate([A[:5], A[:5] + 1e-3, 1e8 + rng.normal(size=(9, n_features))])
    kernel = RBF(2.0).at(Precision.EXACT)
    K = np.empty((30, 19))
    kernel.write(kernel.products(A, B), A[:, 0], B[:, 0], K)
    exact = np.exp(-2.0 * ((A[:, None] - B) ** 2).sum(axis=2))
    np.testing.assert_allclose(K, exact, rtol=1e-12, atol=1e-300)
    assert (K[np.arange(5), np.arange(5)] == 1.0).all()


def test_sums_count_by_all_coefficients():
    coef = np.full((1, 6), 3.0)
    (error,) = pair_errors(coef, [0, 3, 6], np.zeros(6), 1e-3, 0.5)
    np.testing.assert_allclose(error, 0.5 * 1e-3 / 3 * 18)
