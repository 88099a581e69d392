"""scikit-learn's own checks, and the one that RBFSVC fails for the reason that SVC does."""

import pytest
from sklearn.svm import SVC as LIBSVM
from sklearn.utils._test_common.instance_generator import _get_expected_failed_checks
from sklearn.utils.estimator_checks import (
    check_sample_weight_equivalence_on_dense_data,
    parametrize_with_checks,
)

from svmcifar import RBFSVC, SVC
from svmcifar.svm.kernels.registry import KERNELS

_EXCEPT = "check_sample_weight_equivalence_on_dense_data"
_REASON = 'gamma="scale" is the variance of X, without weights, exactly as in SVC'


# For "chi2" alone.
_NEGATIVE = {"check_class_weight_classifiers": "it gives negative values whatever the tags say"}


@parametrize_with_checks(
    [
        RBFSVC(),
        RBFSVC(backend="sklearn"),
        RBFSVC(class_weight="balanced", break_ties=True, n_jobs=2),
        RBFSVC(probability=True),
        *(SVC(kernel=name) for name in KERNELS),
    ],
    expected_failed_checks=lambda estimator: (
        {_EXCEPT: _REASON} | (_NEGATIVE if estimator.kernel == "chi2" else {})
    ),
)
def test_scikit_learn_check(estimator, check):
    check(estimator)


def test_scikit_learn_expects_its_own_svc_to_fail_the_same_check():
    assert _EXCEPT in _get_expected_failed_checks(LIBSVM())


@pytest.mark.parametrize("probability", [False, True])
@pytest.mark.parametrize("backend", ["numba", "sklearn"])
def test_the_check_passes_with_a_fixed_gamma_and_a_tight_tol(backend, probability):
    """It asks for 1e-7, so pairs have to be solved to less."""
    estimator = RBFSVC(gamma=0.1, tol=1e-10, backend=backend, probability=probability)
    check_sample_weight_equivalence_on_dense_data("RBFSVC", estimator)
