"""Leave-one-out scores of kernel ridge regression as features (stacking)."""

from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import gen_batches
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from svmcifar.compute.arrays import get_namespace, is_host, move_beside, to_host
from svmcifar.compute.cholesky import (
    PANEL,
    LowerTriangle,
    factorise,
    inverse_blocks,
    solve,
    triangle_bytes,
    working_bytes,
)
from svmcifar.compute.memory import default_memory_limit, format_bytes, format_least, parse_bytes
from svmcifar.compute.progress import stage
from svmcifar.errors import InputError, MemoryLimitError
from svmcifar.features.parameters import validate_parameters
from svmcifar.svm.kernels.blocks import BLOCK, compute_kernel, kernel_block
from svmcifar.svm.kernels.invariant_rbf import InvariantRBF
from svmcifar.svm.kernels.kernel import Kernel
from svmcifar.svm.kernels.rbf import RBF
from svmcifar.svm.moments import kernel_center, moments, resolve_gamma
from svmcifar.svm.samples import SampleBlocks, sample_blocks

_BATCH_ROWS = 1000

Array = NDArray[np.floating]
FloatArray = NDArray[np.float64]


class KernelRidgeScores(TransformerMixin, BaseEstimator):
    """Prepend leave-one-out kernel ridge scores, one for each class, to the features (stacking).

    As `RidgeScores`, by a regression with the RBF kernel on all samples, and an intercept that is
    not penalised.  `fit_transform` scores each image by the regression on all others, which takes
    no folds: scores and their errors follow from the inverse of the kernel matrix alone.  So it is
    not ``fit(X, y).transform(X)``.  Fitting takes ``2 n^3 / 3`` operations and ``2 n^2`` bytes for
    n samples, on the host.

    Parameters
    ----------
    weight : float, default=0.8
        The scores are scaled so that their total variance is ``weight ** 2`` times that of the
        features; > 0.
    penalty : float, default=0.02
        Added to the diagonal of the kernel matrix, whose values are at most 1; > 0.
    gamma : "scale" or float, default="scale"
        Of the kernel ``k(a, b) = exp(-gamma |a - b|^2)``, > 0; "scale" as in `SVC`.
    n_odd : int, default=0
        Number of the last features, which mirroring an image negates, while it changes no other:
        with any, the kernel is ``(k(a, b) + k(a, M b)) / 2`` for mirror images M b, and the
        regression is that on samples and mirror images.
    memory_limit : int or str, default=None
        Most memory to use, in bytes or such as ``"3GB"``; None for nine tenths of what is
        available.

    Attributes
    ----------
    samples_ : ndarray of shape (n_samples, n_features), float32
        Samples of `fit`, less `center_`.
    sq_norms_ : ndarray of shape (n_samples,), float32
        Their squared norms.
    center_ : ndarray of shape (n_features,), float32, or None
        What is subtracted from samples, which would lose digits far from the origin.
    gamma_ : float
    coef_ : ndarray of shape (n_samples, n_classes), float32
        Coefficients of kernel values, ``k(a, b) + k(a, M b)`` with `n_odd`.
    intercept_ : ndarray of shape (n_classes,), float32
    scale_ : float
        Scores of a class that is certain; coefficients are scaled by it too.
    codes_ : ndarray of shape (n_images,), int32
        Each image's class, by its place among all labels.
    inverse_blocks_ : ndarray of shape (n_images, n_views, n_views), float32
        Blocks of the inverse of the equations' matrix, one for the views of each image.

    References
    ----------
    G. Cawley, N. Talbot, "Fast exact leave-one-out cross-validation of sparse least-squares support
    vector machines", Neural Networks 17 (2004).

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    >>> KernelRidgeScores().fit_transform(X, np.arange(60) % 3).shape
    (60, 7)
    """

    __module__ = "svmcifar.features"  # as in model files, wherever the code lies

    _parameter_constraints = {  # noqa: RUF012 (scikit-learn's own form)
        "weight": [Interval(Real, 0.0, None, closed="neither")],
        "penalty": [Interval(Real, 0.0, None, closed="neither")],
        "gamma": [StrOptions({"scale"}), Interval(Real, 0.0, None, closed="neither")],
        "n_odd": [Interval(Integral, 0, None, closed="left")],
        "memory_limit": [Interval(Integral, 1, None, closed="left"), str, None],
    }

    def __init__(
        self,
        weight: float = 0.8,
        *,
        penalty: float = 0.02,
        gamma: float | str = "scale",
        n_odd: int = 0,
        memory_limit: int | str | None = None,
    ) -> None:
        self.weight = weight
        self.penalty = penalty
        self.gamma = gamma
        self.n_odd = n_odd
        self.memory_limit = memory_limit

    def fit(self, X: Any, y: NDArray[Any], n_views: int = 1) -> "KernelRidgeScores":
        """Fit the regression.

        Parameters
        ----------
        X : array of shape (n_images * n_views, n_features), float32
            On the host or on a device; it is kept.
        y : ndarray of shape (n_images,)
            Labels.
        n_views : int, default=1
            Consecutive rows of X that show the same image: they are left out together.

        Raises
        ------
        InputError
            If there are fewer than two images or not a label for each, a parameter is invalid, or
            the penalty is too small for the matrix to be positive definite in float32.
        MemoryLimitError
            If the matrix does not fit the memory limit.
        """
        validate_parameters(self)
        if len(y) < 2 or X.shape[0] != n_views * len(y) or self.n_odd > X.shape[1]:
            raise InputError(
                f"KernelRidgeScores needs at least two images, a label for each, and all odd "
                f"features among those there are. Got {X.shape[0]} rows, {n_views} of an image, "
                f"{len(y)} labels, and {self.n_odd} odd of {X.shape[1]} features."
            )
        labels, codes = np.unique(y, return_inverse=True)
        here = to_host(X)
        found = moments(here)
        variance = found.mean_sq_norm - float(np.square(found.mean).sum())
        if self.n_odd:
            found = found.of_both_images(self.n_odd)
        center = kernel_center(found, here.dtype)
        is_copied = center is not None or not is_host(X)
        copied_bytes = here.nbytes if is_copied else 0
        self.require_memory(len(y), len(labels), n_views, copied_bytes=copied_bytes)
        self.gamma_ = resolve_gamma(self.gamma, X.shape[1], found.variance)
        self.codes_ = codes.astype(np.int32)
        samples = sample_blocks(here, center)
        A = self._equations(samples, n_views)
        shares = np.bincount(codes) / len(codes)
        targets = _centred_indicators(np.repeat(codes, n_views), shares)
        factorise(A)
        solve(A, targets)
        blocks = inverse_blocks(A)
        del A
        coef, offset, blocks = _with_intercept(targets, blocks)
        intercept = shares + offset
        self.scale_ = 1.0
        spread = float(_leave_out(coef, blocks, self.codes_).var(axis=0).sum())
        if spread > 0:
            self.scale_ = self.weight * (max(variance, 0.0) / spread) ** 0.5
        self.center_ = None if center is None else move_beside(center, X)
        self.samples_ = X if center is None else move_beside(samples.X, X)
        self.sq_norms_ = move_beside(samples.sq_norms, X)
        self.coef_, self.intercept_, self.inverse_blocks_ = (
            move_beside(array.astype(np.float32), X)
            for array in (coef * self.scale_, intercept * self.scale_, blocks)
        )
        return self

    def fit_transform(self, X: Any, y: NDArray[Any], n_views: int = 1) -> Any:
        """Fit the regression and score every image without itself, as by `transform_training`."""
        return self.fit(X, y, n_views).transform_training(X)

    def transform_training(self, X: Any) -> Any:
        """Score the samples of `fit`, each by the regression without its image; as `transform`.

        Raise InputError if the number of samples differs from `fit`.
        """
        check_is_fitted(self)
        if X.shape[0] != self.samples_.shape[0]:
            raise InputError(
                f"Leave-one-out scores are those of the {self.samples_.shape[0]} samples that "
                f"KernelRidgeScores was fitted on. Got {X.shape[0]} samples instead. Use "
                f"'transform' for others."
            )
        coef, blocks, codes = map(to_host, (self.coef_, self.inverse_blocks_, self.codes_))
        scores = _leave_out(coef, blocks, codes, self.scale_).astype(np.float32)
        return _prepended(move_beside(scores, X), X)

    def transform(self, X: Any) -> Any:
        """Score new samples X, on the host or on the device of `fit`.

        The result has shape (n_samples, n_classes + n_features), float32: scores first.
        """
        check_is_fitted(self)
        kernel, samples = self._kernel(), SampleBlocks(self.samples_, self.sq_norms_)
        batches = (X[rows, :] for rows in gen_batches(X.shape[0], _BATCH_ROWS))
        scores = [
            kernel_block(kernel, sample_blocks(rows, self.center_), samples) @ self.coef_
            for rows in batches
        ]
        return _prepended(get_namespace(X).concat(scores) + self.intercept_, X)

    def _kernel(self) -> Kernel:
        return InvariantRBF(self.gamma_, self.n_odd) if self.n_odd else RBF(self.gamma_)

    def _equations(self, samples: SampleBlocks, n_views: int) -> LowerTriangle:
        """Compute the kernel matrix with the penalty on its diagonal."""
        kernel, A = self._kernel(), LowerTriangle(len(samples), block=n_views)
        # The kernel of both images is not divided by 2, so the penalty is twice as large.
        on_diagonal = kernel.diagonal(samples) + self.penalty * kernel.n_products
        with stage("kernel matrix", len(A.panels), "panels") as under_way:
            for panel, diagonal in zip(A.panels, A.diagonals(), strict=True):
                own = samples[panel.rows]
                compute_kernel(kernel, own, samples[: panel.rows.start], out=panel.left)
                compute_kernel(kernel, own, own, out=panel.diagonal)
                diagonal[...] = on_diagonal[panel.rows]
                under_way.advance()
        return A

    def require_memory(
        self, n_images: int, n_classes: int, n_views: int = 1, *, copied_bytes: int = 0
    ) -> None:
        """Raise MemoryLimitError if `fit` needs more than the limit for so many images.

        `copied_bytes` are those of a copy of the samples.
        """
        limit = (
            default_memory_limit() if self.memory_limit is None else parse_bytes(self.memory_limit)
        )
        n = n_images * n_views
        targets = 4 * n * (n_classes + 1)
        products = 4 * (2 if self.n_odd else 1) * min(n, PANEL) * min(n, BLOCK)
        working = working_bytes(n, n_classes + 1, block=n_views) + targets
        least = triangle_bytes(n, block=n_views) + max(products, working)
        # When the triangle is gone there are the scores and their parts, in float64.
        least = max(least, 10 * targets) + copied_bytes
        if limit is not None and limit < least:
            raise MemoryLimitError(
                f"The memory limit must be at least {format_least(least)} for the kernel matrix of "
                f"{n} samples. Got {format_bytes(limit)} instead. Raise it, or train on fewer "
                f"samples."
            )


def _prepended(scores: Any, X: Any) -> Any:
    return get_namespace(X).concat([scores, X], axis=1)


def _centred_indicators(codes: NDArray[np.intp], shares: FloatArray) -> NDArray[np.float32]:
    """Return the classes' indicators less their shares, with a column of ones after them."""
    targets = np.empty((len(codes), len(shares) + 1), dtype=np.float32)
    targets[:, :-1], targets[:, -1] = -shares, 1.0
    targets[np.arange(len(codes)), codes] += 1.0
    return targets


def _with_intercept(
    solution: NDArray[np.float32], blocks: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Solve ``A a + b = Y`` with ``sum(a) = 0``, from the solutions of ``A s = Y`` and ``A s = 1``.

    `blocks` are those on the diagonal of the inverse of A.  Return coefficients a, intercepts b and
    the blocks of the inverse of the whole system.
    """
    ones = solution[:, -1].astype(np.float64)
    offset = solution[:, :-1].sum(axis=0, dtype=np.float64) / ones.sum()
    of_views = ones.reshape(len(blocks), -1)
    outer = of_views[:, :, None] * of_views[:, None, :]
    return solution[:, :-1] - ones[:, None] * offset, offset, blocks - outer / ones.sum()


def _leave_out(
    coef: Array, blocks: Array, codes: NDArray[np.int32], scale: float = 1.0
) -> FloatArray:
    """Return the leave-one-out scores of all samples, (n, n_classes).

    The errors of the samples that are left out are ``inverse(blocks) a``, for the block of the
    inverse that is theirs and their coefficients a.
    """
    n_images, n_views, _ = blocks.shape
    own = coef.reshape(n_images, n_views, -1).astype(np.float64)
    scores: FloatArray = np.negative(np.linalg.solve(blocks.astype(np.float64), own))
    scores[np.arange(n_images), :, codes] += scale
    return scores.reshape(coef.shape)
