"""Against scikit-learn's own fit, LIBSVM's, and a search of the whole plane."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.calibration import _SigmoidCalibration

from svmcifar.svm.sigmoids import fit_sigmoid, fit_sigmoids


def draw(seed=0, sizes=(70, 130), shift=1.5, scale=1.0):
    """Decision values of a pair, those of the first class first, and weights."""
    rng = np.random.default_rng(seed)
    f = rng.normal(size=sum(sizes))
    f[: sizes[0]] += shift
    return f * scale, rng.uniform(0.2, 3.0, len(f))


def loss(f, weight, n_first, A, B):
    """The cross-entropy that Platt's sigmoid minimises, by its definition."""
    of_first, of_second = weight[:n_first].sum(), weight[n_first:].sum()
    t = np.full(len(f), 1 / (of_second + 2))
    t[:n_first] = (of_first + 1) / (of_first + 2)
    log_p, log_q = -np.logaddexp(0, A * f + B), -np.logaddexp(0, -A * f - B)
    return -(weight * (t * log_p + (1 - t) * log_q)).sum()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("weighted", [False, True])
def test_is_that_of_scikit_learn(seed, weighted):
    f, weight = draw(seed, shift=0.5 + seed)
    weight = weight if weighted else np.ones(len(f))
    y = np.arange(len(f)) < 70
    theirs = _SigmoidCalibration().fit(f, y, weight)
    np.testing.assert_allclose(fit_sigmoid(f, weight, 70), (theirs.a_, theirs.b_), rtol=1e-5)


def test_no_point_near_by_has_a_smaller_loss():
    f, weight = draw(3)
    A, B = fit_sigmoid(f, weight, 70)
    best = loss(f, weight, 70, A, B)
    for step in (1e-2, 1e-4):
        for angle in np.linspace(0, 2 * np.pi, 13):
            near = loss(f, weight, 70, A + step * np.cos(angle), B + step * np.sin(angle))
            assert near > best


def test_separable_decisions_have_a_finite_slope():
    f, _ = draw(shift=50.0)
    A, B = fit_sigmoid(f, np.ones(len(f)), 70)
    assert -5 < A < 0
    found = minimize(lambda v: loss(f, np.ones(len(f)), 70, *v), (-0.1, 1.0), tol=1e-12)
    assert loss(f, np.ones(len(f)), 70, A, B) <= found.fun + 1e-9
    # The target of a class is (n + 1) / (n + 2).
    assert expit(-(A * f[:70] + B)).mean() == pytest.approx(71 / 72, abs=1e-3)


def test_decisions_that_say_the_contrary_are_not_believed():
    """The best slope without reading a decision backwards is 0; B is the odds of the targets."""
    f, _ = draw()
    A, B = fit_sigmoid(-f, np.ones(len(f)), 70)
    share = (70 * 71 / 72 + 130 / 132) / 200
    assert A == 0.0
    assert expit(-B) == pytest.approx(share, rel=1e-12)
    assert loss(-f, np.ones(200), 70, -1e-3, B) > loss(-f, np.ones(200), 70, A, B)


@pytest.mark.parametrize("value", [0.0, -0.0, 1.0, -3e7, 1e300, 5e-324])
def test_equal_decisions_say_nothing(value):
    f, weight = np.full(20, value), np.ones(20)
    A, B = fit_sigmoid(f, weight, 15)
    assert A == 0.0
    assert expit(-B) == pytest.approx((15 * 16 / 17 + 5 / 7) / 20, rel=1e-12)


@pytest.mark.parametrize("scale", [1e-300, 1e-12, 1e12, 1e300])
def test_the_unit_of_the_decisions_does_not_matter(scale):
    f, weight = draw(7)
    A, B = fit_sigmoid(f, weight, 70)
    other_A, other_B = fit_sigmoid(f * scale, weight, 70)
    assert other_A * scale == pytest.approx(A, rel=1e-9)
    assert other_B == pytest.approx(B, rel=1e-9)


def test_decisions_far_from_zero():
    f, weight = draw(7)
    A, B = fit_sigmoid(f, weight, 70)
    other_A, other_B = fit_sigmoid(f + 1e7, weight, 70)
    assert other_A == pytest.approx(A, rel=1e-6)
    np.testing.assert_allclose(other_A * (f + 1e7) + other_B, A * f + B, rtol=0, atol=1e-5)


@pytest.mark.parametrize("values", [(1e300, -1e300), (1e300, 0.0), (1e308, -1e308)])
def test_extreme_decisions_have_finite_sigmoids(values):
    f = np.repeat(values, 10)
    A, B = fit_sigmoid(f, np.ones(20), 10)
    assert np.isfinite([A, B]).all()
    with np.errstate(over="ignore"):
        p = expit(-(A * f + B))
    assert (p[:10] >= 0.5).all()
    assert (p[10:] <= 0.5).all()


def test_the_classes_are_alike():
    """Swapped, and with decisions of the other sign, they have the other one's probabilities."""
    f, weight = draw(2)
    A, B = fit_sigmoid(f, weight, 70)
    swapped = fit_sigmoid(np.r_[-f[70:], -f[:70]], np.r_[weight[70:], weight[:70]], 130)
    np.testing.assert_allclose(swapped, (A, -B), rtol=1e-9)


def test_weights_are_repetition_and_removal():
    f, _ = draw(4)
    weight = np.random.default_rng(4).integers(0, 4, len(f)).astype(float)
    times = weight.astype(int)
    repeated = np.repeat(f, times)
    expected = fit_sigmoid(repeated, np.ones(len(repeated)), times[:70].sum())
    np.testing.assert_allclose(fit_sigmoid(f, weight, 70), expected, rtol=1e-9)


def test_without_any_weight_nothing_is_known():
    f, _ = draw()
    assert fit_sigmoid(f, np.zeros(200), 70) == (0.0, 0.0)
    # With none of one class: the odds of the smoothed counts.
    A, B = fit_sigmoid(f, np.r_[np.zeros(70), np.ones(130)], 70)
    assert A == 0.0
    assert expit(-B) == pytest.approx(1 / 132, rel=1e-12)


@pytest.mark.parametrize("n_workers", [1, 3])
def test_each_pair_has_the_samples_of_its_classes(n_workers):
    rng = np.random.default_rng(0)
    sizes = [5, 1, 9, 4]
    starts = np.r_[0, np.cumsum(sizes)]
    decisions, weight = rng.normal(size=(3, 19)), rng.uniform(0.5, 2, 19)
    A, B = fit_sigmoids(decisions, weight, starts, n_workers)
    pairs = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    for number, (a, b) in enumerate(pairs):
        in_a, in_b = (slice(starts[c], starts[c + 1]) for c in (a, b))
        # Row r of a sample of class c: the pair with class r, or r + 1 from c on.
        f = np.r_[decisions[b - 1, in_a], decisions[a, in_b]]
        expected = fit_sigmoid(f, np.r_[weight[in_a], weight[in_b]], sizes[a])
        assert (A[number], B[number]) == expected
