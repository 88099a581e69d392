"""Labels of every type that scikit-learn's SVC takes, from the fit to the model file."""

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits
from sklearn.ensemble import BaggingClassifier
from sklearn.svm import SVC

from svmcifar import RBFSVC, load_model, save_model

X, Y = load_digits(n_class=3, return_X_y=True)
X, Y = X[:150], Y[:150]
NAMES = np.array(["ant", "bee", "cat"])
DAYS = np.array(["2026-01-01", "2026-02-01", "2026-03-01"], dtype="M8[D]")
LABELS = [
    *(Y.astype(dtype) for dtype in (">i2", ">i4", ">u8", ">f4", ">f8", "u1", "f2", "g")),
    Y - 1, Y > 0, Y.tolist(), np.repeat(Y, 2)[::2], np.broadcast_to(Y, Y.shape),
    NAMES[Y], NAMES[Y].astype(">U5"), NAMES[Y].astype(object), DAYS[Y], DAYS[Y] - DAYS[0],
    pd.Categorical(NAMES[Y]), pd.Series(pd.Categorical(Y)), pd.Series(NAMES[Y], dtype="string"),
    pd.Series(Y, dtype="Int64"), pd.Series(Y > 0, dtype="boolean"), pd.Series(Y, dtype="Float64"),
]  # fmt: skip


@pytest.mark.parametrize("labels", LABELS, ids=lambda labels: str(getattr(labels, "dtype", "list")))
def test_labels_of_every_type(labels, tmp_path):
    theirs, ours = SVC().fit(X, labels), RBFSVC().fit(X, labels)
    assert ours.classes_.dtype == theirs.classes_.dtype
    predicted = ours.predict(X)
    assert predicted.dtype == theirs.predict(X).dtype
    assert (predicted == theirs.predict(X)).all()
    assert (ours.to_sklearn().predict(X) == predicted).all()
    report = ours.pair_report()
    assert report.converged.all()
    assert set(report[report.class_b == ours.classes_[1]].class_a) == {ours.classes_[0]}
    save_model(ours, tmp_path / "model.skops")
    loaded = load_model(tmp_path / "model.skops")
    assert loaded.classes_.dtype == ours.classes_.dtype
    assert (loaded.predict(X) == predicted).all()


def test_a_class_without_weight_is_left_out():
    weight = (Y != 1).astype(float)
    ours = RBFSVC(class_weight={"ant": 2.0, "bee": 3.0, "cat": 5.0}).fit(X, NAMES[Y], weight)
    kept = Y != 1
    alone = RBFSVC(class_weight={"ant": 2.0, "cat": 5.0}, gamma=ours.gamma_)
    alone.fit(X[kept], NAMES[Y[kept]])
    assert ours.classes_.tolist() == ["ant", "cat"]
    np.testing.assert_array_equal(ours.class_weight_, [2.0, 5.0])
    np.testing.assert_array_equal(ours.support_, np.flatnonzero(kept)[alone.support_])
    np.testing.assert_allclose(ours.dual_coef_, alone.dual_coef_, atol=1e-9)
    np.testing.assert_allclose(ours.decision_function(X), alone.decision_function(X), atol=1e-9)
    assert (ours.to_sklearn().predict(X) == ours.predict(X)).all()


def test_balanced_weights_are_those_of_all_classes():
    """As in SVC, which does not look at weights either."""
    ours = RBFSVC(class_weight="balanced").fit(X, Y, (Y != 1).astype(float))
    sizes = np.bincount(Y)
    np.testing.assert_allclose(ours.class_weight_, (len(Y) / (3 * sizes))[[0, 2]])


def test_bagging_gives_whole_classes_no_weight():
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(40), 10)
    X = rng.normal(size=(40, 20))[y] + 0.4 * rng.normal(size=(len(y), 20))
    settings = {"n_estimators": 10, "max_samples": 0.2, "random_state": 0}
    bagging = BaggingClassifier(RBFSVC(), **settings).fit(X, y)
    assert all(len(estimator.classes_) < 40 for estimator in bagging.estimators_)
    assert bagging.score(X, y) > 0.95
    assert bagging.score(X, y) > BaggingClassifier(SVC(), **settings).fit(X, y).score(X, y)
