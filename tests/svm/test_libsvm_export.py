"""Models as LIBSVM's text files, against a reader that follows its documentation."""

import io

import numpy as np
import pytest
from exported import fitted
from libsvmfiles import decision_values, numbers, read_model, read_samples

from svmcifar.errors import InputError
from svmcifar.svm.libsvm_export import write_libsvm, write_libsvm_samples


def written(write, *arguments):
    file = io.StringIO()
    write(*arguments, file)
    return file.getvalue()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("kernel", ["rbf", "linear", "poly", "sigmoid", "precomputed"])
def test_a_file_predicts_as_the_model(kernel, n_classes, dtype):
    parameters = {"C": 3.0, "kernel": kernel, "coef0": 0.5, "degree": 2}
    svc, Z = fitted(n_classes, dtype, decision_function_shape="ovo", **parameters)
    truth = svc.predict(Z)
    labels, X = read_samples(written(write_libsvm_samples, svc, Z, truth))
    assert labels.tolist() == truth.tolist()
    if kernel == "precomputed":  # LIBSVM looks values up by their place
        assert X.shape[1] == 1 + Z.shape[1]
    values, predicted = decision_values(written(write_libsvm, svc), X)
    ours = svc.decision_function(Z)
    expected = -ours[:, None] if n_classes == 2 else ours
    np.testing.assert_allclose(values, expected, atol=1e-5 if dtype == np.float32 else 1e-12)
    assert predicted.tolist() == truth.tolist()


def test_the_header_has_the_sigmoids():
    svc, _ = fitted(3, probability=True)
    header, _, _ = read_model(written(write_libsvm, svc))
    np.testing.assert_array_equal(numbers(header, "probA"), svc.probA_)
    np.testing.assert_array_equal(numbers(header, "probB"), svc.probB_)
    assert list(header) == [
        "svm_type", "kernel_type", "gamma", "nr_class", "total_sv", "rho", "label", "probA",
        "probB", "nr_sv",
    ]  # fmt: skip


def test_numbers_are_those_of_the_model():
    svc, _ = fitted(3, np.float32)
    _, coef, X = read_model(written(write_libsvm, svc))
    np.testing.assert_array_equal(coef.T, svc.dual_coef_)
    np.testing.assert_array_equal(X[:, 1:].astype(np.float32), svc.support_vectors_)


def test_zeros_of_precomputed_values_are_written():
    svc, Z = fitted(2, kernel="precomputed")
    Z[0] = 0.0
    line = written(write_libsvm_samples, svc, Z, [1] * len(Z)).splitlines()[0]
    assert line.split() == ["1", "0:1", *(f"{k}:0" for k in range(1, Z.shape[1] + 1))]


@pytest.mark.parametrize("kernel", ["laplacian", "chi2"])
def test_kernels_that_libsvm_lacks_are_refused(kernel):
    svc, _ = fitted(2)
    svc.kernel = kernel
    with pytest.raises(InputError, match=f"one of its kernels.*Got '{kernel}'") as caught:
        written(write_libsvm, svc)
    assert "\n" not in str(caught.value)


def test_labels_may_be_numbers_of_any_type():
    for labels in (np.arange(8.0) - 4, np.arange(8) > 3, np.arange(8, dtype=np.uint8)):
        svc, _ = fitted(2, labels=labels)
        header, _, _ = read_model(written(write_libsvm, svc))
        np.testing.assert_array_equal(numbers(header, "label"), svc.classes_)


@pytest.mark.parametrize("labels", [np.array(list("abcdefgh")), np.arange(8) * 2**40])
def test_labels_that_are_no_integers_are_refused(labels):
    svc, _ = fitted(2, labels=labels)
    with pytest.raises(InputError, match="must be integers of 32 bits"):
        written(write_libsvm, svc)
