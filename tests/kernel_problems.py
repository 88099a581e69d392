"""Problems for each kernel, and fitted models held against scikit-learn's by float64 values.

What tol allows is derived in parity.py for kernels with values up to 1.  Here |phi(x)| is the root
of k(x, x), and errors of kernel values are relative to the largest of them.  Where the kernel
matrix has an eigenvalue -l the objective is less than convex by ``l |d|^2 / 2``, for the difference
d of two solutions.
"""

from dataclasses import replace
from functools import partial

import numpy as np
from parity import is_certain
from problems import random_problem
from reference import gap, objective
from sklearn.metrics.pairwise import pairwise_kernels
from sklearn.svm import SVC as LIBSVM

from svmcifar import SVC

# "precomputed" is of the values of the Laplacian kernel.
NAMES = ("linear", "poly", "sigmoid", "laplacian", "chi2")
_ROUNDING = 2.0**-23


def kernel_values(name, A, B, gamma, degree, coef0):
    """scikit-learn's own kernels, in float64."""
    parameters = {"gamma": gamma, "degree": degree, "coef0": coef0}
    return pairwise_kernels(
        A.astype(np.float64), B.astype(np.float64), name, filter_params=True, **parameters
    )


def values_of(model, A, B):
    """The kernel of a fitted model."""
    return kernel_values(model.kernel, A, B, model.gamma_, model.degree, model.coef0)


def kernel_problem(name, number):
    """Make problem `number` for a kernel: as `random_problem`, with another C.

    It is no more than 1 for kernels of low rank, on which LIBSVM takes 300 million steps for a
    larger one: the rounding of its kernel values gives them another rank.
    """
    problem = random_problem(number)
    most = {"linear": 0, "poly": 0, "sigmoid": 1}.get(name, 2)
    params = problem.params | {
        "C": 10.0 ** (most - 3 * (number * 23 % 57) / 56),
        "kernel": name,
        "degree": 2 + number % 3,
        "coef0": number % 2 / 2,
    }
    if name == "sigmoid":  # positive semidefinite but for a little
        params |= {"gamma": 0.01 / problem.X.shape[1], "coef0": 0.0}
    if name == "poly":
        params["gamma"] = 0.3 / problem.X.shape[1]
    if name == "chi2":
        problem = replace(problem, X=np.abs(problem.X), Z=np.abs(problem.Z))
    problem = replace(problem, params=params)
    return problem.astype(np.float32 if number // 2 % 2 else np.float64)


def fit_libsvm(problem, gamma, tol):
    """Fit scikit-learn's SVC, with a function for kernels that it lacks.

    Without samples of weight 0: it miscounts the columns of precomputed values where there are any.
    """
    kept, params = problem.kept, problem.params | {"tol": tol}
    name, params["gamma"] = params["kernel"], gamma
    if name in ("laplacian", "chi2"):
        params["kernel"] = partial(kernel_values, name, gamma=gamma, degree=0, coef0=0)
    sizes = np.bincount(problem.y)
    if params.get("class_weight") == "balanced":
        weights = len(problem.y) / (len(sizes) * sizes)
        params["class_weight"] = dict(enumerate(weights))
    weight = None if problem.sample_weight is None else problem.sample_weight[kept]
    X = problem.X[kept].astype(np.float64)
    return LIBSVM(**params).fit(X, problem.y[kept], weight)


def assert_same_model(problem, tol=1e-6, **settings):
    """Assert that our model is LIBSVM's, and its own claims; return it."""
    problem = replace(problem, params=problem.params | {"tol": tol})
    ours = problem.fit(SVC, **settings)
    theirs = fit_libsvm(problem, ours.gamma_, tol)
    K = values_of(ours, problem.X, problem.X)
    phi = np.sqrt(np.abs(values_of(ours, problem.Z, problem.Z)).max())
    size = np.abs(K).max()
    our_values, their_values = problem.decisions(ours), problem.decisions(theirs)
    band = np.empty(their_values.shape[1])
    betas = zip(problem.betas(ours), problem.betas(theirs), strict=True)
    for p, ((_, _, rows, y, upper), (beta, other)) in enumerate(
        zip(problem.pairs(), betas, strict=True)
    ):
        K_pair, mass = K[np.ix_(rows, rows)], np.abs(beta).sum()
        moved = np.abs(beta - other).sum()
        bend = max(0.0, -np.linalg.eigvalsh(K_pair)[0]) * np.square(beta - other).sum()
        error = _ROUNDING * size * mass  # of LIBSVM's gradient: its kernel values are float32
        assert ((y * beta >= 0) & (y * beta <= upper)).all()
        assert abs(beta.sum()) <= 1e-12 * mass
        assert ours.gap_[p] <= 1.1 * tol
        assert gap(K_pair, y, beta, upper) <= 1.8 * tol + 1e-12 * mass * size
        mine, reference = objective(K_pair, y, beta), objective(K_pair, y, other)
        allowed = (tol + error) * moved + bend / 2 + 1e-12 * (mass + size * mass**2)
        np.testing.assert_allclose(mine, reference, rtol=0, atol=allowed)
        np.testing.assert_allclose(mine, reference, rtol=1e-5)
        np.testing.assert_allclose(ours.objective_[p], mine, rtol=1e-9, atol=error * mass)
        band[p] = 2 * (phi * np.sqrt((tol + error) * moved + bend) + tol + error)
        bounded = np.where(y * beta > upper / 2, y * upper, 0.0)
        if np.abs(beta - bounded).sum() <= 1e-6 * mass:  # any intercept within the gap is optimal
            band[p] += max(-gap(K_pair, y, bounded, upper), 0)
        np.testing.assert_allclose(our_values[:, p], their_values[:, p], rtol=0, atol=band[p])
    predicted = theirs.predict(problem.Z)
    certain = is_certain(predicted, len(theirs.classes_), their_values, band)
    np.testing.assert_array_equal(ours.predict(problem.Z)[certain], predicted[certain])
    return ours, certain.mean(), band
