import numpy as np
import pytest
from problems import training_set
from sklearn.exceptions import NotFittedError

from svmcifar import RBFSVC
from svmcifar.errors import InputError


@pytest.mark.parametrize(("value", "name"), [(np.nan, "NaN"), (np.inf, "inf"), (-np.inf, "inf")])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_samples_must_be_finite(value, name, dtype):
    X, y = training_set()
    X[7, 2] = value
    X[9] = np.nan
    with pytest.raises(InputError) as caught:
        RBFSVC().fit(X.astype(dtype), y)
    assert str(caught.value) == (
        f"Input X of an SVM must be finite. Got {name} in row 7, column 2 "
        "(2 of 36 rows have NaN or inf). Remove or impute them."
    )


def test_two_classes_are_needed():
    X, y = training_set()
    with pytest.raises(InputError, match=r"needs samples of at least two classes. Got 1 class"):
        RBFSVC().fit(X, np.zeros_like(y))
    with pytest.raises(InputError) as caught:
        RBFSVC().fit(X, y, (y == 1).astype(float))
    assert str(caught.value) == (
        "An SVM needs samples of positive weight in at least two classes. "
        "Got them in 1 of 3: 1. Give weight to others."
    )


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (-1.0, "Negative values in data passed to `sample_weight`"),
        (np.nan, "Input sample_weight contains NaN"),
        (np.inf, "Input sample_weight contains infinity"),
    ],
)
def test_weights_must_be_numbers_from_zero(weight, message):
    X, y = training_set()
    weights = np.ones(len(y))
    weights[3] = weight
    with pytest.raises(ValueError, match=message):
        RBFSVC().fit(X, y, weights)


@pytest.mark.parametrize("weight", [0.0, -1.0])
def test_class_weights_must_leave_something(weight):
    X, y = training_set()
    with pytest.raises(InputError, match=r"must be above 0 .* Leave out classes"):
        RBFSVC(class_weight={1: weight}).fit(X, y)


@pytest.mark.parametrize("scale", [1e146, 1e200])
def test_samples_whose_squares_overflow_are_refused(scale):
    X, y = training_set()
    with pytest.raises(
        InputError, match=r"squares that float64 can hold. Got values up to .* Scale"
    ):
        RBFSVC().fit(X * scale, y)


@pytest.mark.parametrize(("dtype", "scale"), [(np.float32, 1e36), (np.float64, 1e140)])
def test_large_samples_are_no_trouble(dtype, scale):
    X, y = training_set()
    predicted = RBFSVC().fit((X * scale).astype(dtype), y).predict((X * scale).astype(dtype))
    np.testing.assert_array_equal(predicted, RBFSVC().fit(X, y).predict(X))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"C": -1.0}, "The 'C' parameter of RBFSVC must be a float in the range (0.0, inf]. "),
        ({"C": 0}, "The 'C' parameter of RBFSVC must be a float in the range (0.0, inf]. "),
        ({"gamma": -1}, "The 'gamma' parameter of RBFSVC must be a str among"),
        ({"tol": 0.0}, "The 'tol' parameter of RBFSVC must be a float in the range (0.0, inf). "),
        ({"max_iter": 0}, "The 'max_iter' parameter of RBFSVC must be an int in the range [1"),
        ({"memory_limit": 0}, "The 'memory_limit' parameter of RBFSVC must be an int in the"),
        ({"memory_limit": "3TB"}, "A memory limit must be a number of bytes above 0, or such"),
        ({"decision_function_shape": "x"}, "The 'decision_function_shape' parameter of RBFSVC"),
    ],
)
def test_parameters_are_checked(params, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (scikit-learn's class is private)
        RBFSVC(**params).fit(*training_set())
    ((_, value),) = params.items()
    assert str(caught.value).startswith(message)
    assert str(caught.value).endswith(f"Got {value!r} instead.")


def test_predicting_asks_for_a_fitted_model_and_the_same_features():
    X, y = training_set()
    for method in ("predict", "decision_function", "predict_with_decisions"):
        with pytest.raises(NotFittedError, match="This RBFSVC instance is not fitted yet"):
            getattr(RBFSVC(), method)(X)
    for method in ("pair_report", "to_sklearn"):
        with pytest.raises(NotFittedError, match="This RBFSVC instance is not fitted yet"):
            getattr(RBFSVC(), method)()
    model = RBFSVC().fit(X, y)
    with pytest.raises(ValueError, match="X has 2 features, but RBFSVC is expecting 3 features"):
        model.predict(X[:, :2])
    with pytest.raises(ValueError, match="Input X contains NaN"):
        model.predict(np.full((1, 3), np.nan))
