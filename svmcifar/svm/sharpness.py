"""One factor on the log-odds of all pairs, with which coupled probabilities are calibrated.

Coupling asks each pair about every sample, but its sigmoid has learned from those of its two
classes alone.  With many classes most pairs know nothing of a sample, and the coupled
probabilities are too even.  The factor is the inverse of a temperature, fitted as usual by the log
loss of held-out samples.

References
----------
C. Guo et al., "On calibration of modern neural networks", ICML 2017, section 4.2.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from svmcifar.svm.coupling import couple

FloatArray = NDArray[np.float64]

# Factors are powers of this from 1/4 to 4: a step changes the loss by less than its own noise, and
# rounding does not change the factor.
_STEP = 2.0 ** (1 / 16)
_MOST_STEPS = 32


@dataclass(frozen=True)
class HeldOut:
    """Samples that neither a model nor the sigmoids have seen."""

    decisions: FloatArray  # (n_samples, n_pairs), in LIBSVM's order and sign
    codes: NDArray[np.intp]  # class of each sample
    weight: FloatArray  # how often each sample counts
    A: FloatArray  # (n_pairs,), of the sigmoids
    B: FloatArray

    def losses(self, factor: float, smoothing: float, n_classes: int, n_workers: int) -> FloatArray:
        """Return the log loss of each sample, a small part of it for all classes alike."""
        p = couple(self.decisions, factor * self.A, factor * self.B, n_classes, n_workers)
        log_p = np.log(p)
        own = np.take_along_axis(log_p, self.codes[:, None], axis=1)[:, 0]
        return -(1.0 - smoothing) * own - smoothing * log_p.mean(axis=1)


def fit_sharpness(parts: Sequence[HeldOut], n_classes: int, n_workers: int) -> float:
    """Return the factor of A and B with the smallest log loss, going downhill from 1.

    One further observation is spread over all samples and classes, as in Platt's targets, so that
    the factor stays small where the samples are separated without error.
    """
    weight = np.concatenate([part.weight for part in parts])
    smoothing = 1.0 / (weight.sum() + 1.0)

    @cache
    def loss(exponent: int) -> float:
        factor = _STEP**exponent
        losses = [part.losses(factor, smoothing, n_classes, n_workers) for part in parts]
        return float((weight * np.concatenate(losses)).sum())

    best = 0
    for step in (4, -4, 1, -1):
        while abs(best + step) <= _MOST_STEPS and loss(best + step) < loss(best):
            best += step
    return _STEP**best
