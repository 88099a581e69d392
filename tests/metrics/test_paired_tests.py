from math import comb

import numpy as np
import pytest

from svmcifar.metrics.paired_tests import (
    PairedCounts,
    bootstrap_difference,
    count_pairs,
    count_pairs_by_class,
    holm_correction,
    mcnemar_p,
)


def counts_of(both_right=0, only_a=0, only_b=0, both_wrong=0):
    return PairedCounts(both_right, only_a, only_b, both_wrong, same_answer=both_right)


def test_counts_against_a_loop():
    rng = np.random.default_rng(0)
    y, a, b = rng.integers(0, 4, (3, 500))
    expected = {"both_right": 0, "only_a": 0, "only_b": 0, "both_wrong": 0, "same_answer": 0}
    for true, of_a, of_b in zip(y, a, b, strict=True):
        key = {
            (True, True): "both_right", (True, False): "only_a",
            (False, True): "only_b", (False, False): "both_wrong",
        }[bool(of_a == true), bool(of_b == true)]  # fmt: skip
        expected[key] += 1
        expected["same_answer"] += int(of_a == of_b)
    counts = count_pairs(y, a, b)
    assert counts == PairedCounts(**expected)
    assert len(set(expected.values())) == 5  # no two can be mixed up unseen
    assert counts.n == 500
    assert counts.difference == pytest.approx((a == y).mean() - (b == y).mean(), abs=1e-15)


@pytest.mark.parametrize("lengths", [(0, 0, 0), (3, 2, 3), (3, 3, 1)])
def test_unequal_or_no_samples(lengths):
    with pytest.raises(ValueError, match="must be 1-D, of one length and not empty"):
        count_pairs(*(np.zeros(n, dtype=int) for n in lengths))


def mcnemar_by_enumeration(only_a, only_b):
    """Add up the probabilities of all splits that are no more likely than the one seen."""
    n = only_a + only_b
    seen = comb(n, only_a)
    return sum(comb(n, k) for k in range(n + 1) if comb(n, k) <= seen) / 2**n


def test_mcnemar_against_enumeration():
    for only_a in range(14):
        for only_b in range(14):
            p = mcnemar_p(counts_of(5, only_a, only_b, 7))
            assert p == pytest.approx(mcnemar_by_enumeration(only_a, only_b), rel=1e-12)


def test_mcnemar_of_known_counts():
    assert mcnemar_p(counts_of(only_a=2, only_b=8)) == 0.109375  # 2 (1 + 10 + 45) / 1024
    assert mcnemar_p(counts_of(both_right=9)) == 1.0
    # Only samples on which one model is right count, however many others there are.
    assert mcnemar_p(counts_of(9000, 2, 8, 990)) == 0.109375
    assert mcnemar_p(counts_of(1000, 3000, 900, 5100)) < 1e-200
    # No p-value is 0, however few samples would do.
    assert mcnemar_p(counts_of(only_a=5000)) == 2.2250738585072014e-308


def test_counts_by_class_add_up():
    rng = np.random.default_rng(1)
    y, a, b = rng.integers(0, 4, (3, 500))
    by_class = count_pairs_by_class(y, a, b, 5)
    assert by_class[4] is None
    for c, counts in enumerate(by_class[:4]):
        assert counts == count_pairs(y[y == c], a[y == c], b[y == c])
    assert sum(counts.only_a for counts in by_class[:4]) == count_pairs(y, a, b).only_a


def test_holm_by_its_steps():
    """Reject the least p-value below level / tests left, in turn, until one is not."""
    rng = np.random.default_rng(0)
    for _ in range(50):
        p = np.round(rng.random(8) ** 3, 2)  # with ties
        corrected = holm_correction(p)
        for level in (0.01, 0.05, 0.2, 0.7):
            rejected, left = np.zeros(8, bool), 8
            for i in np.argsort(p, kind="stable"):
                if p[i] * left > level:
                    break
                rejected[i], left = True, left - 1
            assert (corrected <= level).tolist() == rejected.tolist()
    assert holm_correction([]).tolist() == []


def exact_distribution(counts):
    """P(resampled difference * n <= k) for k = -n, ..., n, by convolving n draws."""
    draw = np.array([counts.only_b, counts.both_right + counts.both_wrong, counts.only_a])
    distribution = np.ones(1)
    for _ in range(counts.n):
        distribution = np.convolve(distribution, draw / counts.n)
    return distribution.cumsum()


@pytest.mark.parametrize(
    "counts",
    [counts_of(30, 12, 4, 34), counts_of(3, 0, 5, 42), counts_of(2, 20, 25, 3)],
)
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_bootstrap_against_the_exact_distribution(counts, confidence):
    at_most = exact_distribution(counts)
    low, high = bootstrap_difference(counts, confidence)
    tail = (1 - confidence) / 2
    noise = 4 * np.sqrt(tail / 10_000)  # of the share of resamples below a place
    for end, share in ((low, tail), (high, 1 - tail)):
        place = round(end * counts.n) + counts.n
        assert (place - counts.n) / counts.n == pytest.approx(end, abs=1e-12)
        assert at_most[place] > share - noise
        assert at_most[place - 1] < share + noise


def test_bootstrap_against_drawing_samples():
    """Drawing the four counts is drawing samples, both answers with each."""
    counts = counts_of(40, 25, 10, 25)
    outcome = np.repeat([0, 1, -1, 0], [40, 25, 10, 25])
    rng = np.random.default_rng(1)
    drawn = outcome[rng.integers(0, 100, (20_000, 100))].mean(axis=1)
    expected = np.quantile(drawn, [0.025, 0.975])
    np.testing.assert_allclose(bootstrap_difference(counts), expected, atol=0.0101)


def test_bootstrap_of_many_samples_is_normal():
    counts = counts_of(3000, 2500, 900, 3600)
    low, high = bootstrap_difference(counts)
    error = np.sqrt((2500 + 900 - 1600**2 / 10_000) / 10_000**2)
    assert low == pytest.approx(0.16 - 1.959964 * error, rel=0.005)
    assert high == pytest.approx(0.16 + 1.959964 * error, rel=0.005)


def test_bootstrap_covers_the_true_difference():
    rng = np.random.default_rng(2)
    shares = [0.3, 0.25, 0.15, 0.3]
    covered = 0
    for cells in rng.multinomial(400, shares, size=400):
        low, high = bootstrap_difference(counts_of(*cells.tolist()), n_resamples=1000)
        covered += low <= 0.10 <= high
    assert 0.925 * 400 <= covered <= 0.975 * 400


def test_bootstrap_details():
    counts = counts_of(40, 25, 10, 25)
    many = counts_of(3000, 2500, 900, 3600)
    assert bootstrap_difference(many) == bootstrap_difference(many)
    assert bootstrap_difference(counts, n_resamples=7, seed=1) != bootstrap_difference(
        counts, n_resamples=7, seed=2
    )
    low, high = bootstrap_difference(counts_of(40, 10, 25, 25))
    assert (-high, -low) == pytest.approx(bootstrap_difference(counts), abs=0.0101)
    assert bootstrap_difference(counts_of(both_right=4, both_wrong=6)) == (0.0, 0.0)
    assert bootstrap_difference(counts_of(only_b=6)) == (-1.0, -1.0)
    for confidence in (0.0, 1.0, float("nan")):
        with pytest.raises(ValueError, match="confidence must be in the range"):
            bootstrap_difference(counts, confidence)
