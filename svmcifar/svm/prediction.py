"""Prediction by a fitted `SVC`.

Decision values and votes are computed where the samples are, and only what is asked for is brought
to the host: results are NumPy's.
"""

from collections.abc import Callable, Iterator
from functools import wraps
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import NotFittedError
from sklearn.utils.multiclass import _ovr_decision_function
from sklearn.utils.validation import check_is_fitted

from svmcifar.compute.arrays import (
    get_device,
    get_dtype,
    get_namespace,
    is_host,
    move_beside,
    on_device_of,
    to_host,
)
from svmcifar.compute.memory import parse_bytes
from svmcifar.compute.progress import stage
from svmcifar.compute.threads import count_workers
from svmcifar.svm.coupling import couple
from svmcifar.svm.decision_function import OvOModel, pair_decisions
from svmcifar.svm.kernels.kernel import Kernel, Precision
from svmcifar.svm.kernels.precomputed import Precomputed, number_samples
from svmcifar.svm.kernels.registry import make_kernel
from svmcifar.svm.one_vs_one import average_views, one_vs_rest, winners
from svmcifar.svm.rounding import doubtful_pairs, typical_value
from svmcifar.svm.samples import SampleBlocks, sample_blocks
from svmcifar.svm.validation import read_samples, require_nonnegative

if TYPE_CHECKING:
    from svmcifar.svm.estimator import SVC

FloatArray = NDArray[np.float64]
Array = NDArray[Any]

# The precision of models that have predicted, with what it follows from.
_PRECISIONS: WeakKeyDictionary[Any, tuple[float, float, FloatArray, Precision]] = (
    WeakKeyDictionary()
)


class _Kept(NamedTuple):
    """A model that has predicted on a device, with what it was made of."""

    settings: tuple[Any, ...]
    arrays: tuple[Any, ...]
    model: OvOModel


# It lies on the device, so that further predictions send nothing there.
_MODELS: WeakKeyDictionary[Any, _Kept] = WeakKeyDictionary()


def forget(svc: "SVC") -> None:
    """Free what predictions by an estimator have left on a device."""
    _MODELS.pop(svc, None)


def _where_samples_are(method: Callable) -> Callable:
    """Let a method of X compute on the device of X."""

    @wraps(method)
    def call(self: "Predictor", X: Any, *args: Any) -> Any:
        with on_device_of(X, "batches of samples"):
            return method(self, X, *args)

    return call


class Predictor:
    """Classes and decision values by a fitted model; its methods are those of `SVC`."""

    def __init__(self, svc: "SVC") -> None:
        check_is_fitted(svc)
        if svc.n_support_.sum() != svc.dual_coef_.shape[1]:
            raise ValueError(f"The internal representation of {type(svc).__name__} was altered")
        self._svc = svc
        self._n_classes = len(svc.classes_)

    @_where_samples_are
    def predict(self, X: ArrayLike) -> Array:
        """See `SVC.predict`."""
        self._require_votes()
        codes = [to_host(self._winners(pairwise)) for pairwise in self.pairwise(X)]
        return self._svc.classes_[np.concatenate(codes)]

    @_where_samples_are
    def decision_function(self, X: ArrayLike) -> FloatArray:
        """See `SVC.decision_function`."""
        return np.concatenate([to_host(self._shaped(pairwise)) for pairwise in self.pairwise(X)])

    @_where_samples_are
    def predict_with_decisions(self, X: ArrayLike, n_views: int) -> tuple[Array, FloatArray]:
        """See `SVC.predict_with_decisions`."""
        self._require_votes()
        batches = [
            (to_host(self._winners(p)), to_host(self._shaped(p))) for p in self.pairwise(X, n_views)
        ]
        codes, values = zip(*batches, strict=True)
        return self._svc.classes_[np.concatenate(codes)], np.concatenate(values)

    @_where_samples_are
    def predict_proba(self, X: ArrayLike, n_views: int) -> FloatArray:
        """See `SVC.predict_proba`."""
        return np.concatenate([self._probabilities(p) for p in self.pairwise(X, n_views)])

    @_where_samples_are
    def predict_with_probabilities(
        self, X: ArrayLike, n_views: int
    ) -> tuple[Array, FloatArray, FloatArray]:
        """See `SVC.predict_with_probabilities`."""
        self._require_votes()
        batches = [
            (to_host(self._winners(p)), to_host(self._shaped(p)), self._probabilities(p))
            for p in self.pairwise(X, n_views)
        ]
        codes, values, probabilities = map(np.concatenate, zip(*batches, strict=True))
        return self._svc.classes_[codes], values, probabilities

    def _require_votes(self) -> None:
        """Raise ValueError if ties cannot be broken as asked."""
        if self._svc.break_ties and self._svc.decision_function_shape == "ovo":
            raise ValueError("break_ties must be False when decision_function_shape is 'ovo'")

    def pairwise(self, X: ArrayLike, n_views: int = 1) -> Iterator[Any]:
        """Yield the decision values of every pair in LIBSVM's sign, batch by batch, where X is.

        They are averaged over `n_views` successive rows of X.
        """
        pairwise = self._pairwise(X)
        return pairwise if n_views == 1 else average_views(pairwise, n_views)

    def _pairwise(self, X: ArrayLike) -> Iterator[Any]:
        svc = self._svc
        samples = read_samples(svc, X, get_dtype(support_vectors(svc)))
        if svc.kernel == "precomputed":
            kernel, blocks = Precomputed(samples), number_samples(svc.support_, samples)
            samples = number_samples(np.arange(samples.shape[0]), samples).X
            model = self._model(kernel, blocks)
        else:
            precision = choose_precision(svc)
            kernel_of_svc = kernel_of(svc).at(precision)
            if kernel_of_svc.needs_nonnegative:
                require_nonnegative(samples, svc.kernel)
            model = self._model_beside(samples, kernel_of_svc, precision)
            samples = get_namespace(samples).astype(samples, model.support.X.dtype, copy=False)
        limit_bytes = None if svc.memory_limit is None else parse_bytes(svc.memory_limit)
        batches = pair_decisions(model, samples, count_workers(svc.n_jobs), limit_bytes)
        with stage("predicting", samples.shape[0], "samples") as predicting:
            for batch in batches:
                yield batch
                predicting.advance(batch.shape[0])

    def _model(self, kernel: Kernel, support: SampleBlocks) -> OvOModel:
        svc = self._svc
        coef, intercept = svc.dual_coef_, svc.intercept_
        if self._n_classes == 2:
            coef, intercept = -coef, -intercept
        return OvOModel(
            support=support,
            n_support=svc.n_support_,
            coef=coef,
            intercept=intercept,
            kernel=kernel,
            center=svc._center,
        )

    def _model_beside(self, samples: Any, kernel: Kernel, precision: Precision) -> OvOModel:
        """Return the model beside samples; that of a device is kept there for the next samples."""
        if is_host(samples):
            return self._model(kernel, self._support(samples, precision))
        svc = self._svc
        settings = kernel, precision, get_device(samples), type(samples)
        arrays = (
            support_vectors(svc), svc._support_sq_norms, svc._center, svc.n_support_,
            svc.dual_coef_, svc.intercept_,
        )  # fmt: skip
        kept = _MODELS.get(svc)
        if kept is None or kept.settings != settings or not _are_same(kept.arrays, arrays):
            forget(svc)
            model = self._model(kernel, self._support(samples, precision))
            kept = _MODELS[svc] = _Kept(settings, arrays, model)
        return kept.model

    def _support(self, samples: Any, precision: Precision) -> SampleBlocks:
        """Return the support vectors beside samples."""
        svc, xp = self._svc, get_namespace(samples)
        dtype = getattr(xp, precision.dtype.name)
        support = support_vectors(svc)
        if is_host(support) or is_host(samples) or get_device(support) != get_device(samples):
            support = move_beside(svc.support_vectors_, samples)
        support = xp.astype(support, dtype, copy=False)
        sq_norms = move_beside(svc._support_sq_norms, samples)
        if svc._center is not None:
            support = support - move_beside(svc._center, samples)
        if svc._support_sq_norms.dtype == precision.dtype:
            return SampleBlocks(support, sq_norms)
        return sample_blocks(support, None)

    def _winners(self, pairwise: Any) -> Any:
        """Return the class of each sample as an index into `classes_`."""
        if self._svc.break_ties and self._n_classes > 2:
            return get_namespace(pairwise).argmax(self._shaped(pairwise), axis=1)
        return winners(pairwise, self._n_classes)

    def _shaped(self, pairwise: Any) -> Any:
        """Return decision values in `decision_function_shape` and SVC's sign."""
        if self._n_classes == 2:
            return -pairwise[:, 0]
        if self._svc.decision_function_shape == "ovo":
            return pairwise
        if not is_host(pairwise):
            return one_vs_rest(pairwise, self._n_classes)
        return _ovr_decision_function(pairwise < 0, -pairwise, self._n_classes)

    def _probabilities(self, pairwise: Any) -> FloatArray:
        """Return the probability of each class."""
        svc = self._svc
        if not hasattr(svc, "probA_"):
            raise NotFittedError(
                f"{type(svc).__name__}: predict_proba is not available when fitted with "
                f"probability=False; fit it again"
            )
        n_workers = count_workers(svc.n_jobs)
        return couple(to_host(pairwise), svc.probA_, svc.probB_, self._n_classes, n_workers)


def support_vectors(svc: "SVC") -> Any:
    """Return the support vectors where they are: on the device, if a fit has left them there."""
    kept = vars(svc).get("_support_there")
    on_host = vars(svc).get("support_vectors_")
    if kept is None or on_host is not kept.on_host:
        return svc.support_vectors_
    return kept.X


def _are_same(some: tuple[Any, ...], others: tuple[Any, ...]) -> bool:
    return all(one is other for one, other in zip(some, others, strict=True))


def kernel_of(svc: "SVC") -> Kernel:
    """Return the kernel of a fitted model, but of one with precomputed values."""
    parameters = {"gamma": svc.gamma_, "degree": svc.degree, "coef0": svc.coef0}
    return make_kernel(svc.kernel, n_odd=svc.n_odd_, **parameters)


def choose_precision(svc: "SVC") -> Precision:
    """Return the fastest precision in which rounding moves decision values little.

    See `svmcifar.svm.rounding`; the most precise there is, if none is precise enough.
    """
    known = _PRECISIONS.get(svc)
    if known is not None and known[:2] == (svc.tol, svc.gamma_) and known[2] is svc.dual_coef_:
        return known[3]
    kernel = kernel_of(svc)
    sq_norms = svc._support_sq_norms.astype(np.float64)
    starts = np.concatenate([[0], np.cumsum(svc.n_support_)])

    def typical() -> float:
        return typical_value(kernel, support_vectors(svc), svc._center)

    first = Precision.FLOAT32 if svc._support_sq_norms.dtype == np.float32 else Precision.FLOAT64
    for precision in (precision for precision in Precision if precision >= first):
        relative = kernel.at(precision).rounding(sq_norms, precision)
        sums = precision.unit_roundoff
        sizes = kernel.sizes(sq_norms)
        doubtful = doubtful_pairs(svc.dual_coef_, starts, relative, sums, svc.tol, typical, sizes)
        if not len(doubtful):
            break
    _PRECISIONS[svc] = (svc.tol, svc.gamma_, svc.dual_coef_, precision)
    return precision
