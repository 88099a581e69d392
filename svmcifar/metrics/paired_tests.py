"""Paired tests of two classifiers: McNemar's exact test, bootstrap interval of the difference."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest

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

    Under the null hypothesis of equal accuracy, `only_a` is binomial with probability 1/2 given the
    number of discordant samples, which only one classifier has right.

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
    return float(binomtest(counts.only_a, n_discordant, 0.5).pvalue)


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
