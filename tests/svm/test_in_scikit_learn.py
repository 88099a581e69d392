"""RBFSVC inside scikit-learn's tools, against SVC."""

import numpy as np
import pandas as pd
import pytest
from problems import training_set
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.svm import SVC

from svmcifar import RBFSVC
from svmcifar.features import HOG, PatchFeatures


def test_frames_give_names_of_features():
    X, y = training_set(3)
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    model = RBFSVC().fit(frame, pd.Series(y, dtype="category"))
    assert model.feature_names_in_.tolist() == ["a", "b", "c"]
    np.testing.assert_array_equal(model.predict(frame), SVC().fit(X, y).predict(X))
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frame[["b", "a", "c"]])
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        model.predict(X)


def test_frames_between_steps():
    X, y = training_set(3)
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    model = make_pipeline(StandardScaler(), RBFSVC()).set_output(transform="pandas").fit(frame, y)
    np.testing.assert_array_equal(model[-1].feature_names_in_, frame.columns)
    plain = make_pipeline(StandardScaler(), RBFSVC()).fit(X, y)
    np.testing.assert_array_equal(model.predict(frame), plain.predict(X))


def test_weights_are_routed():
    X, y = training_set(3)
    weight = np.random.default_rng(0).uniform(0.1, 3, len(y))
    with config_context(enable_metadata_routing=True):
        scores = []
        for kind in (RBFSVC, SVC):
            svc = kind(C=0.3).set_fit_request(sample_weight=True)
            model = make_pipeline(MinMaxScaler(), svc.set_score_request(sample_weight=True))
            params = {"sample_weight": weight}
            scores.append(cross_val_score(model, X, y, params=params, cv=3))
    np.testing.assert_array_equal(*scores)


def test_a_clone_of_a_fitted_model_is_not_fitted():
    X, y = training_set(3)
    model = RBFSVC(C=3.0, class_weight={0: 2.0}, random_state=np.random.RandomState(0)).fit(X, y)
    again = clone(model)
    assert again.C == 3.0
    with pytest.raises(NotFittedError):
        again.predict(X)
    np.testing.assert_array_equal(again.fit(X, y).dual_coef_, model.dual_coef_)


def test_a_grid_over_backends():
    X, y = training_set(3)
    grid = {"backend": ["numba", "sklearn"], "C": [0.1, 10.0]}
    ours = GridSearchCV(RBFSVC(), grid, cv=3).fit(X, y).cv_results_["mean_test_score"]
    theirs = GridSearchCV(SVC(), {"C": grid["C"]}, cv=3).fit(X, y).cv_results_["mean_test_score"]
    np.testing.assert_array_equal(ours, np.repeat(theirs, 2))


def test_features_of_own_images_in_its_tools():
    """Of a frame of grey images of 6 x 5 pixels, as floats."""
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], 20)
    patterns = rng.random((3, 30))
    frame = pd.DataFrame(patterns[y] + 0.1 * rng.random((60, 30)))
    hog = HOG(image_shape=(1, 6, 5), pixels_per_cell=(2, 2))
    patches = PatchFeatures(n_filters=5, patch_size=3, n_patches=100, image_shape=(1, 6, 5))
    union = FeatureUnion([("hog", hog), ("patches", patches)])
    model = make_pipeline(union, StandardScaler(), RBFSVC())
    grid = {"featureunion__patches__n_filters": [5, 10], "featureunion__hog__orientations": [9]}
    search = GridSearchCV(model, grid, cv=3, error_score="raise").fit(frame, y)
    assert search.best_score_ == 1.0
    n_features = search.best_estimator_[:-1].transform(frame).shape[1]
    assert n_features == 2 * 1 * 4 * 9 + 2 * 5 * 9
