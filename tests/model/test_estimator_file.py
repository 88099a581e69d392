"""Files of estimators that were saved in Python."""

import io
import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import skops.io
from clirun import fail, run
from problems import training_set
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from svmcifar import RBFSVC, load_model, save_model
from svmcifar.errors import InputError, ModelFileError, OutputError
from svmcifar.features import ComponentScaling
from svmcifar.io.content_hash import content_hash
from svmcifar.model.persistence import load_classifier, read_manifest

TOP = Path(__file__).parents[2]


class Doubled(TransformerMixin, BaseEstimator):
    """A transformer that nobody knows."""

    __sklearn_is_fitted__ = lambda self: True  # noqa: E731

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return 2 * X


@pytest.fixture
def path(tmp_path):
    return tmp_path / "svc.skops"


@pytest.fixture
def saved(path):
    save_model(RBFSVC().fit(*training_set()), path)
    return path


def edit(path, member, change):
    """Write the file again with one member changed."""
    with zipfile.ZipFile(path) as source:
        content = {name: source.read(name) for name in source.namelist()}
    content[member] = change(content[member])
    with zipfile.ZipFile(path, "w") as target:
        for name, data in content.items():
            target.writestr(name, data)


@pytest.mark.parametrize(
    "labels",
    [
        np.array(["cat", "dog", "ant"]),
        np.array(["cat", "dog", "ant"], dtype=object),
        np.array([7, -1, 3]),
        np.array([1.0, 2.0, -3.0]),
        pd.Series(["cat", "dog", "ant"]),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_estimator_comes_back_as_it_was(labels, dtype, path):
    X, y = training_set(3, dtype=dtype)
    svc = RBFSVC(C=3.0, n_jobs=2, random_state=5, decision_function_shape="ovo")
    svc.fit(pd.DataFrame(X, columns=["a", "b", "c"]), np.asarray(labels)[y])
    save_model(svc, path)
    again = load_model(path)
    assert type(again) is RBFSVC
    assert again.get_params() == svc.get_params()
    assert vars(again).keys() == vars(svc).keys()
    assert again.classes_.dtype == svc.classes_.dtype
    np.testing.assert_array_equal(again.feature_names_in_, ["a", "b", "c"])
    Z = pd.DataFrame(X + dtype(0.1), columns=["a", "b", "c"])
    np.testing.assert_array_equal(again.predict(Z), svc.predict(Z))
    np.testing.assert_array_equal(again.decision_function(Z), svc.decision_function(Z))
    np.testing.assert_array_equal(again.to_sklearn().predict(X), svc.to_sklearn().predict(X))
    assert load_model(path, n_jobs=1).n_jobs == 1


def test_probabilities_come_back(path):
    X, y = training_set(3)
    svc = RBFSVC(probability=True).fit(X, y)
    save_model(svc, path)
    np.testing.assert_array_equal(load_model(path).predict_proba(X), svc.predict_proba(X))


def test_two_classes_weights_and_a_random_state(path):
    X, y = training_set(2)
    weighted = {0: 2.0, np.int64(1): 0.5}
    svc = RBFSVC(C=np.inf, class_weight=weighted, random_state=np.random.RandomState(3)).fit(X, y)
    save_model(svc, path)
    np.testing.assert_array_equal(load_model(path).decision_function(X), svc.decision_function(X))


def test_a_pipeline_with_steps_of_both_libraries(path):
    X, y = training_set(3)
    model = make_pipeline(StandardScaler(), ComponentScaling(0.5), RBFSVC(n_jobs=2)).fit(X, y)
    save_model(model, path)
    again = load_model(path)
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert again[-1].n_jobs == 2
    assert load_model(path, n_jobs=1)[-1].n_jobs == 1


def test_its_manifest_says_what_it_is(saved):
    with zipfile.ZipFile(saved) as archive:
        manifest = json.loads(archive.read("manifest.json"))
    assert manifest["holds"] == "estimator"
    assert manifest["estimator"] == "RBFSVC()"
    assert manifest["content_hash"] == content_hash(load_model(saved))
    assert {"numpy", "scikit-learn", "svmcifar"} <= set(manifest["versions"])


def test_what_cannot_be_loaded_is_not_saved(path):
    X, y = training_set()
    for step, reason in (
        (Doubled(), r"types such as .*Doubled are not loaded"),
        (FunctionTransformer(np.tanh), "cannot hash a ufunc"),
    ):
        model = make_pipeline(step, RBFSVC()).fit(X, y)
        with pytest.raises(InputError, match=f"Got a Pipeline with more .{reason}.*skops.io.dump"):
            save_model(model, path)
    for other in ({"a": 1}, RBFSVC):
        with pytest.raises(InputError, match=r"must be an ImageClassifier or a fitted estimator"):
            save_model(other, path)
    with pytest.raises(NotFittedError, match="This RBFSVC instance is not fitted yet"):
        save_model(RBFSVC(), path)
    with pytest.raises(InputError, match=r"Got a RBFSVC\. Save it whole"):
        save_model(RBFSVC().fit(X, y), path, slim=True)
    assert not path.exists()


def test_an_existing_file_is_kept(saved):
    before = saved.read_bytes()
    with pytest.raises(OutputError, match="exists"):
        save_model(RBFSVC(), saved)
    assert saved.read_bytes() == before
    save_model(RBFSVC(C=7.0).fit(*training_set()), saved, overwrite=True)
    assert load_model(saved).C == 7.0


def test_a_changed_file_is_refused(saved):
    def other_model(data):
        svc = skops.io.loads(data, trusted=["svmcifar.RBFSVC"])
        svc.intercept_ += 1
        return skops.io.dumps(svc)

    edit(saved, "model.skops", other_model)
    with pytest.raises(ModelFileError, match="must match its content hash and does not"):
        load_model(saved)


def test_foreign_types_are_never_built(saved):
    edit(saved, "model.skops", lambda data: skops.io.dumps(Doubled()))
    with pytest.raises(ModelFileError, match=r"only known types, got .*Doubled; nothing of it"):
        load_model(saved)


def test_a_damaged_file_is_one_line(saved):
    edit(saved, "model.skops", lambda data: data[: len(data) // 2])
    with pytest.raises(ModelFileError, match="damaged"):
        load_model(saved)
    edit(saved, "manifest.json", lambda data: b'{"format": 3, "holds": "estimator"}')
    with pytest.raises(ModelFileError, match="damaged"):
        load_model(saved)


def test_predict_refuses_it_in_one_line(saved):
    assert "must be an image classifier" in fail("predict", saved, TOP / "docs/synthetic-grid.png")


def test_info_describes_it(saved):
    lines = run("info", saved)
    assert re.search(r"^estimator +RBFSVC\(|^estimator +Pipeline\(", lines, re.MULTILINE)
    assert "svmcifar.load_model" in lines
    manifest = json.loads(run("info", saved, "--json"))
    assert manifest["content_hash"] in lines
    edit(saved, "manifest.json", lambda data: b'{"format": 3, "holds": "estimator"}')
    assert "damaged" in fail("info", saved)


def test_it_is_no_image_classifier(saved):
    for read in (load_classifier, read_manifest):
        with pytest.raises(ModelFileError, match=r"must be an image classifier.*svmcifar.load_mo"):
            read(saved)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("is_rounded", [False, True])
def test_samples_of_half_precision_take_half_of_the_file(path, dtype, is_rounded):
    X, y = training_set()
    X = np.tile(X.astype("float16" if is_rounded else dtype), (1, 200)).astype(dtype)
    svc = RBFSVC().fit(X, y)
    assert svc.support_vectors_.nbytes > 2**16
    save_model(svc, path)
    with zipfile.ZipFile(path) as archive:
        data = archive.read("model.skops")
    wide = skops.io.dumps(svc)
    expected = svc.support_vectors_.nbytes - 2 * svc.support_vectors_.size if is_rounded else 0
    assert abs(len(wide) - len(data) - expected) < 300
    loaded = load_model(path)
    assert content_hash(loaded) == content_hash(svc)
    np.testing.assert_array_equal(loaded.predict(X), svc.predict(X))


def test_a_file_of_narrow_arrays_that_was_altered(path):
    X, y = training_set()
    X = np.tile(X.astype("float16").astype("float32"), (1, 200))
    save_model(RBFSVC().fit(X, y), path)

    def altered(data):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            content = {name: archive.read(name) for name in archive.namelist()}
        name = max(content, key=lambda name: name.endswith(".npy") * len(content[name]))
        array = np.load(io.BytesIO(content[name]), allow_pickle=False)
        array["float32"][0, 0] += 1
        np.save(file := io.BytesIO(), array)
        content[name], changed = file.getvalue(), io.BytesIO()
        with zipfile.ZipFile(changed, "w") as new:
            for member, value in content.items():
                new.writestr(member, value)
        return changed.getvalue()

    edit(path, "model.skops", altered)
    with pytest.raises(ModelFileError, match="must match its content hash"):
        load_model(path)
