"""Risk against coverage: how often a model errs if it may leave out what it is least sure of."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

N_COVERAGES = 50


@dataclass(frozen=True)
class RiskCoverage:
    """Share of wrong answers among the most confident ones, against their share of all."""

    confidence: str  # what samples are ranked by
    area: float  # under the curve: the mean risk over every number of samples
    least_area: float  # with the same answers, if every right one came before every wrong one
    coverages: tuple[float, ...]  # shares of the samples
    risks: tuple[float, ...]


def risk_coverage(
    right: npt.NDArray[np.bool_], confidence: npt.NDArray[np.floating], name: str
) -> RiskCoverage:
    """Rank samples by confidence; compute the risk of the first k, for every k.

    Both arrays are of shape (n_samples,); `name` says what the confidence is.  Samples that tie
    count as their mean, which is what ranking them at random would give on average.  Coverages are
    `N_COVERAGES` even steps, each rounded up to whole samples.

    References
    ----------
    Y. Geifman and R. El-Yaniv, "Selective classification for deep neural networks", NeurIPS 2017.

    Y. Geifman, G. Uziel and R. El-Yaniv, "Bias-reduced uncertainty estimation for deep neural
    classifiers", ICLR 2019 (the area, and the least one).

    Examples
    --------
    >>> curve = risk_coverage(np.array([True, False]), np.array([0.9, 0.6]), "probability")
    >>> curve.area, curve.least_area
    (0.25, 0.25)
    """
    n = len(right)
    _, group = np.unique(-confidence, return_inverse=True)
    sizes = np.bincount(group)
    wrong = np.repeat(np.bincount(group, weights=~right) / sizes, sizes)
    risks = _running_mean(wrong)
    n_right = np.count_nonzero(right)
    least = _running_mean(np.arange(n) >= n_right)
    first = -(-np.arange(1, N_COVERAGES + 1) * n // N_COVERAGES)
    return RiskCoverage(
        confidence=name,
        area=float(risks.mean()),
        least_area=float(least.mean()),
        coverages=tuple((first / n).tolist()),
        risks=tuple(risks[first - 1].tolist()),
    )


def margin(
    scores: npt.NDArray[np.floating], classes: npt.NDArray[np.integer]
) -> npt.NDArray[np.floating]:
    """Return the score of each sample's class minus the best score of the others.

    `scores` is (n_samples, n_classes), `classes` (n_samples,).  Below 0 where the class is not the
    one with the best score, as votes may have it.
    """
    own = np.take_along_axis(scores, classes[:, None], axis=1)[:, 0]
    others = scores.copy()
    np.put_along_axis(others, classes[:, None], -np.inf, axis=1)
    return own - others.max(axis=1)


def _running_mean(values: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
    return np.cumsum(values, dtype=np.float64) / np.arange(1, len(values) + 1)
