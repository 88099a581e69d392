"""Code for scikit-learn's SVC, with the name of the class changed."""

import re

import numpy as np
import pytest
from problems import training_set
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_selection import SelectFromModel
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from svmcifar import RBFSVC
from svmcifar.errors import InputError
from svmcifar.io.content_hash import content_hash

UNUSED = {
    "kernel": "rbf",
    "degree": 3,
    "coef0": 0.0,
    "shrinking": False,
    "cache_size": 1000,
    "random_state": 7,
}


def test_keywords_that_change_nothing():
    X, y = training_set()
    plain, other = RBFSVC().fit(X, y), RBFSVC(**UNUSED).fit(X, y)
    assert other.get_params().items() >= UNUSED.items()
    assert clone(other).get_params() == other.get_params()
    assert RBFSVC().set_params(**UNUSED).get_params() == other.get_params()
    for name in ("support_", "dual_coef_", "intercept_", "gap_", "n_iter_"):
        np.testing.assert_array_equal(getattr(plain, name), getattr(other, name))


def test_their_defaults_are_those_of_svc():
    ours, theirs = RBFSVC().get_params(), SVC().get_params()
    assert {name: ours[name] for name in UNUSED} == {name: theirs[name] for name in UNUSED}


def test_they_go_on_to_svc():
    X, y = training_set()
    assert RBFSVC(**UNUSED).fit(X, y).to_sklearn().get_params().items() >= UNUSED.items()


def test_a_grid_over_them():
    X, y = training_set()
    grid = {"rbfsvc__cache_size": [100, 500], "rbfsvc__shrinking": [True, False]}
    search = GridSearchCV(make_pipeline(StandardScaler(), RBFSVC()), grid, cv=3).fit(X, y)
    assert len(set(search.cv_results_["mean_test_score"])) == 1


def test_a_model_without_them_keeps_its_hash():
    """Model files of releases that did not have them hold it."""
    X, y = training_set()
    older = RBFSVC().fit(X, y)
    for name in UNUSED:
        del vars(older)[name]
    assert older.get_params() == RBFSVC().get_params()
    newer = RBFSVC(shrinking=False, cache_size=1000).fit(X, y)
    assert content_hash(older) == content_hash(newer)


@pytest.mark.parametrize("kernel", ["linear", "poly", "precomputed", np.dot, np.eye(2), None])
def test_other_kernels_are_refused_in_one_line(kernel):
    X, y = training_set()
    rule = r"The 'kernel' parameter of RBFSVC must be 'rbf'. Got .* instead. Use svmcifar.SVC "
    with pytest.raises(InputError, match=rule) as caught:
        RBFSVC(kernel=kernel).fit(X, y)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "parameters", [{"degree": 2}, {"degree": "3"}, {"coef0": 1.0}, {"coef0": None}]
)
def test_parameters_of_other_kernels_are_refused_in_one_line(parameters):
    X, y = training_set()
    ((name, value),) = parameters.items()
    default = SVC().get_params()[name]
    with pytest.raises(InputError) as caught:
        RBFSVC(**parameters).fit(X, y)
    assert str(caught.value) == (
        f"The {name!r} parameter of RBFSVC must be {default!r}. Got {value!r} instead. "
        "Use svmcifar.SVC for other kernels."
    )


def test_the_parameters_of_an_svc_are_taken_whole():
    X, y = training_set(3)
    svc = SVC(C=3.0, class_weight="balanced").fit(X, y)
    ours = RBFSVC(**svc.get_params() | {"probability": False}).fit(X, y)  # "deprecated" by 1.9
    np.testing.assert_array_equal(ours.predict(X), svc.predict(X))


@pytest.mark.parametrize(
    "parameters", [{"cache_size": 0}, {"shrinking": "yes"}, {"random_state": "seed"}]
)
def test_they_are_checked_as_those_of_svc(parameters):
    messages = []
    for kind in (RBFSVC, SVC):
        with pytest.raises(ValueError, match="parameter of") as caught:
            kind(**parameters).fit(*training_set())
        # The phrases of booleans and None come in an order that changes from run to run.
        messages.append(re.sub(r" must be .* Got ", " ", str(caught.value)))
    assert messages[0] == messages[1].replace("SVC", "RBFSVC")


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("backend", ["numba", "sklearn"])
def test_infinite_c_is_the_hard_margin(n_classes, dtype, backend):
    X, y = training_set(n_classes, dtype=dtype)
    parameters = {"C": np.inf, "gamma": 2.0, "tol": 1e-7}
    ours, theirs = RBFSVC(**parameters, backend=backend).fit(X, y), SVC(**parameters).fit(X, y)
    np.testing.assert_array_equal(ours.support_, theirs.support_)
    np.testing.assert_allclose(ours.dual_coef_, theirs.dual_coef_, rtol=1e-4)
    np.testing.assert_allclose(ours.decision_function(X), theirs.decision_function(X), atol=1e-4)
    # LIBSVM's kernel values are float32, which does not hold so tight a tolerance.
    assert ours.gap_.max() <= (1e-7 if backend == "numba" else 1e-5)
    assert ours.score(X, y) == 1.0
    balanced = RBFSVC(**parameters, class_weight="balanced").fit(X, y)
    np.testing.assert_allclose(balanced.dual_coef_, ours.dual_coef_, rtol=1e-4)


def test_no_hard_margin_is_a_warning():
    X, y = training_set(2)
    with pytest.warns(ConvergenceWarning, match="1 of 1 pairs"):
        model = RBFSVC(C=np.inf, max_iter=2000).fit(np.r_[X, X], np.r_[y, 1 - y])
    assert model.fit_status_ == 1
    assert np.isfinite(model.decision_function(X)).all()


def test_coef_is_that_of_a_linear_kernel():
    X, y = training_set()
    model = RBFSVC().fit(X, y)
    assert not hasattr(model, "coef_")
    with pytest.raises(AttributeError, match="permutation_importance"):
        _ = model.coef_
    with pytest.raises(ValueError, match="coef_"):
        SelectFromModel(RBFSVC()).fit(X, y).transform(X)
