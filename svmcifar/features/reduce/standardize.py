"""Standardisation without a second copy of the data."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler
from sklearn.utils import gen_batches

from svmcifar.compute.arrays import get_namespace

_BATCH_ROWS = 1000


def mean_squares(scaler: StandardScaler, n_odd: int) -> Any:
    """Return the variances of the features, of the last `n_odd` about 0, of a fitted scaler."""
    n_even = scaler.var_.shape[0] - n_odd
    odd = scaler.var_[n_even:] + scaler.mean_[n_even:] ** 2
    return get_namespace(scaler.var_).concat([scaler.var_[:n_even], odd])


class BatchStandardScaler(StandardScaler):
    """scikit-learn's StandardScaler, fitted a batch of rows at a time.

    `StandardScaler.fit` makes float64 copies of all of X; the same running mean and variance in
    batches need none, and are faster.  X may be on a device under
    `svmcifar.compute.arrays.sklearn_dispatch`.
    """

    __module__ = "svmcifar.features"  # as in model files, wherever the code lies

    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: NDArray[np.floating] | None = None,
    ) -> "BatchStandardScaler":
        """Compute mean and standard deviation of each feature; parameters as StandardScaler's."""
        self._reset()
        for rows in gen_batches(X.shape[0], _BATCH_ROWS):
            weight = None if sample_weight is None else sample_weight[rows]
            self.partial_fit(X[rows, :], y, weight)
        return self
