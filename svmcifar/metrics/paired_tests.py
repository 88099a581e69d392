"""Paired tests of two classifiers: McNemar's exact test, bootstrap interval of the difference.

For all samples, and class by class with Holm's correction.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest

LEAST_P = float(np.finfo(np.float64).tiny)
N_RESAMPLES = 10_000
SEED = 0


@dataclass(frozen=True)
class PairedCounts:
    """Number of samples by which of two classifiers, a and b, is right."""

    both_right: int
    only_a: int
    only_b: int
    both_wrong: int
    same_answer: int  # samples with the same predicted class, right or wrong

    @property
    def n(self) -> int:
        """The number of samples."""
        return self.both_right + self.only_a + self.only_b + self.both_wrong

    @property
    def difference(self) -> float:
        """Accuracy of a minus accuracy of b."""
        return (self.only_a - self.only_b) / self.n


def count_pairs(
    y_true: npt.NDArray[np.integer],
    y_a: npt.NDArray[np.integer],
    y_b: npt.NDArray[np.integer],
) -> PairedCounts:
    """Count the samples that both, one or none of two classifiers have right.

    All are ids of shape (n_samples,): the true classes, and those that a and b predict.  Raise
    ValueError if there are no samples or the shapes differ.

    Examples
    --------
    >>> count_pairs(np.array([0, 1, 2]), np.array([0, 1, 0]), np.array([0, 2, 0]))
    PairedCounts(both_right=1, only_a=1, only_b=0, both_wrong=1, same_answer=2)
    """
    if y_true.ndim != 1 or y_true.size == 0 or not y_true.shape == y_a.shape == y_b.shape:
        raise ValueError(
            f"y_true, y_a and y_b must be 1-D, of one length and not empty. "
            f"Got shapes {y_true.shape}, {y_a.shape} and {y_b.shape}."
        )
    right_a, right_b = y_a == y_true, y_b == y_true
    return PairedCounts(
        both_right=int((right_a & right_b).sum()),
        only_a=int((right_a & ~right_b).sum()),
        only_b=int((right_b & ~right_a).sum()),
        both_wrong=int((~right_a & ~right_b).sum()),
        same_answer=int((y_a == y_b).sum()),
    )


def mcnemar_p(counts: PairedCounts) -> float:
    """Return the two-sided p-value of McNemar's exact test; 1 without discordant samples.

    It is never 0: one below the least normal number, 2.2e-308, is returned as that.  Under the
    null hypothesis of equal accuracy, `only_a` is binomial with probability 1/2 given the number of
    discordant samples, which only one classifier has right.

    Notes
    -----
    The exact test, unlike the chi-squared approximation and the mid-p value, never rejects more
    often than its level; with thousands of discordant samples the three are alike.

    References
    ----------
    Q. McNemar, "Note on the sampling error of the difference between correlated proportions or
    percentages", Psychometrika 12 (1947), 153-157.
    """
    n_discordant = counts.only_a + counts.only_b
    if n_discordant == 0:
        return 1.0
    return max(float(binomtest(counts.only_a, n_discordant, 0.5).pvalue), LEAST_P)


def count_pairs_by_class(
    y_true: npt.NDArray[np.integer],
    y_a: npt.NDArray[np.integer],
    y_b: npt.NDArray[np.integer],
    n_classes: int,
) -> list[PairedCounts | None]:
    """Count as `count_pairs` the samples of each true class; None for a class without any."""
    of_class = [y_true == c for c in range(n_classes)]
    return [count_pairs(y_true[i], y_a[i], y_b[i]) if i.any() else None for i in of_class]


def holm_correction(p_values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return p-values corrected for their number, in the order given.

    If hypotheses with a corrected value below a level are rejected, the probability that any true
    one is among them is at most that level, however the tests depend on each other.

    References
    ----------
    S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of
    Statistics 6 (1979), 65-70.

    Examples
    --------
    >>> holm_correction([0.04, 0.01, 0.5]).tolist()
    [0.08, 0.03, 0.5]
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    corrected = np.empty_like(p)
    corrected[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return np.minimum(corrected, 1.0)


def bootstrap_difference(
    counts: PairedCounts,
    confidence: float = 0.95,
    n_resamples: int = N_RESAMPLES,
    seed: int = SEED,
) -> tuple[float, float]:
    """Return the paired bootstrap interval of the difference in accuracy.

    To resample pairs of predictions is to draw the counts from the multinomial distribution with
    their shares, so no single sample is touched.  Return the percentiles of accuracy of a minus
    accuracy of b, with coverage `confidence`; raise ValueError unless this is in (0, 1).

    References
    ----------
    B. Efron and R. J. Tibshirani, "An Introduction to the Bootstrap" (1993), section 13.3.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"The confidence must be in the range (0, 1). Got {confidence}.")
    concordant = counts.both_right + counts.both_wrong
    shares = np.array([counts.only_a, counts.only_b, concordant]) / counts.n
    drawn = np.random.default_rng(seed).multinomial(counts.n, shares, size=n_resamples)
    differences = (drawn[:, 0] - drawn[:, 1]) / counts.n
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(differences, [tail, 1.0 - tail])
    return float(low), float(high)
