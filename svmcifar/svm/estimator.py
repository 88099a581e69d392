"""SVC: an exact multiclass kernel SVM as a scikit-learn classifier, and RBFSVC."""

from dataclasses import dataclass, replace
from functools import cached_property, partial
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
import pandas as pd
import sklearn.svm
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, _fit_context, clone
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from svmcifar.compute.arrays import get_dtype, is_host, on_device_of, take_rows, to_host
from svmcifar.compute.memory import parse_bytes
from svmcifar.compute.progress import stage
from svmcifar.compute.threads import count_workers
from svmcifar.svm import validation
from svmcifar.svm.backends.registry import BACKENDS, choose_backend
from svmcifar.svm.both_images import with_mirror_images
from svmcifar.svm.fit_report import report_pairs, unconverged_pairs, warn_of_unsolved_pairs
from svmcifar.svm.kernels.kernel import Kernel
from svmcifar.svm.kernels.precomputed import Precomputed, number_samples
from svmcifar.svm.kernels.registry import KERNELS, make_kernel
from svmcifar.svm.moments import resolve_gamma
from svmcifar.svm.one_vs_one import class_pairs
from svmcifar.svm.out_of_fold import Sigmoids, fit_sigmoids_out_of_fold
from svmcifar.svm.prediction import Predictor, forget
from svmcifar.svm.problem import OvOProblem, OvOSolution, TrainingSet, sort_by_class
from svmcifar.svm.sklearn_export import to_sklearn_svc

Array = NDArray[Any]

# Parameters of scikit-learn's SVC that are taken and have no effect.
WITHOUT_EFFECT = ("shrinking", "cache_size", "random_state")
# Those of kernels, of which "rbf" has none but gamma.
OF_KERNELS = ("kernel", "degree", "coef0")


@dataclass
class SupportThere:
    """Support vectors that a fit has left on its device."""

    X: Any  # (n_SV, n_features)
    on_host: Array | None = None  # once they have been brought there


def _has_probabilities(svc: "SVC") -> bool:
    """Return True; raise AttributeError, with the remedy, if `probability` is False."""
    if not svc.probability:
        raise AttributeError(
            f"{type(svc).__name__} has predict_proba only with probability=True; set it, and fit "
            f"again"
        )
    return True


class SVC(ClassifierMixin, BaseEstimator):
    """Exact multiclass kernel support vector classifier, one-vs-one.

    Solves the same problem as `sklearn.svm.SVC`, over one kernel matrix that all pairs of classes
    share.  Parameters and fitted attributes of the same name are the same.  Left out are kernels
    that are functions, and sparse samples.  float32 samples are fast; for float64
    samples the arithmetic is float64.  The backends "cupy" and "cuml" fit CuPy arrays on the GPU,
    and every model predicts them there; attributes and results are NumPy's.

    Parameters
    ----------
    C : float, default=1.0
        Regularisation: the upper bound of the dual coefficients, > 0; infinity for a hard margin.
    gamma : {"scale", "auto"} or float, default="scale"
        Kernel coefficient, > 0, of all kernels but "linear" and "precomputed".  "scale" is
        ``1 / (n_features * X.var())`` over all of X; "auto" is ``1 / n_features``.
    tol : float, default=1e-3
        Each pair is solved until its KKT gap is at most this (LIBSVM's rule).
    max_iter : int, default=-1
        Largest number of SMO steps a pair; -1 for LIBSVM's own bound.
    class_weight : dict or "balanced", default=None
        Multiplies C for each class; "balanced" is ``n_samples / (n_classes * n_samples_of_class)``.
    decision_function_shape : {"ovr", "ovo"}, default="ovr"
        Whether `decision_function` returns one value a class or one a pair.
    break_ties : bool, default=False
        Whether `predict` breaks tied votes by the one-vs-rest decision values, not by the order of
        classes.
    probability : bool, default=False
        Whether `fit` prepares `predict_proba`: it fits five models more, on four fifths of the
        samples each, for decision values of samples that a model has not seen.
    backend : {"auto", "cupy", "cuml", "numba", "sklearn", "dask"}, default="auto"
        The solver.  "auto" is the fastest that works on this machine and has been measured; the
        GPU's ("cupy", "cuml") have not.  "dask" has "numba" work in the current client's workers
        (`dask.distributed`).
    n_jobs : int, default=None
        Threads; None for all processors (or OMP_NUM_THREADS), -1 for all.  Results do not depend
        on it.
    memory_limit : int or str, default=None
        Limit on what `fit` holds at a time, kernel blocks and a copy of the samples, and on batches
        in prediction on the GPU, in bytes or as "3GB"; None for most of the available memory.
        Where it is tight, other matrix products may change the last digits, or kernel rows are made
        on demand.  Of the GPU's memory it is kernel blocks alone.
    verbose : bool, default=False
        Whether `fit` shows a progress bar over the pairs.
    kernel : {"rbf", "laplacian", "linear", "poly", "sigmoid", "chi2", "precomputed"}, default="rbf"
        "laplacian" is ``exp(-gamma |a - b|_1)``; "poly" is ``(gamma a.b + coef0)^degree``;
        "sigmoid" is ``tanh(gamma a.b + coef0)``; "chi2", of samples that are nowhere negative, is
        ``exp(-gamma sum (a - b)^2 / (a + b))``.  With "precomputed", X is a matrix of kernel
        values against all training samples.
    degree : int, default=3
        Of the kernel "poly", >= 0.
    coef0 : float, default=0.0
        Of the kernels "poly" and "sigmoid".
    shrinking : bool, default=True
        This and those below are taken so that code for scikit-learn's SVC runs; they change
        nothing.
    cache_size : float, default=200
    random_state : int, RandomState or None, default=None

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    support_ : ndarray of shape (n_SV,), int32
        Rows of the support vectors in the training set, sorted by class.
    support_vectors_ : ndarray of shape (n_SV, n_features)
        Empty for "precomputed".
    n_support_ : ndarray of shape (n_classes,), int32
    dual_coef_ : ndarray of shape (n_classes - 1, n_SV), float64
        ``y_i alpha_i``, in the layout and sign of `sklearn.svm.SVC`.
    intercept_ : ndarray of shape (n_pairs,), float64
    coef_ : ndarray of shape (n_pairs, n_features), float64
        Weights of the features, with the kernel "linear" alone; read-only.
    gamma_ : float
        The kernel coefficient in use; 0 for "precomputed".
    class_weight_ : ndarray of shape (n_classes,), float64
    n_iter_ : ndarray of shape (n_pairs,), int32
        SMO steps of each pair.
    gap_ : ndarray of shape (n_pairs,), float64
        Final KKT gap of each pair.
    objective_ : ndarray of shape (n_pairs,), float64
        Dual objective of each pair, as LIBSVM minimises it.
    probA_, probB_ : ndarray of shape (n_pairs,), float64
        With `probability`: the sigmoid ``1 / (1 + exp(A f + B))`` of each pair, f positive for its
        first class, as LIBSVM has it; for more than two classes times one factor of all pairs,
        with which coupled probabilities are calibrated.
    n_odd_ : int
        Of `fit`.
    fit_status_ : int
        0 if every pair has converged, 1 otherwise.
    backend_ : str
        The backend in use; with "dask" that of its workers.
    memory_plan_ : str or None
        How the backend divided its memory; None for "sklearn".
    shape_fit_ : tuple of int
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features,)
        If X has names of features that are all strings.

    References
    ----------
    C.-C. Chang, C.-J. Lin, "LIBSVM: A library for support vector machines", ACM TIST 2 (2011).

    H.-T. Lin, C.-J. Lin and R. C. Weng, "A note on Platt's probabilistic outputs for support
    vector machines", Machine Learning 68 (2007).

    T.-F. Wu, C.-J. Lin and R. C. Weng, "Probability estimates for multi-class classification by
    pairwise coupling", JMLR 5 (2004).

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from svmcifar import SVC
    >>> X, y = load_iris(return_X_y=True)
    >>> SVC(kernel="laplacian", C=1.0).fit(X, y).score(X, y) > 0.95
    True
    """

    __module__ = "svmcifar"  # as in model files, wherever the code lies

    # Newer than the oldest model files, which leave them out, as content hashes do.
    probability = False
    kernel = "rbf"
    degree = 3
    coef0 = 0.0
    shrinking = True
    cache_size = 200.0
    random_state = None
    n_odd_ = 0

    _parameter_constraints = {  # noqa: RUF012 (scikit-learn's own form)
        "C": [Interval(Real, 0.0, None, closed="right")],
        "gamma": [StrOptions({"scale", "auto"}), Interval(Real, 0.0, None, closed="neither")],
        "tol": [Interval(Real, 0.0, None, closed="neither")],
        "max_iter": [Interval(Integral, 1, None, closed="left"), Options(Integral, {-1})],
        "class_weight": [StrOptions({"balanced"}), dict, None],
        "decision_function_shape": [StrOptions({"ovr", "ovo"})],
        "break_ties": ["boolean"],
        "probability": ["boolean"],
        "backend": [StrOptions({"auto", *BACKENDS})],
        "n_jobs": [Integral, None],
        "memory_limit": [Interval(Integral, 1, None, closed="left"), str, None],
        "verbose": ["verbose"],
        "kernel": [StrOptions(set(KERNELS))],
        "degree": [Interval(Integral, 0, None, closed="left")],
        "coef0": [Interval(Real, None, None, closed="neither")],
        "shrinking": ["boolean"],
        "cache_size": [Interval(Real, 0.0, None, closed="neither")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        *,
        C: float = 1.0,
        gamma: float | str = "scale",
        tol: float = 1e-3,
        max_iter: int = -1,
        class_weight: dict | str | None = None,
        decision_function_shape: str = "ovr",
        break_ties: bool = False,
        probability: bool = False,
        backend: str = "auto",
        n_jobs: int | None = None,
        memory_limit: int | str | None = None,
        verbose: bool = False,
        kernel: str = "rbf",
        degree: int = 3,
        coef0: float = 0.0,
        shrinking: bool = True,
        cache_size: float = 200.0,
        random_state: Any = None,
    ) -> None:
        self.C = C
        self.gamma = gamma
        self.tol = tol
        self.max_iter = max_iter
        self.class_weight = class_weight
        self.decision_function_shape = decision_function_shape
        self.break_ties = break_ties
        self.probability = probability
        self.backend = backend
        self.n_jobs = n_jobs
        self.memory_limit = memory_limit
        self.verbose = verbose
        self.kernel = kernel
        self.degree = degree
        self.coef0 = coef0
        self.shrinking = shrinking
        self.cache_size = cache_size
        self.random_state = random_state

    def _content(self) -> dict[str, Any]:
        """Return what content hashes cover: a solver, but not whether Dask's workers ran it."""
        content = self.__getstate__()
        if self.backend == "dask" and "backend_" in content:
            content["backend"] = self.backend_
        return content

    def __getstate__(self) -> dict[str, Any]:
        """Return what copies and files hold: arrays of the host alone."""
        if "_support_there" in vars(self):
            _ = self.support_vectors_
        state = dict(super().__getstate__())
        state.pop("_support_there", None)
        return state

    def __sklearn_tags__(self) -> Any:
        """Return scikit-learn's tags: what X must be for the kernel."""
        tags = super().__sklearn_tags__()
        tags.input_tags.pairwise = self.kernel == "precomputed"
        kind = KERNELS.get(self.kernel) if isinstance(self.kernel, str) else None
        tags.input_tags.positive_only = kind is not None and kind.needs_nonnegative
        return tags

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        n_views: int = 1,
        n_odd: int = 0,
    ) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), float32 or float64
            On the host, or a CuPy array for the GPU's backends.  For the kernel "precomputed",
            kernel values of shape (n_samples, n_samples).  "numba" and "dask" copy parts alone of
            an array that is memory-mapped (`numpy.memmap`), so that it may be larger than the
            memory; the model holds its support vectors.
        y : array-like of shape (n_samples,)
            Class labels; these and the weights on the host, or where X is.
        sample_weight : array-like of shape (n_samples,), default=None
            Multiplies C for each sample, >= 0; samples of weight 0 are left out, and classes that
            have no others.  For probabilities a sample counts so many times; class weights do not
            count there.
        n_views : int, default=1
            For probabilities: successive rows of X that show the same sample, as in
            `predict_proba`.
        n_odd : int, default=0
            Number of the last features of X that a reflection of samples negates, such as the odd
            parts of images under mirroring.  If it is not 0 the model is, with the kernel "rbf",
            the one of samples and mirror images, which are not computed: decision values, gamma
            and C are those of twice as many rows, and both have the coefficient in `dual_coef_`
            (`objective_` is half of theirs).

        Raises
        ------
        InputError
            If X has NaN, infinite or too large values, or such that the kernel does not take; if
            fewer than two classes have a sample of
            positive weight, or if X is on the GPU and the backend, y or the weights are not; with
            `probability`, if views are incomplete or of several classes; if there are not `n_odd`
            features, or the kernel or the backend cannot imply mirror images.
        MemoryLimitError
            If not even a few kernel rows of the largest pair fit the memory limit.
        BackendUnavailableError
            If the backend does not work on this machine.

        Warns
        -----
        ConvergenceWarning
            If pairs end with a gap above `tol`, as they do at `max_iter`.
        """
        # On a copy, so that a fit that fails leaves the estimator as it was.
        fitted = type(self).__new__(type(self))
        fitted.__dict__ = {
            name: value
            for name, value in vars(self).items()
            if not (name.endswith("_") or name == "_support_there")
        }
        forget(self)
        with on_device_of(X):
            fitted._fit(X, y, sample_weight, n_views, n_odd)
        warn_of_unsolved_pairs(fitted)
        self.__dict__ = fitted.__dict__
        return self

    def _fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None,
        n_views: int = 1,
        n_odd: int = 0,
    ) -> Self:
        """Set the fitted attributes one after the other, without a warning of unsolved pairs."""
        backend = choose_backend(self.backend)
        limit_bytes = None if self.memory_limit is None else parse_bytes(self.memory_limit)
        backend.require_place_of(X)
        samples, labels = validation.read_training_set(self, X, y)
        validation.require_odd_features(n_odd, samples.shape[1], self.kernel)
        check_classification_targets(labels)
        weight = validation.read_sample_weight(sample_weight, X, labels)
        training = sort_by_class(samples, labels, self.class_weight, self.C, weight, n_odd)
        if n_odd:
            self.n_odd_ = int(n_odd)
        kernel, gamma = self._make_kernel(training)
        sigmoids = self._fit_sigmoids(training, gamma, n_views) if self.probability else None
        if isinstance(kernel, Precomputed):
            numbers = number_samples(np.arange(samples.shape[0]), samples)
            training = replace(training, X=numbers.X)
        (problem,) = training.problems(
            [(training.X.shape[1], kernel)], self.C, self.tol, self.max_iter
        )
        n_pairs = problem.n_classes * (problem.n_classes - 1) // 2
        with stage("pairs", n_pairs, "pairs", bar=self.verbose) as solving:
            solution = backend.load()(
                problem,
                n_workers=count_workers(self.n_jobs),
                memory_limit_bytes=limit_bytes,
                progress=solving.advance,
            )
        self.backend_ = backend.solver() if backend.solver else backend.name
        self.shape_fit_, self.gamma_ = samples.shape, gamma
        self._keep_solution(training, problem, solution)
        self._keep_sigmoids(sigmoids)
        del problem  # the samples in it are a copy, and the support vectors need room
        if isinstance(kernel, Precomputed):
            self.support_vectors_ = np.empty((0, 0), dtype=get_dtype(samples))
        elif is_host(samples):
            self.support_vectors_ = to_host(take_rows(samples, self.support_))
        else:
            self._support_there = SupportThere(take_rows(samples, self.support_))
        return self

    def predict(self, X: ArrayLike) -> Array:
        """Predict the class of each sample by the pairs' votes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            On the host, or a CuPy array, whose kernel values are computed on the GPU.

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        return Predictor(self).predict(X)

    def decision_function(self, X: ArrayLike) -> Array:
        """Compute decision values of X, as for `predict`.

        Returns
        -------
        ndarray, float64
            Of shape (n_samples,) for two classes, positive for the second; otherwise
            (n_samples, n_classes) for "ovr", votes plus a bounded sum of margins, or
            (n_samples, n_pairs) for "ovo".
        """
        return Predictor(self).decision_function(X)

    def predict_with_decisions(self, X: ArrayLike, *, n_views: int = 1) -> tuple[Array, Array]:
        """Compute `predict` and `decision_function` of X in one pass over the kernel.

        Parameters
        ----------
        X : array-like of shape (n_samples * n_views, n_features)
            As for `predict`.
        n_views : int, default=1
            Successive rows of X that show the same sample (test-time augmentation): the pairs'
            decision values are averaged over them before they vote.

        Returns
        -------
        classes : ndarray of shape (n_samples,)
        decisions : ndarray
            As from `decision_function`.

        Raises
        ------
        InputError
            If the last sample has fewer views than the others.
        """
        return Predictor(self).predict_with_decisions(X, n_views)

    @available_if(_has_probabilities)
    def predict_proba(self, X: ArrayLike, *, n_views: int = 1) -> Array:
        """Compute the probability of each class, which need not be largest for `predict`'s.

        The pairs' sigmoids, fitted on decision values of training samples by models that had not
        seen them, are coupled; the answer of `predict` is that of the pairs' votes.

        Parameters
        ----------
        X : array-like of shape (n_samples * n_views, n_features)
            As for `predict`.
        n_views : int, default=1
            As for `predict_with_decisions`.

        Returns
        -------
        ndarray of shape (n_samples, n_classes), float64
            Above 0; rows sum to 1.

        Raises
        ------
        NotFittedError
            If the last fit was one without `probability`.
        """
        return Predictor(self).predict_proba(X, n_views)

    @available_if(_has_probabilities)
    def predict_log_proba(self, X: ArrayLike, *, n_views: int = 1) -> Array:
        """Compute the logarithms of `predict_proba`."""
        return np.log(self.predict_proba(X, n_views=n_views))

    @available_if(_has_probabilities)
    def predict_with_probabilities(
        self, X: ArrayLike, *, n_views: int = 1
    ) -> tuple[Array, Array, Array]:
        """Compute `predict`, `decision_function` and `predict_proba` in one pass over the kernel.

        Arguments, results and errors are those of `predict_with_decisions` and `predict_proba`.
        """
        return Predictor(self).predict_with_probabilities(X, n_views)

    def pair_report(self) -> pd.DataFrame:
        """Return how each pair was solved: a row a pair.

        Its columns are ``class_a``, ``class_b``, ``n_iter``, ``gap``, ``objective``, ``converged``.
        """
        check_is_fitted(self)
        return report_pairs(self)

    def to_sklearn(self) -> sklearn.svm.SVC:
        """Build a fitted `sklearn.svm.SVC` with the same decision values and float64 samples.

        The kernels "laplacian" and "chi2" are scikit-learn's functions, and its training set is the
        support vectors.  Mirror images that a model implies are support vectors there.
        """
        check_is_fitted(self)
        return to_sklearn_svc(with_mirror_images(self))

    @cached_property
    def support_vectors_(self) -> Array:
        """The support vectors; where a fit has left them on a device, they are brought here."""
        there = vars(self).get("_support_there")
        if there is None:
            raise AttributeError(
                f"{type(self).__name__!r} object has no attribute 'support_vectors_'"
            )
        there.on_host = to_host(there.X)
        return there.on_host

    @property
    def fit_status_(self) -> int:
        """0 if every pair has converged, 1 otherwise."""
        return int(unconverged_pairs(self).any())

    @property
    def _gamma(self) -> float:
        """`gamma_` by scikit-learn's private name, which other libraries read."""
        return self.gamma_

    @property
    def _n_support(self) -> Array:
        """`n_support_` by scikit-learn's private name."""
        return self.n_support_

    @property
    def coef_(self) -> Array:
        """Weights of the features in each pair's decision, in scikit-learn's sign.

        Raise AttributeError for other kernels than "linear", which have none.
        """
        if self.kernel != "linear":
            raise AttributeError(
                f"{type(self).__name__} has no coef_, which a linear kernel alone has; "
                f"use sklearn.inspection.permutation_importance"
            )
        check_is_fitted(self)
        ends = np.cumsum(self.n_support_)
        support = self.support_vectors_.astype(np.float64, copy=False)
        # Row r of a class's own is what its support vectors add to its pair r.
        own = [
            self.dual_coef_[:, end - n : end] @ support[end - n : end]
            for end, n in zip(ends, self.n_support_, strict=True)
        ]
        weights = np.array([own[a][b - 1] + own[b][a] for a, b in class_pairs(len(ends))])
        weights.flags.writeable = False  # predictions do not follow it
        return weights

    def _make_kernel(self, training: TrainingSet) -> tuple[Kernel, float]:
        """Return the kernel with its coefficient; raise InputError if it does not take the samples.

        The coefficient is scikit-learn's also where the kernel has none.
        """
        X = training.X
        if self.kernel == "precomputed":
            validation.require_square(X)
            return Precomputed(X), 0.0
        if KERNELS[self.kernel].needs_nonnegative:
            validation.require_nonnegative(X, self.kernel)
        gamma = resolve_gamma(self.gamma, X.shape[1], training.moments.variance)
        parameters = {"gamma": gamma, "degree": self.degree, "coef0": self.coef0}
        return make_kernel(self.kernel, n_odd=self.n_odd_, **parameters), gamma

    def _fit_sigmoids(self, training: TrainingSet, gamma: float, n_views: int) -> Sigmoids:
        """Fit the pairs' sigmoids out of fold, with the gamma and class weights of all samples."""
        model = clone(self).set_params(
            gamma=gamma,
            class_weight=dict(enumerate(training.class_weight)),
            probability=False,
            decision_function_shape="ovr",
            break_ties=False,
        )
        is_pairwise = self.kernel == "precomputed"
        fit_fold = partial(model._fit, n_odd=self.n_odd_)
        return fit_sigmoids_out_of_fold(
            training, fit_fold, n_views, self.n_jobs, is_pairwise=is_pairwise
        )

    def _keep_sigmoids(self, sigmoids: Sigmoids | None) -> None:
        """Set the sigmoids' attributes, or remove those of an earlier fit."""
        for name in ("probA_", "probB_"):
            self.__dict__.pop(name, None)
        if sigmoids is not None:
            self.probA_, self.probB_ = sigmoids

    def _keep_solution(
        self, training: TrainingSet, problem: OvOProblem, solution: OvOSolution
    ) -> None:
        """Set the fitted attributes, in scikit-learn's signs."""
        is_support = (solution.coef != 0).any(axis=0)
        sign = -1.0 if problem.n_classes == 2 else 1.0
        self.classes_ = training.classes
        self.class_weight_ = training.class_weight
        self.support_ = training.order[is_support].astype(np.int32)
        self.n_support_ = np.add.reduceat(is_support, problem.starts[:-1]).astype(np.int32)
        self.dual_coef_ = np.ascontiguousarray(solution.coef[:, is_support])
        self.dual_coef_ *= sign
        self.intercept_ = sign * solution.intercept
        self.n_iter_ = solution.n_iter.astype(np.int32)
        self.gap_ = solution.gap
        self.objective_ = solution.objective
        self.memory_plan_ = solution.memory_plan
        # Prediction also needs how samples were prepared.
        self._center = training.center(problem.kernel)
        self._support_sq_norms = to_host(problem.samples.sq_norms)[is_support]


class RBFSVC(SVC):
    """`SVC` with the RBF kernel alone, ``exp(-gamma |a - b|^2)``, which suits most data.

    It has the parameters, attributes and methods of `SVC`; `kernel`, `degree` and `coef0` must keep
    their defaults.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from svmcifar import RBFSVC
    >>> X, y = load_iris(return_X_y=True)
    >>> RBFSVC(C=1.0).fit(X, y).score(X, y) > 0.95
    True
    """

    __module__ = "svmcifar"  # as in model files

    def _validate_params(self) -> None:
        """Check the parameters, as every method of scikit-learn's estimators does first."""
        validation.require_rbf(kernel=self.kernel, degree=self.degree, coef0=self.coef0)
        super()._validate_params()
