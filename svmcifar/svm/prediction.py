"""Prediction from the fitted attributes of a one-vs-one classifier.

Samples on a device are worked on there, down to the pairs' decision values, which come to the
host: votes and results are NumPy's.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.multiclass import _ovr_decision_function
from sklearn.utils.validation import check_is_fitted

from svmcifar.compute.arrays import get_namespace, move_beside, to_host
from svmcifar.compute.memory import parse_bytes
from svmcifar.compute.threads import count_workers
from svmcifar.svm.decision_function import OvOModel, pair_decisions
from svmcifar.svm.kernels.registry import make_kernel
from svmcifar.svm.one_vs_one import average_views, votes
from svmcifar.svm.samples import SampleBlocks
from svmcifar.svm.validation import read_samples

FloatArray = NDArray[np.float64]
Array = NDArray[Any]


class OvOPrediction:
    """Predictions and decision values of a fitted `RBFSVC`."""

    # Set by the estimator that this class is mixed into.
    break_ties: bool
    decision_function_shape: str
    n_jobs: int | None
    memory_limit: int | str | None
    classes_: NDArray[Any]
    support_vectors_: NDArray[np.floating]
    n_support_: NDArray[np.int32]
    dual_coef_: FloatArray
    intercept_: FloatArray
    gamma_: float
    _center: NDArray[np.floating] | None
    _support_sq_norms: NDArray[np.floating]

    def predict(self, X: ArrayLike) -> Array:
        """Predict the class of each sample by the pairs' votes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Worked on where it is: on the host, or as a CuPy array on the GPU.

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        codes = [self._winners(pairwise) for pairwise in self._pairwise(X)]
        return self.classes_[np.concatenate(codes)]

    def decision_function(self, X: ArrayLike) -> Array:
        """Compute decision values.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            As for `predict`.

        Returns
        -------
        ndarray, float64
            Of shape (n_samples,) for two classes, positive for the second;
            otherwise (n_samples, n_classes) for "ovr", votes plus a bounded
            sum of margins, or (n_samples, n_pairs) for "ovo".
        """
        return np.concatenate([self._shaped(pairwise) for pairwise in self._pairwise(X)])

    def predict_with_decisions(self, X: ArrayLike, *, n_views: int = 1) -> tuple[Array, Array]:
        """Give `predict` and `decision_function` of X over one pass of the kernel.

        Parameters
        ----------
        X : array-like of shape (n_samples * n_views, n_features)
            As for `predict`.
        n_views : int, default=1
            Rows of X that show the same sample, one after the other.  The pairs' decision values
            are averaged over them before they vote.

        Returns
        -------
        classes : ndarray of shape (n_samples,)
        decisions : ndarray of shape (n_samples,), (n_samples, n_classes) or (n_samples, n_pairs)

        Raises
        ------
        InputError
            If the last sample has fewer views than the others.
        """
        pairwise = self._pairwise(X)
        if n_views > 1:
            pairwise = average_views(pairwise, n_views)
        batches = [(self._winners(p), self._shaped(p)) for p in pairwise]
        codes, values = zip(*batches, strict=True)
        return self.classes_[np.concatenate(codes)], np.concatenate(values)

    def _pairwise(self, X: ArrayLike) -> Iterator[NDArray[np.float64]]:
        """Compute the decision values of every pair in LIBSVM's sign, a batch at a time."""
        check_is_fitted(self)
        if self.break_ties and self.decision_function_shape == "ovo":
            raise ValueError("break_ties must be False when decision_function_shape is 'ovo'")
        # Distances may need a higher precision than the samples are kept in.
        samples = read_samples(self, X, self.support_vectors_.dtype)
        xp = get_namespace(samples)
        dtype = getattr(xp, self._support_sq_norms.dtype.name)
        support = xp.astype(move_beside(self.support_vectors_, samples), dtype, copy=False)
        if self._center is not None:
            support = support - move_beside(self._center, samples)
        sign = -1.0 if len(self.classes_) == 2 else 1.0
        model = OvOModel(
            support=SampleBlocks(support, move_beside(self._support_sq_norms, samples)),
            n_support=self.n_support_,
            coef=sign * self.dual_coef_,
            intercept=sign * self.intercept_,
            kernel=make_kernel("rbf", self.gamma_),
            center=self._center,
        )
        samples = xp.astype(samples, dtype, copy=False)
        limit_bytes = None if self.memory_limit is None else parse_bytes(self.memory_limit)
        return map(to_host, pair_decisions(model, samples, count_workers(self.n_jobs), limit_bytes))

    def _winners(self, pairwise: NDArray[np.float64]) -> NDArray[np.intp]:
        """Choose a class for each sample, as its place in `classes_`."""
        if self.break_ties and len(self.classes_) > 2:
            return self._shaped(pairwise).argmax(axis=1)
        return votes(pairwise, len(self.classes_)).argmax(axis=1)

    def _shaped(self, pairwise: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give decision values in the shape that the user asked for."""
        if len(self.classes_) == 2:
            return -pairwise[:, 0]
        if self.decision_function_shape == "ovo":
            return pairwise
        return _ovr_decision_function(pairwise < 0, -pairwise, len(self.classes_))
