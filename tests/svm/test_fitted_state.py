"""Fitted attributes that no fit leaves are seen."""

import copy

import numpy as np
import pytest
from problems import training_set
from sklearn.datasets import make_classification

from svmcifar import SVC
from svmcifar.svm.fitted_state import check_fitted_state, check_support_vectors


def fitted(n_classes=3, **settings):
    X, y = make_classification(60, 6, n_informative=5, n_redundant=0, n_classes=n_classes,
                               n_clusters_per_class=1, random_state=0)  # fmt: skip
    if settings.get("kernel") == "precomputed":
        X = X @ X.T
    if settings.get("kernel") == "chi2":
        X = np.abs(X)
    return SVC(**settings).fit(X.astype(np.float32), y)


def check(svc):
    check_fitted_state(svc)
    check_support_vectors(svc)


@pytest.mark.parametrize("kernel", ["rbf", "linear", "poly", "sigmoid", "chi2", "precomputed"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_what_a_fit_leaves_is_taken(kernel, n_classes):
    check(fitted(n_classes, kernel=kernel))


def test_other_labels_weights_and_probabilities_are_taken():
    X, y = training_set()
    weight = np.ones(len(y))
    weight[::3] = 0
    names = np.array(["cat", "dog", "emu", "fox", "gnu"])[y % 5]
    check(SVC(class_weight="balanced", probability=True).fit(X, names, sample_weight=weight))
    check(SVC(class_weight={0: 1e-9}).fit(X, y % 2))


def put(name, change):
    """Return what replaces an attribute by a changed copy."""

    def forge(svc):
        setattr(svc, name, change(copy.deepcopy(getattr(svc, name))))

    return forge


def at(place, value):
    def change(array):
        array[place] = value
        return array

    return change


@pytest.mark.parametrize(
    ("forge", "named"),
    [
        (put("C", lambda C: -1.0), "'C' parameter"),
        (put("tol", lambda tol: "small"), "'tol' parameter"),
        (put("classes_", lambda classes: classes[:1]), "classes_"),
        (put("classes_", at(1, 0)), "classes_"),
        (put("n_support_", lambda n: -n), "n_support_"),
        (put("n_support_", lambda n: n.astype(float)), "n_support_"),
        (put("n_support_", lambda n: n[:-1]), "n_support_"),
        (put("n_support_", lambda n: n.astype(">i4")), "n_support_"),
        (put("n_support_", lambda n: n + 1), "support_"),
        (put("support_", at(0, 60)), "support_"),
        (put("support_", at(0, -1)), "support_"),
        (put("dual_coef_", at((0, 0), np.nan)), "dual_coef_"),
        (put("dual_coef_", lambda coef: coef.T), "dual_coef_"),
        (put("dual_coef_", lambda coef: coef.astype("f2")), "dual_coef_"),
        (put("dual_coef_", lambda coef: -coef), "dual_coef_"),
        (put("intercept_", at(0, np.inf)), "intercept_"),
        (put("intercept_", lambda b: b[:-1]), "intercept_"),
        (put("gamma_", lambda gamma: -gamma), "gamma_"),
        (put("gamma_", lambda gamma: np.nan), "gamma_"),
        (put("n_odd_", lambda n: 7), "n_odd_"),
        (put("n_odd_", lambda n: 1.0), "n_odd_"),
        (put("probA_", at(0, np.nan)), "probA_"),
        (put("probB_", lambda b: b[:-1]), "probB_"),
        (put("_center", at(0, np.nan)), "_center"),
        (put("_center", lambda center: center[:2]), "_center"),
        (put("_center", lambda center: center + 1), "support_vectors_"),
        (put("_support_sq_norms", at(0, np.nan)), "_support_sq_norms"),
        (put("_support_sq_norms", lambda norms: 2 * norms), "support_vectors_"),
        (put("support_vectors_", at((0, 0), np.nan)), "support_vectors_"),
        (put("support_vectors_", lambda X: X[:, :3]), "support_vectors_"),
        (put("support_vectors_", lambda X: X[::-1]), "support_vectors_"),
        (put("support_vectors_", lambda X: X.astype(int)), "support_vectors_"),
        (put("support_vectors_", lambda X: X.astype("longdouble")), "support_vectors_"),
    ],
)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_what_no_fit_leaves_is_named(forge, named, n_classes):
    svc = fitted(n_classes, probability=True)
    forge(svc)
    with pytest.raises(ValueError, match=f"(^| ){named}"):
        check(svc)
