#!/usr/bin/env python
"""Run scikit-learn's own tests of its SVC against svmcifar's.

The tests are those of the installed scikit-learn, ``sklearn/svm/tests/test_svm.py``, with
`sklearn.svm.SVC` replaced by `svmcifar.SVC` before they are imported.  Those that never make one
are of NuSVC, SVR, LinearSVC and OneClassSVM: they ask scikit-learn's own classes.  Each of the
others passes, or is listed in `DIFFERENT` with its reason.

Exit code 1 if a test fails that is not listed, or passes although it is.
"""

import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import wraps
from importlib.metadata import version
from typing import Any

import pytest
import sklearn.svm

from svmcifar import SVC

_NO_FUNCTIONS = "kernels that are functions are not taken: give 'precomputed' values"
_NO_NEGATIVES = "negative sample weights are refused; scikit-learn leaves such samples out"
_NO_SPARSE = "sparse samples are refused by scikit-learn's usual TypeError, with a text of its own"
_NOT_DEPRECATED = "probability, probA_ and probB_ are scikit-learn's to deprecate, not ours"
_PRIVATE = "it changes a private attribute, which is not what ours predicts from"
# Reasons by the names of tests that differ, or patterns of them.
DIFFERENT = {
    "test_precomputed": _NO_FUNCTIONS,
    "test_svc_clone_with_callable_kernel": _NO_FUNCTIONS,
    "test_libsvm_convergence_warnings*": _NO_FUNCTIONS,
    "test_custom_kernel_not_array_input*": _NO_FUNCTIONS,
    "test_negative_sample_weights_mask_all_samples?weights-are-negative-*": _NO_NEGATIVES,
    "test_negative_weights_svc_leave_just_one_label*": _NO_NEGATIVES,
    "test_negative_weights_svc_leave_two_labels?partial-mask-label-1-*": _NO_NEGATIVES,
    "test_negative_weight_equal_coeffs?partial-mask-label-1-*": _NO_NEGATIVES,
    "test_bad_input*": _NO_SPARSE,
    "test_sparse_precomputed*": _NO_SPARSE,
    "test_probability_raises_futurewarning*": _NOT_DEPRECATED,
    "test_svc_nusvc_probA_probB_deprecated*": _NOT_DEPRECATED,
    "test_tweak_params": _PRIVATE,
}


@dataclass(eq=False)
class Outcomes:
    """A plugin of pytest: whether tests passed, by their names, and which made no SVC of ours."""

    passed: dict[str, bool] = field(default_factory=dict)
    messages: dict[str, str] = field(default_factory=dict)
    not_ours: set[str] = field(default_factory=set)
    is_ours: bool = False

    def noting(self, method: Callable[..., None]) -> Callable[..., None]:
        """Return a method that also notes that it was called."""

        @wraps(method)
        def noted(*arguments: Any, **parameters: Any) -> None:
            self.is_ours = True
            method(*arguments, **parameters)

        return noted

    def pytest_runtest_setup(self) -> None:
        """Begin a test."""
        self.is_ours = False

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Keep the outcome of a test."""
        name = report.nodeid.rpartition("::")[2]
        if report.when == "call" and not self.is_ours:
            self.not_ours.add(name)
        elif report.when == "call" or report.failed:
            self.passed[name] = not report.failed
            self.messages[name] = " ".join(str(report.longrepr or "").splitlines()[-2:])


def reason_of(name: str) -> str | None:
    """Return why a test differs; None if it should not."""
    return next((why for of, why in DIFFERENT.items() if fnmatchcase(name, of)), None)


def run_tests() -> Outcomes:
    """Run the tests; `sklearn.svm.SVC` is ours in this process from then on."""
    outcomes = Outcomes()
    SVC.__init__ = outcomes.noting(SVC.__init__)  # type: ignore[method-assign]
    sklearn.svm.SVC = SVC
    arguments = ["--pyargs", "sklearn.svm.tests.test_svm", "-q", "-p", "no:cacheprovider"]
    with redirect_stdout(sys.stderr):
        pytest.main([*arguments, "--tb=line", "--no-summary"], plugins=[outcomes])
    return outcomes


def main() -> None:
    """Print the table; exit with 1 if it is not as listed."""
    outcomes = run_tests()
    wrong = []
    for name, passed in outcomes.passed.items():
        reason = reason_of(name)
        if passed == (reason is None):
            print(f"{'passes' if passed else 'differs'}  {name}{'' if passed else f': {reason}'}")
        else:
            wrong.append(name)
            what = f"FAILS    {name}: {outcomes.messages[name]}"
            print(f"PASSES   {name}, and is listed: {reason}" if passed else what)
    n_passed, n = sum(outcomes.passed.values()), len(outcomes.passed)
    print(
        f"scikit-learn {version('scikit-learn')}: {n} tests of SVC, {n_passed} pass, "
        f"{n - n_passed - sum(not outcomes.passed[name] for name in wrong)} differ as listed, "
        f"{len(wrong)} are not as listed; {len(outcomes.not_ours)} others are of other classes"
    )
    sys.exit(1 if wrong or not n else 0)


if __name__ == "__main__":
    main()
