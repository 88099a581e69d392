"""Classifiers as scikit-learn's pipelines."""

import numpy as np
import pytest
import sklearn.svm
import skops.io
from older_models import as_before
from problems import training_set
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from svmcifar import RBFSVC, SVC
from svmcifar.errors import InputError
from svmcifar.model.estimator_file import trusted_types
from svmcifar.model.one_view import MeanKernel, to_sklearn

FEATURES = {"kinds": ("hog",), "parameters": {"hog": {"pixels_per_cell": (8, 8)}}}


@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize("augment", [None, "flip"])
def test_a_pipeline_predicts_as_the_classifier(augment, older, train_small, synthetic_data):
    svc = RBFSVC(C=10.0, tol=1e-5, probability=True, backend="numba")
    model = train_small(svc, **FEATURES, augment=augment, label_kind="coarse")
    if older:
        model = as_before(model, synthetic_data, clone(svc))
    images = synthetic_data.read_split("test").images
    data = skops.io.dumps(to_sklearn(model))
    foreign = set(skops.io.get_untrusted_types(data=data))
    kernel = f"{MeanKernel.__module__}.MeanKernel"
    assert foreign <= {*trusted_types(), kernel}
    assert (kernel in foreign) == (older and augment is not None)
    pipeline = skops.io.loads(data, trusted=sorted(foreign))
    assert type(pipeline[-1]) is sklearn.svm.SVC
    labels, scores, p = model.predict_with_probabilities(images)
    assert pipeline.predict(images).tolist() == labels.tolist()
    np.testing.assert_allclose(pipeline.decision_function(images), scores, atol=1e-4)
    np.testing.assert_allclose(pipeline.predict_proba(images), p, atol=2e-3)  # LIBSVM's stop


def test_mean_kernels_are_computed_in_batches(train_small, synthetic_data, monkeypatch):
    model = as_before(train_small(RBFSVC(), **FEATURES, augment="flip"), synthetic_data)
    images = synthetic_data.read_split("test").images[:30]
    step = to_sklearn(model)[0]
    whole = step.transform(images)
    monkeypatch.setattr("svmcifar.model.one_view._BATCH_BYTES", 1)
    np.testing.assert_allclose(step.transform(images), whole, rtol=1e-12)


@pytest.mark.parametrize("kernel", ["rbf", "laplacian"])
def test_an_estimator_of_our_own(kernel):
    X, y = training_set(3)
    svc = SVC(kernel=kernel).fit(X, y)
    pipeline = to_sklearn(svc)
    np.testing.assert_allclose(pipeline.decision_function(X), svc.decision_function(X), atol=1e-5)


def test_the_last_step_of_a_pipeline_is_replaced():
    X, y = training_set(3)
    model = make_pipeline(StandardScaler(), RBFSVC()).fit(X, y)
    pipeline = to_sklearn(model)
    assert [name for name, _ in pipeline.steps] == ["standardscaler", "svc"]
    assert type(pipeline[-1]) is sklearn.svm.SVC
    np.testing.assert_array_equal(pipeline.predict(X), model.predict(X))
    assert isinstance(model[-1], RBFSVC)


def test_other_estimators_are_refused():
    with pytest.raises(InputError, match="Got StandardScaler instead"):
        to_sklearn(StandardScaler())
